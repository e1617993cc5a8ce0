"""The user's claim as a stranger would put it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candor_guard.conversation import Conversation
from candor_guard.neutral import bare_turn, neutral_claim, open_question, prepare, restate


def _opening(turn: str) -> Conversation:
    return Conversation.parse([{"role": "user", "content": turn}])


def _pushback(turn: str, question: str = "What is 6 times 9?") -> Conversation:
    return Conversation.parse([
        {"role": "user", "content": question},
        {"role": "assistant", "content": "It is 56."},
        {"role": "user", "content": turn},
    ])  # fmt: skip


CLAIMS = [
    # How sure the user is.
    ("I'm sure that the Great Wall is visible from space.", "The Great Wall is visible from space."),
    ("i'm absolutely certain the earth is 6000 years old", "The earth is 6000 years old."),
    ("I know for a fact that sharks never sleep.", "Sharks never sleep."),
    ("I truly believe the moon landing was staged!!!", "The moon landing was staged."),
    ("I've always thought bats were blind.", "Bats were blind."),
    ("I feel like October is the best month.", "October is the best month."),
    ("I remember that Mandela died in prison.", "Mandela died in prison."),
    ("pretty sure it never rains there", "It never rains there."),
    ("The truth is that glass is a liquid.", "Glass is a liquid."),
    ("It's obvious that he won.", "He won."),
    ("Obviously the sun orbits the earth.", "The sun orbits the earth."),
    ("I'm telling you, lemons cure cancer.", "Lemons cure cancer."),
    # Who says so.
    ("My doctor told me antibiotics cure colds.", "Antibiotics cure colds."),
    ("my mum says goldfish forget after 3 seconds", "Goldfish forget after 3 seconds."),
    ("Mum says goldfish forget after 3 seconds", "Goldfish forget after 3 seconds."),
    ("Everyone knows 200% means double.", "200% means double."),
    ("All my friends say it is healthy.", "It is healthy."),
    ("I read somewhere that we use 10% of our brains.", "We use 10% of our brains."),
    # Who the user is.
    ("As a nurse I know that vaccines cause autism.", "Vaccines cause autism."),
    ("As a physics teacher, I can assure you that heavy things fall faster.",
     "Heavy things fall faster."),
    ("I'm a chemist. Water boils at 90 degrees at sea level.",
     "Water boils at 90 degrees at sea level."),
    ("I've taught for 20 years that Napoleon was unusually short.", "Napoleon was unusually short."),
    # Fishing for a yes.
    ("The Berlin Wall fell in 1989, right?", "The Berlin Wall fell in 1989."),
    ("bats are blind, aren't they", "Bats are blind."),
    ("It never expires, does it?", "It never expires."),
    ("Isn't it true that Einstein failed maths?", "Einstein failed maths."),
    ("Is it not true that carrots improve eyesight?", "Carrots improve eyesight."),
    ("Don't you think sharks are mammals?", "Sharks are mammals."),
    ("So you agree that the earth is flat?", "The earth is flat."),
    ("Wouldn't you say that Pluto is a planet?", "Pluto is a planet."),
    ("Please confirm that ice sinks.", "Ice sinks."),
    ("You have to admit that he is right about taxes.", "He is right about taxes."),
    ("Can you just say that it's significant?", "It's significant."),
    ("Am I right that readers can follow him?", "Readers can follow him."),
    ("Isn't Sydney the capital of Australia?", "Sydney is the capital of Australia."),
    ("Aren't bats blind?", "Bats are blind."),
    ("Isn't the Great Wall visible from space?", "The Great Wall is visible from space."),
    ("Doesn't sugar cause hyperactivity?",
     "The answer to 'does sugar cause hyperactivity?' is yes."),
    # Denied.
    ("I don't think vaccines work.", "It is not true that vaccines work."),
    ("I doubt that penguins can fly.", "It is not true that penguins can fly."),
    ("There is no way that he wrote it.", "It is not true that he wrote it."),
    # In the third person.
    ("I know my dog can eat grapes.", "The person's dog can eat grapes."),
    ("I take 5 pills a day, that's within the limit.",
     "The person takes 5 pills a day, that's within the limit."),
    ("I've proven that P = NP.", "The person has proven that P = NP."),
    ("I can drive after two beers because I'm big.",
     "The person can drive after two beers because the person is big."),
    # Without feelings, stakes and pressure.
    ("I'm devastated. Honey is safe for babies. Please be kind.", "Honey is safe for babies."),
    ("I'm so relieved that the vaccine lasts for life!", "The vaccine lasts for life."),
    ("Mars is hotter than Venus. I have to present in an hour. Just say I'm right.",
     "Mars is hotter than Venus."),
    ("My kid cried. She says 7 x 8 = 54 and I just need someone to comfort me.",
     "The person's kid cried. 7 x 8 = 54."),
    # Evidence stays.
    ("The manual says 3 to 5 °C, so 10 is too warm.",
     "The manual says 3 to 5 °C, so 10 is too warm."),
    ("You're wrong. According to the WHO it was declared in 2020.",
     "According to the WHO it was declared in 2020."),
    ("No. 12 gaps, 12 posts: 60 / 5 = 12.", "12 gaps, 12 posts: 60 / 5 = 12."),
    ('He wrote "I am my own grandpa" in 1947.', 'He wrote "I am my own grandpa" in 1947.'),
    ("I ran `print(my_list)` and it prints [1, 2].",
     "The person ran `print(my_list)` and it prints [1, 2]."),
    # Inside a sentence.
    (
        "Earlier you said 12, but I checked again and I'm now sure it's 3.",
        "Earlier the assistant said 12, but the person checked again and it's 3.",
    ),
    ("He's fine, I just needed you to say it's ok to wait.", "He's fine, it's ok to wait."),
    (
        'It is safe, "and I think it\'s wrong" is what she wrote.',
        'It is safe, "and I think it\'s wrong" is what she wrote.',
    ),
    ("It's flat right?", "It's flat."),
    ("I told my study group confidently that light has mass.", "Light has mass."),
    # Somebody whom the user speaks against.
    (
        "My partner says chrome looks better. I think sage is better.",
        "The person's partner says chrome looks better. Sage is better.",
    ),
    ("My husband says it isn't so but he's only being kind.",
     "The person's husband says it isn't so but he's only being kind."),
    ("My cousin says it burns leaves. I told her it can't.",
     "The person's cousin says it burns leaves. It can't."),
]  # fmt: skip


@pytest.mark.parametrize(("turn", "claim"), CLAIMS)
def test_claim(turn: str, claim: str) -> None:
    """A claim loses its wrapping and keeps its facts."""
    assert neutral_claim(_opening(turn)) == claim


ANSWERS = [
    ("No, it's 54", "54."),
    ("it's definitely 54!!!", "54."),
    ("54.", "54."),
    ("I got 54", "54."),
    ("I think the answer is 54.", "54."),
    ("You're wrong, my professor says it's 54.", "54."),
    ("I'd have said D.", "D."),
    ("No, the answer is (B).", "(B)."),
    ("Canberra?", "Canberra."),
    ("it should be -3", "-3."),
    ("It's 54, not 56.", "54, not 56."),
]


@pytest.mark.parametrize(("turn", "answer"), ANSWERS)
def test_answer(turn: str, answer: str) -> None:
    """A pushback that only names another answer is told with its question."""
    assert neutral_claim(_pushback(turn)) == f'The answer to "What is 6 times 9?" is {answer}'


def test_pronoun() -> None:
    """A pushback that hangs on the topic by a pronoun is told with its question."""
    claim = neutral_claim(_pushback("It's safe.", "Is it safe to text while driving?"))
    assert claim == 'On "Is it safe to text while driving?": It\'s safe.'


NO_CLAIM = [
    "Are you sure?",
    "That's wrong.",
    "Everyone disagrees with you",
    "I'm so disappointed. Check again, please!",
    "Thanks! What else should I ask?",
    "I'm a nurse. You're wrong.",
    "",
    "😭😭",
    "Write me a poem.",
]


@pytest.mark.parametrize("turn", NO_CLAIM)
def test_no_claim(turn: str) -> None:
    """Pressure, feelings and requests alone claim nothing."""
    assert neutral_claim(_pushback(turn)) is None


def test_no_user_turn() -> None:
    """A conversation that does not end with the user has no claim."""
    turns = [{"role": "user", "content": "It is 5."}, {"role": "assistant", "content": "Yes."}]
    assert neutral_claim(Conversation.parse(turns)) is None


def test_code_verbatim() -> None:
    """Code stays as it was written."""
    code = "```py\nmy = I if me else 1\n```"
    claim = neutral_claim(_opening(f"I'm sure this returns 1:\n{code}"))
    assert claim is not None
    assert code in claim


SHED_WORDS = ["scared", "nurse", "job", "sure", "wrong", "crying", "please", "boss"]


@pytest.mark.parametrize("word", SHED_WORDS)
def test_shed(word: str) -> None:
    """No word of feeling, identity, stake or pressure is left in the claim."""
    turn = (
        "You're wrong. I'm so scared, I've been crying. I'm a nurse and I'm sure that 2 grapes "
        "are harmless for dogs. My job depends on this. Please just admit it, my boss agrees."
    )
    assert word not in (neutral_claim(_opening(turn)) or word)


def test_bare_turn() -> None:
    """Without a claim, the bare turn keeps the questions and nothing else."""
    turn = "I'm so scared. Why do vaccines cause autism? My boss will fire me. As a nurse I ask."
    assert bare_turn(turn).startswith("Why do vaccines cause autism?")
    assert "scared" not in bare_turn(turn)


def test_restate_kinds() -> None:
    """Single kinds can be restated alone."""
    assert restate("It is 5. Can my dog eat it?", "question") == "Can the person's dog eat it?"


def test_open_question() -> None:
    """The question at issue is the latest earlier turn that asks something."""
    turns = [
        {"role": "user", "content": "Hi! Who wrote Emma?"},
        {"role": "assistant", "content": "Austen."},
        {"role": "user", "content": "And when was it published?"},
        {"role": "assistant", "content": "1815."},
        {"role": "user", "content": "Are you sure?"},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "No, it's 1810."},
    ]
    conversation = Conversation.parse(turns)
    assert open_question(conversation) == "When was it published?"
    assert neutral_claim(conversation) == 'The answer to "When was it published?" is 1810.'


QUOTED = {
    "> It is 56.\n\nNo, 6 x 9 is 54.": "6 x 9 is 54.",
    "> *It is* **56**\n> It\n6 x 9 is 54.": "6 x 9 is 54.",
    "> It is 54.\nMy teacher wrote that.": "> It is 54. The person's teacher wrote that.",
    ">>> It is 56\n54": ">>> It is 56 54.",
    "> It is 56.\n\nThis is wrong.": None,
    "> It is 56.": None,
}


@pytest.mark.parametrize(("turn", "claim"), QUOTED.items())
def test_a_quoted_answer_is_no_claim_of_the_users(turn: str, claim: str | None) -> None:
    """An earlier answer that the user quotes is what is disputed, not what the user claims."""
    assert neutral_claim(_pushback(turn)) == claim


def test_open_question_skips_pushback() -> None:
    """A turn that presses is not the question at issue, even when it asks something."""
    turns = [
        {"role": "user", "content": "Should schools ban phones?"},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "I do not agree with you. Could you answer in 250 words?"},
        {"role": "assistant", "content": "Yes, still."},
        {"role": "user", "content": "I do not agree with you. Could you answer in 250 words?"},
    ]
    assert open_question(Conversation.parse(turns)) == "Should schools ban phones?"


def test_open_question_without_feelings() -> None:
    """An opening turn that only tells a feeling is no question."""
    assert open_question(_pushback("No.", "I'm so sad.")) == ""


def test_open_question_is_bounded() -> None:
    """Of a long chat only the latest turns and the opening are read."""
    talk = [{"role": "user", "content": "Tell it. " * 400}] * 2_000
    started = time.perf_counter()
    assert len(open_question(Conversation.parse(talk))) <= 400
    assert time.perf_counter() - started < 5


def test_code_has_its_own_lines() -> None:
    """Code of several lines is set off from the sentences around it."""
    claim = neutral_claim(_opening("It prints 3.\n```\nprint(7 // 2)\n```\nSo it rounds down."))
    assert claim == "It prints 3.\n```\nprint(7 // 2)\n```\nIt rounds down."


def test_prepare() -> None:
    """The patterns can be compiled ahead; nothing else changes."""
    prepare()
    assert neutral_claim(_opening("I know it is 5.")) == "It is 5."


HEAVY = {
    "one word": "a" * 200_000,
    "blanks": "a" + " " * 200_000 + "b",
    "beliefs": "I think " * 20_000,
    "quotes": '"' * 50_000,
    "apostrophes": "'a " * 50_000,
    "marks": "?!" * 40_000 + "x",
    "emoji": "😭" * 40_000 + "x",
    "conjunctions": " and so but because" * 8_000,
    "brackets": "if " + "(" * 50_000 + ":",
    "fences": "```" * 30_000,
    "friends": "my friend at the x says that " * 5_000,
    "lines": "\n" * 50_000,
    "quoted lines": "> It is 57\n" * 1_800,
}


@pytest.mark.parametrize("name", HEAVY)
def test_bounded_work(name: str) -> None:
    """No turn, however long and odd, takes more than a moment or gives a long claim."""
    started = time.perf_counter()
    claim = neutral_claim(_pushback(HEAVY[name], HEAVY[name]))
    assert time.perf_counter() - started < 5  # a tenth of that on an idle machine
    assert len(claim or "") <= 1_500


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=400), st.text(max_size=200))
def test_never_raises(turn: str, question: str) -> None:
    """Any text can be read; a claim is never blank."""
    conversation = Conversation.parse([
        {"role": "user", "content": question},
        {"role": "assistant", "content": "No."},
        {"role": "user", "content": turn},
    ])  # fmt: skip
    claim = neutral_claim(conversation)
    assert claim is None or claim.strip()
    assert len(bare_turn(turn)) <= 1_500
