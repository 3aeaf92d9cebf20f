"""What other packages use of a task."""

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from bench.episode import Problem
from bench.grading.verifier import Grading, Verifier

SPLITS = ("train", "dev", "test")


class Source(Enum):
    """Where a task's problems come from. An Enum, so that Hydra refuses any other word when it composes."""

    hub = "hub"  # downloaded with `datasets`, by the id in the task's YAML
    local = "local"  # a file or folder on this machine, named by the task's `path`


class Task(Protocol):
    """Poses problems, renders what the user says, and names the verifier that grades the replies.

    A task is one dataclass whose fields are its configuration. Problems are loaded once, at the first call that needs
    them, and loading refuses a test problem that stands in training.
    """

    @property
    def name(self) -> str: ...

    @property
    def correction(self) -> str:
        """What the user says after an attempt to get another: it never tells whether the attempt was right."""
        ...

    @property
    def stop_strings(self) -> Sequence[str]:
        """Sampling an attempt ends with the first of these: what closes an answer in the format the prompt teaches."""
        ...

    @property
    def downloads(self) -> bool:
        """Whether problems come from a hub, and so are not read while a sweep is planned."""
        ...

    def check(self) -> None:
        """Raise ValueError, with a hint, if the source cannot be read. Loads local and generated problems (under a
        second for all of MATH), so that a bad line is found before any model is; downloads nothing."""
        ...

    def problems(self, split: str) -> tuple[Problem, ...]:
        """The problems of "train", "dev" (never part of test) or "test", always in the same order."""
        ...

    def revisions(self) -> dict[str, str]:
        """The commits of the hub's data sets that have been loaded, by their ids."""
        ...

    def prompt(self, problem: Problem) -> str:
        """The first user message. Never holds the gold, nor a test that is not meant to be shown."""
        ...

    def verifier(self, grading: Grading) -> Verifier:
        """A grader for this task's problems; the caller closes it."""
        ...

    def canonical_id(self, raw: str | int) -> str:
        """The id here of a problem that other files call "HumanEval/0", 234 or "test/algebra/2584.json"."""
        ...


def training_task(task: Task) -> Task:
    """The task whose problems `task` trains on: itself, unless it has a field `training`, as HumanEval's MBPP."""
    return getattr(task, "training", task)


def require_split(split: str) -> None:
    if split not in SPLITS:
        raise ValueError(f"there is no split {split!r}; the splits are {', '.join(SPLITS)}")
