"""SCoRe (Kumar et al. 2024, arXiv 2409.12917): reinforcement learning over two attempts, in two stages.

Stage I (Eq. 3) rewards the last attempt alone and holds the first to the base model by a strong KL term, so that the
second attempt learns to differ from it instead of both becoming one answer. Stage II (Eq. 4) rewards both, with a bonus
for progress: r_t + α (r_t − r_{t−1}). Everything else is `bench.training.reinforce`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from bench.episode import Attempt, Turn
from bench.models.interface import Policy
from bench.rollout import RolloutWorker, request_seed
from bench.runs.folder import Run
from bench.tasks.interface import Task
from bench.training.advantages import Row, last_attempt_reward, progress_reward, residual_reward
from bench.training.budget import Training
from bench.training.reinforce import Stage, order_seed, problems_of_step, reinforce


class Baseline(Enum):
    """What a sample's return is compared with. Both have the same expected gradient at discount 0."""

    loo = "loo"  # the mean of the problem's other samples: the paper's
    loo_residual = "loo_residual"  # the same after taking out the sample's own −α r_{t−1}, which is noise given y_{t−1}


@dataclass(kw_only=True)
class Score:
    """The paper's method; its ablations are other values of the same fields."""

    trains: ClassVar[bool] = True

    alpha: float  # the bonus for progress; 0 is "w/o reward shaping"
    beta1: float  # KL coefficient of every attempt in both stages, but for those held in Stage I
    beta2: float  # KL coefficient of the attempts that Stage I holds to the base model
    adaptive_beta2: bool  # scale it as training goes, so that the divergence costs that part of the reward
    stage1_fraction: float  # Stage I's part of the steps; 0 is "w/o Stage I", 1 is Stage I alone
    discount: float  # of later rewards in an attempt's return
    baseline: Baseline  # what a sample's return is compared with
    offline_fraction: float  # of Stage II's first attempts, the base model's; 1 is "w/o online turn-1 samples"
    num_attempts: int  # trained on; with three, Stage I trains the second attempt first and then the third

    def __post_init__(self) -> None:
        for name in ("stage1_fraction", "offline_fraction", "discount"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"method.{name} must lie in [0, 1], not {getattr(self, name)}")
        for name in ("alpha", "beta1", "beta2"):
            if getattr(self, name) < 0:
                raise ValueError(f"method.{name} must not be negative, and is {getattr(self, name)}")
        if self.num_attempts < 2:
            raise ValueError(
                f"method.num_attempts must be at least 2, not {self.num_attempts}: nothing would be corrected"
            )
        if self.baseline is Baseline.loo_residual and self.discount > 0:
            raise ValueError("method.baseline=loo_residual has the right expectation at method.discount=0 only")

    def script(self, task: Task) -> tuple[Turn, ...]:
        return task.script()

    def train(self, policy: Policy, player: RolloutWorker, run: Run, training: Training) -> None:
        offline = self._base_attempts(policy, player, training)
        for stage in self._stages(player.task, num_steps=training.rl.num_steps, offline=offline):
            reinforce(policy, player, run, training.rl, stage)

    def _stages(self, task: Task, *, num_steps: int, offline: Mapping[tuple[str, int], Attempt]) -> list[Stage]:
        """Stage I once per attempt after the first (the camera-ready's 1(a), 1(b), …), then Stage II."""
        held = range(1, self.num_attempts)
        first_steps = self._stage1_steps(num_steps)
        stages = [
            Stage(
                "stage1" if self.num_attempts == 2 else f"stage1{chr(ord('a') + place)}",
                num_steps=first_steps // len(held) + (place < first_steps % len(held)),
                script=task.script() * num_held,
                reward=last_attempt_reward,
                kl=(self.beta2,) * num_held + (self.beta1,),
                num_kl_anchored=num_held if self.adaptive_beta2 else 0,
                discount=self.discount,
            )
            for place, num_held in enumerate(held)
        ]
        stage2 = Stage(
            "stage2",
            num_steps=num_steps - first_steps,
            script=task.script() * (self.num_attempts - 1),
            reward=self._progress,
            credited=self._progress_alone if self.baseline is Baseline.loo_residual else None,
            kl=(self.beta1,) * self.num_attempts,
            discount=self.discount,
            prefilled_attempts=offline,
        )
        return [*stages, stage2]

    def _progress(self, rewards: Sequence[float]) -> Row:
        return progress_reward(rewards, alpha=self.alpha)

    def _progress_alone(self, rewards: Sequence[float]) -> Row:
        return residual_reward(self._progress(rewards), rewards, alpha=self.alpha)

    def _stage1_steps(self, num_steps: int) -> int:
        return round(self.stage1_fraction * num_steps)

    def _base_attempts(
        self, policy: Policy, player: RolloutWorker, training: Training
    ) -> dict[tuple[str, int], Attempt]:
        """First attempts of the base model, which the policy still is, for a random part of Stage II's places.

        Only those that Stage II will go on from are sampled. Each of them is at least one first attempt that Stage II
        does not sample, so the method never samples more than SCoRe does.
        """
        rl = training.rl
        num_steps = rl.num_steps - self._stage1_steps(rl.num_steps)
        if self.offline_fraction == 0 or num_steps == 0:
            return {}
        problems = player.task.problems("train")
        draw = random.Random(request_seed(player.seed, "score/offline"))
        wanted = {
            (problem.id, sample)
            for problem in problems
            for sample in range(rl.samples_per_problem)
            if draw.random() < self.offline_fraction
        }
        seed = order_seed(player, "stage2")
        asked = {
            problem.id
            for step in range(num_steps)
            for problem in problems_of_step(problems, step, size=rl.problems_per_step, seed=seed)
        }
        episodes = player.play(
            policy,
            [problem for problem in problems if problem.id in asked],
            script=(),
            sampling=rl.sampling,
            num_samples=rl.samples_per_problem,
            only=wanted,
            label="offline",
        )
        return {(episode.problem.id, episode.sample): episode.attempts[0] for episode in episodes}
