"""The base model, asked twice: what every method starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bench.episode import Turn
from bench.models.interface import Policy
from bench.rollout import RolloutWorker
from bench.runs.folder import Run
from bench.tasks.interface import Task
from bench.training.budget import Training


@dataclass(kw_only=True)
class Base:
    """No training; the paper's correction instruction."""

    trains: ClassVar[bool] = False

    def script(self, task: Task) -> tuple[Turn, ...]:
        return task.script()

    def train(self, policy: Policy, player: RolloutWorker, run: Run, training: Training) -> None: ...
