"""What all trained methods share: one budget by kind of training, and the coefficients that tie them together."""

from dataclasses import dataclass, field
from enum import Enum

from bench.episode import SamplingParams
from bench.models.interface import KLEstimator, OptimizerConfig
from bench.training.alerts import AlertThresholds


class Selection(Enum):
    """Which checkpoint a reinforcement stage ends with. Imitation keeps its last weights, whatever this says."""

    best_reward = "best_reward"  # the one before which the mean reward was highest, see Reinforce.reward (the paper's)
    best_dev = "best_dev"  # the one of highest accuracy, greedy, at the last attempt on the dev split
    last = "last"


@dataclass(kw_only=True)
class ReinforceConfig:
    """What every reinforcement method may spend, and how it steps. One budget, shared by all (conf/training/)."""

    num_steps: int  # over all stages of a method
    problems_per_step: int  # a step is one update, from newly sampled conversations
    group_size: int  # conversations per problem and step, each compared with the others
    optimizer: OptimizerConfig
    sampling: SamplingParams
    kl_estimator: KLEstimator  # how the divergence from the base model is estimated
    selection: Selection  # which checkpoint a stage ends with
    checkpoint_every: int  # steps; `best_reward` compares checkpoints by the mean reward of the steps between them
    # Off: the sampler that trains is the learner itself. With one that computes in another way, 2 is the usual value:
    # each token's loss is multiplied by its probability under the learner over that under the sampler, 2 at most.
    importance_cap: float | None = None
    alerts: AlertThresholds = field(default_factory=AlertThresholds)

    def __post_init__(self) -> None:
        if self.group_size < 2:
            raise ValueError(
                f"training.rl.group_size={self.group_size}: a leave-one-out baseline compares a problem's samples with "
                "each other and needs at least 2"
            )
        if not self.sampling.is_full_distribution or self.sampling.temperature != 1:
            raise ValueError(
                "training.rl.sampling must be the policy itself: temperature=1 top_p=1 top_k=0. Samples from a "
                "truncated or reshaped distribution, scored under the full one, make the gradient wrong"
            )
        if self.importance_cap is not None and self.importance_cap < 1:
            raise ValueError(
                f"training.rl.importance_cap={self.importance_cap} would cut the weights of tokens that sampler "
                "and learner agree on: set 1 or more (2 is usual), or null for none"
            )
        for count in ("num_steps", "problems_per_step", "checkpoint_every"):
            if getattr(self, count) < 1:
                raise ValueError(f"training.rl.{count} must be at least 1, not {getattr(self, count)}")

    @property
    def conversations_per_step(self) -> int:
        return self.problems_per_step * self.group_size


@dataclass(kw_only=True)
class ImitateConfig:
    """What every supervised method may spend. One budget, shared by all (conf/training/)."""

    samples_per_problem: int | None  # collected per training problem in all; None: what reinforcement samples
    sampling: SamplingParams
    num_updates: int | None  # of a method in all, over its iterations; None: as many as num_epochs make
    num_epochs: int  # passes over the collected conversations
    batch_size: int  # conversations per update
    checkpoint_every: int  # updates
    optimizer: OptimizerConfig
    probe_every: int  # updates between two probes, where a method has one; 0 for none
    probe_problems: int  # of each split that a probe looks at

    def __post_init__(self) -> None:
        if self.probe_every < 0:
            raise ValueError(f"training.sft.probe_every must be positive, or 0 for none, not {self.probe_every}")
        for count in (
            "samples_per_problem",
            "num_updates",
            "num_epochs",
            "batch_size",
            "checkpoint_every",
            "probe_problems",
        ):
            if getattr(self, count) is not None and getattr(self, count) < 1:
                raise ValueError(f"training.sft.{count} must be at least 1, not {getattr(self, count)}")


@dataclass(kw_only=True)
class Training:
    """Values in conf/training/<name>.yaml, with those of a task in conf/tuned/<name>/<task>.yaml.

    A method reads the coefficients that it has (Method.stages), so that a method, its relatives and its ablations
    cannot differ in them by accident.
    """

    rl: ReinforceConfig
    sft: ImitateConfig
    alpha: float  # SCoRe's bonus for progress
    beta1: float  # KL coefficient of every attempt that is not anchored
    beta2: float  # KL coefficient of the attempts that Stage I anchors to the base model
    stage1_fraction: float  # Stage I's part of the reinforcement steps

    def __post_init__(self) -> None:
        for name in ("alpha", "beta1", "beta2"):
            if getattr(self, name) < 0:
                raise ValueError(f"training.{name} must not be negative, and is {getattr(self, name)}")
        if not 0 <= self.stage1_fraction <= 1:
            raise ValueError(f"training.stage1_fraction must lie in [0, 1], not {self.stage1_fraction}")

    def num_conversations(self, num_problems: int, *, num_steps: int | None = None) -> int:
        """How many conversations a supervised method samples in all, on `num_problems` training problems.

        Unless `sft.samples_per_problem` says otherwise, as many as `num_steps` steps of reinforcement (None: all of
        them) sample: the paper gives all methods one budget of samples.
        """
        if self.sft.samples_per_problem is not None:
            return self.sft.samples_per_problem * num_problems
        steps = self.rl.num_steps if num_steps is None else num_steps
        return steps * self.rl.conversations_per_step

    def budget_missed(self, num_problems: int) -> str | None:
        """In one line, by how much a supervised method that trains alone misses reinforcement's budget; None: by 0."""
        sampled, steps = self.num_conversations(num_problems), self.rl.num_steps
        budget = steps * self.rl.conversations_per_step
        if sampled == budget:
            return None
        return (
            f"training.sft.samples_per_problem={self.sft.samples_per_problem} on {num_problems:,} problems gives "
            f"supervised methods {sampled:,} conversations; the budget, training.rl.num_steps={steps} in batches of "
            f"{budget // steps:,}, is {budget:,}: leave training.sft.samples_per_problem out to spend it exactly"
        )

    def imitation_updates(self, *, num_steps: int | None = None) -> int | None:
        """`sft.num_updates`, where updates are set: the part that falls to `num_steps` of reinforcement's steps."""
        if self.sft.num_updates is None or num_steps is None:
            return self.sft.num_updates
        return max(1, round(num_steps / self.rl.num_steps * self.sft.num_updates))
