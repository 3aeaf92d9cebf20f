"""Reinforcement learning on the first attempt alone (Eq. 2), evaluated on two: "w/o multi-turn training"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bench.episode import Turn
from bench.models.interface import Policy
from bench.rollout import RolloutWorker
from bench.runs.folder import Run
from bench.tasks.interface import Task
from bench.training.budget import Training
from bench.training.reinforce import Stage, reinforce


@dataclass(kw_only=True)
class SingleTurnRl:
    """Differs from SCoRe in everything but the learner: one attempt, one stage, its plain reward."""

    trains: ClassVar[bool] = True

    beta1: float  # KL coefficient

    def __post_init__(self) -> None:
        if self.beta1 < 0:
            raise ValueError(f"method.beta1 must not be negative, and is {self.beta1}")

    def script(self, task: Task) -> tuple[Turn, ...]:
        return task.script()

    def train(self, policy: Policy, player: RolloutWorker, run: Run, training: Training) -> None:
        steps = training.rl.num_steps
        stage = Stage("single_turn", num_steps=steps, script=(), reward=tuple, kl=(self.beta1,))
        reinforce(policy, player, run, training.rl, stage)
