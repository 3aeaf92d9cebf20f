"""SCoRe (Kumar et al. 2024, arXiv 2409.12917): reinforcement learning over two attempts, in two stages.

Stage I (Eq. 3) rewards the last attempt alone and anchors the first to the base model by a strong KL term, so that the
second attempt learns to differ from it instead of both becoming one answer. Stage II (Eq. 4) rewards both, with a bonus
for progress: r_t + α (r_t − r_{t−1}).
"""

from dataclasses import dataclass
from enum import Enum
from functools import partial

from bench.methods.interface import Method
from bench.tasks.interface import Task
from bench.training.advantages import check_discount, last_attempt_reward, per_attempt, progress_reward, residual_reward
from bench.training.config import Training
from bench.training.stages import Reinforce, Stage


class Baseline(Enum):
    """What a sample's return is compared with. Both have the same expected gradient at discount 0."""

    loo = "loo"  # the mean of the problem's other samples: the paper's
    loo_residual = "loo_residual"  # the same after taking out the sample's own −α r_{t−1}, which is noise given y_{t−1}


@dataclass(kw_only=True)
class Score(Method):
    """The paper's method; its ablations are other values of the same fields."""

    stage1: bool  # False: Stage II from the base model, for all steps
    stage2: bool  # False: Stage I for all steps
    reward_shaping: bool  # the bonus for progress in Stage II
    adaptive_beta2: bool  # scale beta2 as training goes, so that the divergence costs that part of the reward
    discount: float  # of later rewards in an attempt's return
    baseline: Baseline
    offline_fraction: float  # of Stage II's first attempts, the base model's; 1 is "w/o online turn-1 samples"
    num_attempts: int  # trained on; with three, Stage I trains the second attempt first and then the third

    def __post_init__(self) -> None:
        check_discount(self.discount)
        if not 0 <= self.offline_fraction <= 1:
            raise ValueError(f"method.offline_fraction must lie in [0, 1], not {self.offline_fraction}")
        if self.num_attempts < 2:
            raise ValueError(
                f"method.num_attempts must be at least 2, not {self.num_attempts}: nothing would be corrected"
            )
        if not (self.stage1 or self.stage2):
            raise ValueError("method.stage1=false and method.stage2=false leave nothing to train")
        if self.baseline is Baseline.loo_residual and self.discount > 0:
            raise ValueError("method.baseline=loo_residual has the right expectation at method.discount=0 only")

    def stages(self, task: Task, training: Training) -> list[Stage]:  # noqa: ARG002
        total = training.rl.num_steps
        first = (stage1_steps(training) if self.stage2 else total) if self.stage1 else 0
        return [*self._stage1(training, num_steps=first), self._stage2(training, num_steps=total - first)]

    def _stage1(self, training: Training, *, num_steps: int) -> list[Stage]:
        """Once per attempt after the first (the camera-ready's 1(a), 1(b), ...)."""
        parts = range(1, self.num_attempts)
        return [
            stage1(
                training,
                name="stage1" if self.num_attempts == 2 else f"stage1{chr(ord('a') + place)}",
                num_steps=num_steps // len(parts) + (place < num_steps % len(parts)),
                num_anchored=num_anchored,
                adaptive_beta2=self.adaptive_beta2,
                discount=self.discount,
            )
            for place, num_anchored in enumerate(parts)
            if num_steps
        ]

    def _stage2(self, training: Training, *, num_steps: int) -> Stage:
        alpha = training.alpha if self.reward_shaping and num_steps else 0.0
        residual = per_attempt(partial(residual_reward, alpha=alpha))
        return Reinforce(
            name="stage2",
            num_steps=num_steps,
            num_attempts=self.num_attempts,
            reward=per_attempt(partial(progress_reward, alpha=alpha)),
            advantage_reward=residual if self.baseline is Baseline.loo_residual else None,
            kl_coefs=(training.beta1,),
            discount=self.discount,
            prefilled_fraction=self.offline_fraction,
        )


def stage1(
    training: Training,
    *,
    num_steps: int,
    name: str = "stage1",
    num_anchored: int = 1,
    adaptive_beta2: bool = False,
    discount: float = 0.0,
) -> Reinforce:
    """Eq. 3: the last attempt's reward, with the `num_anchored` attempts before it kept near the base by beta2."""
    return Reinforce(
        name=name,
        num_steps=num_steps,
        num_attempts=num_anchored + 1,
        reward=per_attempt(last_attempt_reward),
        kl_coefs=(training.beta2,) * num_anchored + (training.beta1,),
        num_kl_anchored=num_anchored if adaptive_beta2 else 0,
        discount=discount,
    )


def stage1_steps(training: Training) -> int:
    return round(training.stage1_fraction * training.rl.num_steps)
