"""What all trained methods share: one budget by kind of training, and the coefficients that tie them together."""

from dataclasses import dataclass

from bench.training.fine_tune import FineTuning
from bench.training.reinforce import Reinforcement


@dataclass(kw_only=True)
class Training:
    """Values in conf/training/<name>.yaml, with those of a task in conf/tuned/<name>/<task>.yaml.

    A method's YAML refers to the coefficients (`beta1: ${training.beta1}`), so that a method, its relatives and its
    ablations cannot differ in them by accident; on the command line `method.beta1=` still changes one method alone.
    """

    rl: Reinforcement
    sft: FineTuning
    alpha: float  # SCoRe's bonus for progress
    beta1: float  # KL coefficient of every attempt that is not held
    beta2: float  # KL coefficient of the attempts that Stage I holds to the base model
    stage1_fraction: float  # Stage I's part of the reinforcement steps

    def collected(self, num_problems: int, *, share: float = 1.0) -> int:
        """How many conversations per problem a supervised method may sample in all.

        Unless `sft.samples_per_problem` says otherwise, `share` of what reinforcement samples, spread over the
        problems: the paper gives all methods one budget of samples.
        """
        if self.sft.samples_per_problem is not None:
            return self.sft.samples_per_problem
        rl = self.rl
        budget = share * rl.num_steps * rl.problems_per_step * rl.samples_per_problem
        return max(1, round(budget / num_problems))

    def imitation_updates(self, *, share: float) -> int | None:
        """The same part of `sft.num_updates`, where updates are set."""
        return None if self.sft.num_updates is None else max(1, round(share * self.sft.num_updates))
