"""SCoRe (Kumar et al. 2024, arXiv 2409.12917): reinforcement learning over two attempts, in two stages.

Stage I (Eq. 3) rewards the last attempt alone and holds the first to the base model by a strong KL term, so that the
second attempt learns to differ from it instead of both becoming one answer. Stage II (Eq. 4) rewards both, with a bonus
for progress: r_t + α (r_t − r_{t−1}). Everything else is `bench.training.reinforce`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from bench.episode import Turn
from bench.policies.policy import Policy
from bench.results import Run
from bench.rollout import Player
from bench.tasks.task import Task
from bench.training.budget import Training
from bench.training.credit import Row, last_only, with_bonus
from bench.training.reinforce import Stage, reinforce


@dataclass(kw_only=True)
class Score:
    """The paper's method; its ablations are other values of the same fields."""

    trains: ClassVar[bool] = True

    alpha: float  # the bonus for progress; 0 is "w/o reward shaping"
    beta1: float  # KL coefficient of every attempt in both stages, but for the first in Stage I
    beta2: float  # KL coefficient of the first attempt in Stage I
    stage1_fraction: float  # Stage I's part of the steps; 0 is "w/o Stage I"

    def __post_init__(self) -> None:
        if not 0 <= self.stage1_fraction <= 1:
            raise ValueError(f"method.stage1_fraction must lie in [0, 1], not {self.stage1_fraction}")
        for name in ("alpha", "beta1", "beta2"):
            if getattr(self, name) < 0:
                raise ValueError(f"method.{name} must not be negative, and is {getattr(self, name)}")

    def script(self, task: Task) -> tuple[Turn, ...]:
        return task.script()

    def train(self, policy: Policy, player: Player, run: Run, training: Training) -> None:
        script = player.task.script()
        steps = round(self.stage1_fraction * training.rl.num_steps)
        stage1 = Stage("stage1", num_steps=steps, script=script, reward=last_only, kl=(self.beta2, self.beta1))
        stage2 = Stage(
            "stage2",
            num_steps=training.rl.num_steps - steps,
            script=script,
            reward=self._progress,
            kl=(self.beta1, self.beta1),
        )
        for stage in (stage1, stage2):
            reinforce(policy, player, run, training.rl, stage)

    def _progress(self, rewards: Sequence[float]) -> Row:
        return with_bonus(rewards, alpha=self.alpha)
