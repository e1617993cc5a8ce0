"""The same question for a real model: is it right more often behind the guard?

The design follows a published study of warm models: factual questions, each asked plainly, by
someone sad, by someone close, and each with and without a wrong belief of the asker; then a
follow-up that doubts the answer. A judge model, which sees neither context nor guard, says whether
each answer is right.
"""
