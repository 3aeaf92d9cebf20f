"""What a running experiment reports of its progress to the process that started it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Work(Enum):
    """Kinds of work, which differ in speed. A unit of each is one conversation."""

    step = "step"  # of reinforcement: sampled and learned from at once
    sample = "sample"  # for a supervised method to learn from
    learn = "learn"  # a supervised update
    evaluate = "evaluate"


@dataclass(frozen=True, slots=True)
class Status:
    """Progress of a running experiment."""

    phase: str
    done: int = 0  # of the phase's own units
    total: int = 0  # 0 where the phase has none
    work: Work | None = None  # the kind that the phase does; None where nothing can be counted
    left: Mapping[Work, int] = field(default_factory=dict)  # pieces of each kind; empty until that is known

    def __str__(self) -> str:
        return f"{self.phase} {self.done}/{self.total}" if self.total else self.phase
