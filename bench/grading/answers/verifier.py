"""Grades math answers: cheap tiers at once and in this process, algebra in workers that can be killed."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import lru_cache

from bench.episode import Grade, Problem, Verdict
from bench.grading.answers.algebra import Algebra
from bench.grading.answers.equivalence import LONGEST_ANSWER, decide, is_unreadable, strip_unit
from bench.grading.answers.extraction import extract_answer
from bench.grading.answers.normalise import normalise
from bench.grading.answers.predictions import stated_answer
from bench.grading.answers.string_match import same_string
from bench.grading.verifier import Grading, Verifier

CACHE_SIZE = 200_000  # verdicts that are kept; the longest unused is dropped first
GRADERS = ("math_verify", "hendrycks")
_CORRECT = Verdict(Grade.CORRECT)
_WRONG = Verdict(Grade.WRONG, failure="not equal to the gold answer")
_NO_ANSWER = Verdict(Grade.NO_ANSWER, failure="the attempt states no answer")
_UNREADABLE = Verdict(Grade.UNPARSEABLE, failure="words, or numbers with a space between them, among its formulas")
_TOO_LONG = Verdict(Grade.UNPARSEABLE, failure=f"longer than {LONGEST_ANSWER} characters")


class AnswerVerifier(Verifier):
    """A `Verifier` of math answers.

    An attempt is read by `extract` (by default `extraction.extract_answer`) and compared with the problem's gold in
    tiers: equal after `normalise`; decided exactly by `equivalence.decide`; else by Math-Verify in a worker.
    The first two take microseconds and come back as a finished future. Equal pairs are compared once: verdicts are kept
    by gold and normalised answer, also while the first is still being worked on.

    With `grader="hendrycks"` the comparison is the string match of the MATH paper, and no worker is ever needed.
    """

    def __init__(
        self,
        grading: Grading,
        grader: str = "math_verify",
        extract: Callable[[str], str | None] = extract_answer,
    ) -> None:
        if grader not in GRADERS:
            raise ValueError(f"there is no grader {grader!r} of math answers; choose one of {', '.join(GRADERS)}")
        self._grader = grader
        self._extract = extract
        self._algebra = Algebra(grading)
        self._compare_by_algebra = lru_cache(CACHE_SIZE)(
            lambda gold, answer: self._algebra.submit(self._algebra.compare, f"${gold}$", f"${answer}$")
        )

    def submit(self, problem: Problem, text: str) -> Future[Verdict]:
        started = time.perf_counter()
        verdict: Future[Verdict] = Future()
        answer = self._extract(text)

        def settle(compared: Future[Verdict]) -> None:
            if compared.cancelled():
                verdict.cancel()
            elif fault := compared.exception():
                verdict.set_exception(fault)
            else:
                verdict.set_result(replace(compared.result(), answer=answer, seconds=time.perf_counter() - started))

        self._compare(problem, answer).add_done_callback(settle)
        return verdict

    @property
    def description(self) -> dict[str, str]:
        return {"grader": self._grader}

    @property
    def workers_started(self) -> bool:
        """Whether any answer has needed algebra yet."""
        return bool(self._algebra.started)

    def close(self) -> None:
        """End every process; answers that wait are not compared."""
        self._algebra.close()

    def _compare(self, problem: Problem, answer: str | None) -> Future[Verdict]:
        if answer is None:
            return _finished(_NO_ANSWER)
        gold = stated_answer(problem.gold)
        if gold is None:
            fault: Future[Verdict] = Future()
            fault.set_exception(ValueError(f"problem {problem.id!r} has an empty gold answer; leave the problem out"))
            return fault
        if self._grader == "hendrycks":
            return _finished(_CORRECT if same_string(gold, answer) else _WRONG)
        if len(answer) > LONGEST_ANSWER + len(gold):
            return _finished(_TOO_LONG)
        gold, answer = normalise(gold), normalise(answer)
        decided = decide(gold, answer)
        if decided is not None:
            return _finished(_CORRECT if decided else _WRONG)
        gold, answer = strip_unit(gold), strip_unit(answer)
        return _finished(_UNREADABLE) if is_unreadable(answer) else self._compare_by_algebra(gold, answer)


def _finished(verdict: Verdict) -> Future[Verdict]:
    future: Future[Verdict] = Future()
    future.set_result(verdict)
    return future
