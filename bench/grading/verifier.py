"""The interface of a verifier, and the limits that a user may set on grading."""

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, Self

from bench.episode import Problem, Verdict
from bench.machine import available_cores


@dataclass
class Grading:
    """Limits on the grading of one attempt. Exceeding one is the attempt's own verdict (timeout, memory)."""

    workers: int = 0  # processes that grade side by side; 0: one per core that an experiment of the sweep has
    answer_seconds: float = 5.0  # wall clock for one math answer
    program_seconds: float = 10.0  # wall clock for one program with all its tests
    memory_mb: int = 2048  # address space of one grading process
    allow_unsafe: bool = False  # run generated programs even where the host offers no isolation

    def __post_init__(self) -> None:
        for name in ("answer_seconds", "program_seconds", "memory_mb"):
            if getattr(self, name) <= 0:
                raise ValueError(f"grading.{name} must be positive, not {getattr(self, name)}")
        if self.workers < 0:
            raise ValueError(f"grading.workers must be 0 (one per core) or positive, not {self.workers}")

    @property
    def num_workers(self) -> int:
        return self.workers or available_cores()


class Verifier(Protocol):
    """Grades attempts while generation goes on: submit() returns at once, the verdict comes through the future.

    A fault of the verifier itself (a worker that cannot start, a broken sandbox) is raised by the future: it is never
    a grade.
    """

    def submit(self, problem: Problem, text: str) -> Future[Verdict]: ...

    @property
    def description(self) -> dict[str, str]:
        """What the verdicts rest on (the grader, the isolation of programs), for manifests."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
