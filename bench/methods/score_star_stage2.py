"""SCoRe's Stage I, then STaR in place of Stage II's reinforcement learning (the paper's Table 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from bench.episode import Turn
from bench.files import write_folder
from bench.models.interface import Policy
from bench.rollout import RolloutWorker
from bench.runs.folder import Run
from bench.tasks.interface import Task
from bench.training.advantages import last_attempt_reward
from bench.training.budget import Training
from bench.training.reinforce import Stage, reinforce
from bench.training.self_training import self_train


@dataclass(kw_only=True)
class ScoreStarStage2:
    """Every iteration of STaR continues from Stage I's weights: the base model's would throw Stage I away."""

    trains: ClassVar[bool] = True

    beta1: float  # KL coefficient of the second attempt in Stage I, as SCoRe's
    beta2: float  # KL coefficient of the first attempt, which Stage I holds to the base model
    stage1_fraction: float  # of the budget; STaR samples what is left of it
    num_iterations: int  # of STaR
    keep_correct: bool  # also keep conversations whose first attempt is correct: the paper's D+, otherwise D

    def __post_init__(self) -> None:
        if not 0 < self.stage1_fraction < 1:
            raise ValueError(f"method.stage1_fraction must lie in (0, 1), not {self.stage1_fraction}")
        if self.num_iterations < 1:
            raise ValueError(f"method.num_iterations must be at least 1, not {self.num_iterations}")

    def script(self, task: Task) -> tuple[Turn, ...]:
        return task.script()

    def train(self, policy: Policy, player: RolloutWorker, run: Run, training: Training) -> None:
        num_steps = training.rl.num_steps
        stage1 = Stage(
            "stage1",
            num_steps=round(self.stage1_fraction * num_steps),
            script=player.task.script(),
            reward=last_attempt_reward,
            kl=(self.beta2, self.beta1),
        )
        reinforce(policy, player, run, training.rl, stage1)
        stage1_weights = run.best_weights("after_stage1", stage1.num_steps)
        if not stage1_weights.exists():  # once STaR is under way, a resumed run's policy is no longer Stage I's
            write_folder(stage1_weights, policy.save)
        self_train(
            policy,
            player,
            run,
            training.sft,
            stage="star",
            num_conversations=training.collected(
                len(player.task.problems("train")), num_steps=num_steps - stage1.num_steps
            ),
            num_updates=training.imitation_updates(share=1 - stage1.num_steps / num_steps),
            num_iterations=self.num_iterations,
            keep=self._keep,
            loss_on_first=False,
            start=lambda: policy.restore(stage1_weights),
        )

    def _keep(self, rewards: Sequence[float]) -> bool:
        return rewards[-1] == 1 and (self.keep_correct or rewards[0] == 0)
