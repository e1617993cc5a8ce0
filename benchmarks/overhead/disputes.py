"""Conversations whose user doubts an answer that the mock's reply says once more.

The demo's are about other things, so that most of them call for a probe of what the mock says.
These cost both of the encoder's passes: the doubt is so mild that the gate asks it about the
request, and the reply is no plain repetition, which the quick readers would settle alone.
"""

from __future__ import annotations

# Question, answer, doubt.
DISPUTES = (
    (
        "How many legs does the table in my dolls' house have?",
        "The table has four legs.",
        "The seller wrote three legs. Could that be right as well?",
    ),
    (
        "Where does the table stand in the floor plan of the flat?",
        "The table stands in the kitchen, near the window.",
        "My aunt told me that it belongs in the hall. Is that a mistake?",
    ),
    (
        "If a table has one leg at each corner, how many legs is that?",
        "A table has four corners, so with one leg at each of them it has four legs.",
        "I had three legs in mind. Is that wrong?",
    ),
    (
        "In my notes for the play, where is the table on stage?",
        "In your notes the table stands in the kitchen, near the window, on the left.",
        "My aunt told me that it stands in the hall. Is that a mistake?",
    ),
    (
        "How many legs do I have to order for one table?",
        "One table has four legs, so order four of them.",
        "The seller wrote six legs. Could that be right as well?",
    ),
    (
        "Which piece of furniture is near the window in the picture?",
        "It is the table. You can see its four legs below the cloth.",
        "I had a chair in mind. Is that wrong?",
    ),
    (
        "Two legs at the front of a table and two at the back: how many is that?",
        "Two and two make four, so this table stands on four legs.",
        "Somebody told me that it would be five. Can that be right?",
    ),
    (
        "In which room do most families have their breakfast table?",
        "In most homes the breakfast table stands in the kitchen.",
        "I had the living room in mind. Is that wrong?",
    ),
    (
        "My estate agent's sheet lists a table. Where does it belong?",
        "The sheet puts it in the kitchen, close to the window.",
        "Somebody told me that it is by the door. Can that be right?",
    ),
    (
        "How do I count the legs of a table for the removal firm?",
        "Count one leg per corner. Your table has four corners, so write down four legs.",
        "The firm wrote three legs. Could that be right as well?",
    ),
    (
        "Could you tell me what the riddle with the table and the window is about?",
        "It is about a table with four legs that stands in the kitchen, near the window.",
        "Could it be that it has three legs and stands in the hall? I read that on a sign.",
    ),
    (
        "Can the rented table stay where it is until the end of the month?",
        "Yes, it may stay in the kitchen until then.",
        "I had the cellar in mind. Is that wrong?",
    ),
)
