"""Plain multi-turn RL (the paper's Figures 6 and 9): the last attempt's reward, no Stage I, no bonus.

Its result in the paper is collapse: the model learns a good first answer and repeats it in the second attempt.
"""

from dataclasses import dataclass

from bench.methods.interface import Method
from bench.tasks.interface import Task
from bench.training.advantages import check_discount, last_attempt_reward, per_attempt
from bench.training.config import Training
from bench.training.stages import Reinforce, Stage


@dataclass(kw_only=True)
class MultiTurnRl(Method):
    """One stage over two attempts. At a discount of 0 the first attempt moves only as it shares weights with the
    second; a higher one lets it earn from the second's reward, as in Figure 9."""

    discount: float  # of later rewards in an attempt's return

    def __post_init__(self) -> None:
        check_discount(self.discount)

    def stages(self, task: Task, training: Training) -> list[Stage]:  # noqa: ARG002
        return [
            Reinforce(
                name="multi_turn",
                num_steps=training.rl.num_steps,
                reward=per_attempt(last_attempt_reward),
                kl_coefs=(training.beta1,),
                discount=self.discount,
            )
        ]
