"""Math-Verify in processes that can be killed (see math_verify_worker.py)."""

import os
import socket
import sys

from bench.episode import Grade, Verdict
from bench.grading.sandbox.confinement import PROJECT, program_files
from bench.grading.sandbox.workers import Worker, WorkerDiedError, Workers, start_process
from bench.grading.verifier import Grading

MODULE = "answers.math_verify_worker"
ANSWERS_PER_WORKER = 2000  # then it is replaced, since sympy's caches grow
FAILURES = {
    Grade.CORRECT: "",
    Grade.WRONG: "not equal to the gold answer",
    Grade.UNPARSEABLE: "Math-Verify cannot read it",
    Grade.MEMORY: "comparing it exhausted its memory",
}


class Algebra(Workers):
    """Compares answers side by side, in as many processes as are needed and at most `grading.num_workers`."""

    def __init__(self, grading: Grading) -> None:
        super().__init__(grading.num_workers, self._start_worker)
        self._grading = grading

    def compare(self, gold: str, answer: str) -> Verdict:
        """Math-Verify's verdict on two formulas in dollars, within the limits; to be submitted to a thread of this.

        An answer that ends two workers in a row is UNPARSEABLE.
        """
        for _ in range(2):
            worker = self.own()
            try:
                reply = worker.ask({"gold": gold, "answer": answer}, self._grading.answer_seconds)
            except WorkerDiedError as death:
                self.discard()
                if death.overdue:
                    return Verdict(Grade.TIMEOUT, failure=f"comparing it: {death}")
                continue
            if reply["exhausted"] or worker.num_jobs >= ANSWERS_PER_WORKER:
                self.discard()
            grade = Grade(reply["grade"])
            if reply["exhausted"] and grade is not Grade.CORRECT:
                grade = Grade.MEMORY
            return Verdict(grade, failure=FAILURES[grade])
        return Verdict(Grade.UNPARSEABLE, failure="comparing it ended the process that tried, twice")

    def _start_worker(self) -> Worker:
        ours, theirs = socket.socketpair()
        options = {
            "parent": os.getpid(),
            "memory_mb": self._grading.memory_mb,
            "seconds": self._grading.answer_seconds,
            "readable": tuple(map(str, program_files())),
        }
        packages = [*filter(None, sys.path), PROJECT]  # sympy may be the system's, and not the environment's
        with theirs:
            process = start_process(MODULE, [theirs], options, packages=packages)
        return Worker([process], ours)
