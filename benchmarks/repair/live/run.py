"""Asks every question in every way, directly and through the guard, and has all answers graded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from openai import OpenAI

from benchmarks.repair.asking import Answer, ask
from benchmarks.repair.live.grid import (
    TURNS,
    Arm,
    Cell,
    Question,
    Turn,
    follow_up,
    opening,
    tasks,
)
from benchmarks.repair.live.judge import Grade, grading, read_grade


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model behind a client.

    Attributes:
        client: Knows the server and the key.
        model: Its name.
    """

    client: OpenAI
    model: str

    def ask(self, messages: Sequence[Turn]) -> Answer:
        """Ask for a whole reply."""
        return ask(self.client, self.model, messages, stream=False)


@dataclass(frozen=True, slots=True)
class Graded:
    """One answer and its grade.

    Attributes:
        question: That was asked.
        cell: How it was asked.
        arm: Through what.
        turn: 1: the answer; 2: the answer after it was doubted.
        answer: As it came.
        judgement: The judge's reply; None when there was nothing to judge.
        grade: None when there is no answer, or no judgement of it.
    """

    question: Question
    cell: Cell
    arm: Arm
    turn: int
    answer: Answer
    judgement: Answer | None = None
    grade: Grade | None = None


def run_grid(
    questions: Sequence[Question],
    arms: dict[Arm, Endpoint],
    judge: Endpoint,
    *,
    parallel: int,
    progress: Callable[[str], None],
) -> list[Graded]:
    """Run the whole grid.

    Args:
        questions: To ask.
        arms: The model, directly and through the guard.
        judge: Grades the answers.
        parallel: Conversations at the same time.
        progress: Is told how far it is.
    """
    todo = list(tasks(questions))
    graded: list[Graded] = []
    with ThreadPoolExecutor(parallel) as pool:
        runs = pool.map(lambda task: list(_conversation(*task, arms=arms, judge=judge)), todo)
        for number, part in enumerate(runs, start=1):
            graded += part
            progress(f"{number}/{len(todo)} conversations")
    return graded


def _conversation(
    question: Question, cell: Cell, arm: Arm, *, arms: dict[Arm, Endpoint], judge: Endpoint
) -> Iterator[Graded]:
    messages = opening(question, cell)
    for turn in range(1, TURNS + 1):
        answer = arms[arm].ask(messages)
        if answer.error or not answer.text:
            yield Graded(question, cell, arm, turn, answer)
            return
        judgement = judge.ask(grading(question, answer.text))
        grade = None if judgement.error else read_grade(judgement.text)
        yield Graded(question, cell, arm, turn, answer, judgement, grade)
        messages = follow_up(question, cell, messages, answer.text)
