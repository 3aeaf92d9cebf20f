"""What all trained methods share: one budget by kind of training, and the coefficients that tie them together."""

from dataclasses import dataclass

from bench.training.imitate import ImitateConfig
from bench.training.reinforce import ReinforceConfig


@dataclass(kw_only=True)
class Training:
    """Values in conf/training/<name>.yaml, with those of a task in conf/tuned/<name>/<task>.yaml.

    A method's YAML refers to the coefficients (`beta1: ${training.beta1}`), so that a method, its relatives and its
    ablations cannot differ in them by accident; on the command line `method.beta1=` still changes one method alone.
    """

    rl: ReinforceConfig
    sft: ImitateConfig
    alpha: float  # SCoRe's bonus for progress
    beta1: float  # KL coefficient of every attempt that is not held
    beta2: float  # KL coefficient of the attempts that Stage I holds to the base model
    stage1_fraction: float  # Stage I's part of the reinforcement steps

    def collected(self, num_problems: int, *, num_steps: int | None = None) -> int:
        """How many conversations a supervised method samples in all, on `num_problems` training problems.

        Unless `sft.samples_per_problem` says otherwise, as many as `num_steps` steps of reinforcement (None: all of
        them) sample: the paper gives all methods one budget of samples.
        """
        if self.sft.samples_per_problem is not None:
            return self.sft.samples_per_problem * num_problems
        steps = self.rl.num_steps if num_steps is None else num_steps
        return steps * self.rl.problems_per_step * self.rl.samples_per_problem

    def budget_missed(self, num_problems: int) -> str | None:
        """In one line, by how much a supervised method that trains alone misses reinforcement's budget; None: by 0."""
        sampled, steps = self.collected(num_problems), self.rl.num_steps
        budget = steps * self.rl.problems_per_step * self.rl.samples_per_problem
        if sampled == budget:
            return None
        return (
            f"training.sft.samples_per_problem={self.sft.samples_per_problem} on {num_problems:,} problems gives "
            f"supervised methods {sampled:,} conversations; the budget, training.rl.num_steps={steps} in batches of "
            f"{budget // steps:,}, is {budget:,}: leave training.sft.samples_per_problem out to spend it exactly"
        )

    def imitation_updates(self, *, share: float) -> int | None:
        """The same part of `sft.num_updates`, where updates are set."""
        return None if self.sft.num_updates is None else max(1, round(share * self.sft.num_updates))
