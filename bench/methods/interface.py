"""What the experiment may ask of a method. A method is one dataclass: its fields are its hyperparameters."""

from __future__ import annotations

from typing import ClassVar, Protocol

from bench.episode import Turn
from bench.models.interface import Policy
from bench.rollout import RolloutWorker
from bench.runs.folder import Run
from bench.tasks.interface import Task
from bench.training.budget import Training


class Method(Protocol):
    """A way to make a model correct itself. It never evaluates itself, and knows neither results nor other methods."""

    trains: ClassVar[bool]

    def script(self, task: Task) -> tuple[Turn, ...]:
        """What the user says to get one more attempt; evaluation repeats it for as many attempts as it wants."""
        ...

    def train(self, policy: Policy, player: RolloutWorker, run: Run, training: Training) -> None:
        """Move the policy's weights. Never called where `trains` is False."""
        ...
