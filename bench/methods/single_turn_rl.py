"""Reinforcement learning on the first attempt alone (Eq. 2), evaluated on two: "w/o multi-turn training"."""

from dataclasses import dataclass

from bench.methods.interface import Method
from bench.tasks.interface import Task
from bench.training.advantages import per_attempt
from bench.training.config import Training
from bench.training.stages import Reinforce, Stage


@dataclass(kw_only=True)
class SingleTurnRl(Method):
    """Differs from SCoRe in everything but the update: one attempt, one stage, its plain reward."""

    def stages(self, task: Task, training: Training) -> list[Stage]:  # noqa: ARG002
        return [
            Reinforce(
                name="single_turn",
                num_steps=training.rl.num_steps,
                num_attempts=1,
                reward=per_attempt(tuple),
                kl_coefs=(training.beta1,),
            )
        ]
