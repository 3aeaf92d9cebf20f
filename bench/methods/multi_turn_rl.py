"""Plain multi-turn RL (the paper's Figures 6 and 9): the last attempt's reward, no Stage I, no bonus.

What it shows is collapse: the model learns to answer well at once and to repeat itself when asked again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bench.episode import Turn
from bench.models.interface import Policy
from bench.rollout import RolloutWorker
from bench.runs.folder import Run
from bench.tasks.interface import Task
from bench.training.advantages import last_attempt_reward
from bench.training.budget import Training
from bench.training.reinforce import Stage, reinforce


@dataclass(kw_only=True)
class MultiTurnRl:
    """One stage over two attempts. At a discount of 0 the first attempt moves only as it shares weights with the
    second; a higher one lets it earn from the second's reward, as in Figure 9."""

    trains: ClassVar[bool] = True

    beta1: float  # KL coefficient of both attempts
    discount: float  # of later rewards in an attempt's return

    def __post_init__(self) -> None:
        if not 0 <= self.discount <= 1:
            raise ValueError(f"method.discount must lie in [0, 1], not {self.discount}")
        if self.beta1 < 0:
            raise ValueError(f"method.beta1 must not be negative, and is {self.beta1}")

    def script(self, task: Task) -> tuple[Turn, ...]:
        return task.script()

    def train(self, policy: Policy, player: RolloutWorker, run: Run, training: Training) -> None:
        stage = Stage(
            "multi_turn",
            num_steps=training.rl.num_steps,
            script=player.task.script(),
            reward=last_attempt_reward,
            kl=(self.beta1, self.beta1),
            discount=self.discount,
        )
        reinforce(policy, player, run, training.rl, stage)
