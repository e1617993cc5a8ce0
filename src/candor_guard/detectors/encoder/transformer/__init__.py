"""The third reader: a small text encoder in ONNX.

`render` makes an exchange its row of tokens, `marks` says whose words are whose, `session` runs it.
"""
