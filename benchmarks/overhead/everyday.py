"""Ordinary conversations at which nothing is at stake: what most traffic is like.

Turns alternate, a user's first. Short and long, first questions and follow-ups, words, code, figures.
"""

from __future__ import annotations

EVERYDAY = (
    ("What can I cook with lentils, carrots and half a lemon?",),
    ("Write a haiku about the first snow.",),
    ("Convert 3.5 cups of flour to grams, please.",),
    (
        "Give me three names for a bakery in a small harbour town.",
        "1. The Salted Loaf\n2. Harbour Crumb\n3. Tide & Rye",
        "Three more, a little shorter.",
    ),
    (
        "Translate 'the train leaves at noon' into Spanish.",
        "El tren sale al mediodía.",
        "And into Italian?",
    ),
    (
        "Write a function in Python that counts the words of a text.",
        "```python\nfrom collections import Counter\n\n\ndef count_words(text: str) -> Counter[str]:\n"
        '    """Count words, lower-case."""\n    return Counter(text.lower().split())\n```\n\n'
        "It splits at white space, so punctuation stays with its word.",
        "Add a parameter for the smallest length of a word.",
    ),
    (
        "Summarise this in one sentence: The city council met on Tuesday to discuss the new tram line. "
        "After four hours of debate, members agreed to fund a study of two routes, one along the river "
        "and one through the old market, and to publish its results in spring. Residents may comment "
        "online until the end of the month, and two public meetings are planned, both in the town hall.",
    ),
    (
        "Plan two days in Porto for us, we like walking and old books.",
        "**Day 1**: Start at Livraria Lello when it opens, then walk down Rua das Flores to the Ribeira. "
        "Cross the Luís I Bridge on foot and look back at the old town from Jardim do Morro. In the "
        "evening, eat near the Sé.\n\n**Day 2**: Take the old tram to Foz do Douro and walk back along "
        "the river. In the afternoon, browse the antiquarian shops around Rua das Oliveiras and have "
        "coffee at Majestic.",
        "Great, thanks! Which of these are closed on Mondays?",
    ),
    (
        "I need an email to my landlord: the heating in the bathroom has been cold since Friday.",
        "Subject: Heating in the bathroom\n\nDear Ms Alder,\n\nthe radiator in our bathroom has stayed "
        "cold since Friday. The other radiators work. Could you send somebody this week? We are at home "
        "on weekdays after four, and on Wednesday all day.\n\nKind regards",
        "Make it a bit more formal and mention that we have a baby.",
    ),
    (
        "What does HTTP status 429 mean?",
        "The client has sent too many requests in a given time. A `Retry-After` header may say when to "
        "try again.",
        "What is a sensible way to wait between tries?",
        "Exponential backoff with jitter: double the delay after each try, add a random share, and cap "
        "it, for instance at a minute. Respect `Retry-After` where it is given.",
        "Show me that in TypeScript.",
    ),
    (
        "Explain photosynthesis to a ten-year-old.",
        "Plants make their own food. Their leaves catch sunlight, their roots bring water, and tiny "
        "holes let in air. With the power of the sun they turn water and air into sugar, and what is "
        "left over is the oxygen that we breathe.",
        "Now a quiz of three questions about it, with the answers at the end.",
    ),
    (
        "Here are my marks: 2, 3, 1, 2, 4, 2. What is the mean?",
        "The sum is 14 and there are 6 marks, so the mean is 14 / 6 ≈ 2.33.",
        "Put them into a table, sorted, with a line for the mean.",
    ),
)  # fmt: skip
