"""Episodes made by hand, for tests that need no model."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Self

from bench.episode import Attempt, Completion, Dialogue, Episode, Grade, Problem, Turn, Verdict
from bench.grading.verifier import Grading


def attempt(*, correct: bool, text: str = "", ids: Sequence[int] = (1, 2), truncated: bool = False) -> Attempt:
    completion = Completion(text, tuple(ids), (0.0,) * len(ids), truncated)
    grade = Grade.CORRECT if correct else Grade.WRONG
    return Attempt(completion, Verdict(grade, answer=text or ("right" if correct else "wrong")))


def episode(rewards: Sequence[float], *, problem: str = "p", sample: int = 0, opening: int = 3) -> Episode:
    """Attempts of two tokens each after an opening, with one token of bridge between them."""
    spans, token_ids = [], list(range(opening))
    attempts = tuple(attempt(correct=bool(reward)) for reward in rewards)
    for place, each in enumerate(attempts):
        token_ids += [0] * bool(place)
        spans.append((len(token_ids), len(token_ids) + 2))
        token_ids += each.completion.token_ids
    return Episode(Problem(problem, "?", "right"), sample, tuple(token_ids), tuple(spans), attempts)


def ask_again(dialogue: Dialogue) -> Turn:  # noqa: ARG001  whatever was said
    return Turn("Again?")


class EqualsGold:
    """A verifier that compares the whole text with the gold."""

    description = {"grader": "equals gold"}  # noqa: RUF012  constant

    def submit(self, problem: Problem, text: str) -> Future[Verdict]:
        verdict: Future[Verdict] = Future()
        verdict.set_result(Verdict(Grade.CORRECT if text == problem.gold else Grade.WRONG, answer=text))
        return verdict

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None: ...


class Riddles:
    """A task whose problems and texts are given; the user asks once more."""

    name = "riddles"

    def __init__(self, problems: Sequence[Problem], correction: str = "Again?", stop: Sequence[str] = ()) -> None:
        self.stop_strings = tuple(stop)
        self._problems = tuple(problems)
        self.correction = correction

    downloads = False

    def check(self) -> None: ...

    def problems(self, split: str) -> tuple[Problem, ...]:  # noqa: ARG002  the same for every split
        return self._problems

    def prompt(self, problem: Problem) -> str:
        return problem.question

    def verifier(self, grading: Grading) -> EqualsGold:  # noqa: ARG002  needs no limits
        return EqualsGold()

    def canonical_id(self, raw: str | int) -> str:
        return str(raw)

    def revisions(self) -> dict[str, str]:
        return {}
