"""Grades math answers: cheap tiers at once and in this process, algebra in workers that can be killed."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from bench.episode import Grade, Problem, Verdict
from bench.grading.answers.equivalence import LONGEST_ANSWER, decide, is_unreadable, strip_unit
from bench.grading.answers.extraction import extract_answer
from bench.grading.answers.normalise import normalise
from bench.grading.answers.predictions import stated_answer
from bench.grading.answers.string_match import same_string
from bench.grading.answers.workers import AlgebraPool, Judgement
from bench.grading.verifier import Grading

MEMORY_SIZE = 200_000  # judgements that are remembered; the longest unused is forgotten first
GRADERS = ("math_verify", "hendrycks")
_CORRECT = Judgement(Grade.CORRECT, "")
_WRONG = Judgement(Grade.WRONG, "not equal to the gold answer")
_NO_ANSWER = Judgement(Grade.NO_ANSWER, "the attempt states no answer")
_UNREADABLE = Judgement(Grade.UNPARSEABLE, "words, or numbers with a space between them, among its formulas")
_TOO_LONG = Judgement(Grade.UNPARSEABLE, f"longer than {LONGEST_ANSWER} characters")


class AnswerVerifier:
    """A `Verifier` of math answers.

    An attempt is read by `extract` (`extraction.extract_answer` unless told otherwise) and compared with the problem's
    gold in tiers: equal after `normalise`; decided exactly by `equivalence.decide`; else by Math-Verify in a worker.
    The first two take microseconds and come back as a finished future. Equal questions are asked once: judgements are
    remembered by gold and normalised answer, also while the first is still being worked on.

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
        self.description = {"grader": grader}
        self._same_string = same_string if grader == "hendrycks" else None
        self._extract = extract
        self._pool = AlgebraPool(
            num_workers=grading.num_workers, seconds=grading.answer_seconds, memory_mb=grading.memory_mb
        )
        self._threads = ThreadPoolExecutor(grading.num_workers, thread_name_prefix="answers")
        self._memory: OrderedDict[tuple[str, str], Future[Judgement]] = OrderedDict()
        self._lock = threading.Lock()

    def submit(self, problem: Problem, text: str) -> Future[Verdict]:
        started = time.perf_counter()
        verdict: Future[Verdict] = Future()
        answer = self._extract(text)

        def settle(judged: Future[Judgement]) -> None:
            if judged.cancelled():
                verdict.cancel()
            elif fault := judged.exception():
                verdict.set_exception(fault)
            else:
                grade, failure = judged.result()
                verdict.set_result(Verdict(grade, answer, failure, time.perf_counter() - started))

        self._judge(problem, answer).add_done_callback(settle)
        return verdict

    @property
    def workers_started(self) -> bool:
        """Whether any answer has needed algebra yet."""
        return self._pool.started

    def close(self) -> None:
        """Answers that still wait are cancelled; those being compared are awaited, as long as their time lasts."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _judge(self, problem: Problem, answer: str | None) -> Future[Judgement]:
        if answer is None:
            return _finished(_NO_ANSWER)
        gold = stated_answer(problem.gold)
        if gold is None:
            fault: Future[Judgement] = Future()
            fault.set_exception(ValueError(f"problem {problem.id!r} has an empty gold answer; leave the problem out"))
            return fault
        if self._same_string:
            return _finished(_CORRECT if self._same_string(gold, answer) else _WRONG)
        if len(answer) > LONGEST_ANSWER + len(gold):
            return _finished(_TOO_LONG)
        gold, answer = normalise(gold), normalise(answer)
        decided = decide(gold, answer)
        if decided is not None:
            return _finished(_CORRECT if decided else _WRONG)
        gold, answer = strip_unit(gold), strip_unit(answer)
        return _finished(_UNREADABLE) if is_unreadable(answer) else self._ask_algebra(gold, answer)

    def _ask_algebra(self, gold: str, answer: str) -> Future[Judgement]:
        key = (gold, answer)
        with self._lock:
            judgement = self._memory.get(key)
            if judgement is not None and not (judgement.done() and judgement.exception()):
                self._memory.move_to_end(key)
                return judgement
            judgement = self._memory[key] = self._threads.submit(self._pool.judge, f"${gold}$", f"${answer}$")
            if len(self._memory) > MEMORY_SIZE:
                self._memory.popitem(last=False)
            return judgement


def _finished(judgement: Judgement) -> Future[Judgement]:
    future: Future[Judgement] = Future()
    future.set_result(judgement)
    return future
