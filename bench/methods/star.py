"""STaR over two attempts (Zelikman et al. 2022; Singh et al. 2023 for the iterations): imitate what went well.

Conversations are sampled from the newest model; those that went from wrong to right are kept (D), with `keep_correct`
also those that were right throughout (D+); the model is fine-tuned on their second attempts. Each of the iterations
starts from the base model, as ReST^EM does; the paper does not say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from bench.episode import Turn
from bench.models.interface import Policy
from bench.rollout import RolloutWorker
from bench.runs.folder import Run
from bench.tasks.interface import Task
from bench.training.budget import Training
from bench.training.self_training import self_train


@dataclass(kw_only=True)
class Star:
    """The paper's STaR; `continue_training` and `loss_on_first` are the other readings of its protocol."""

    trains: ClassVar[bool] = True

    num_iterations: int  # of sampling, keeping what succeeded, and imitating it
    keep_correct: bool  # also keep conversations whose first attempt is correct: the paper's D+, otherwise D
    continue_training: bool  # start an iteration from the last one's weights instead of the base model's
    loss_on_first: bool  # imitate both attempts, not only the second

    def __post_init__(self) -> None:
        if self.num_iterations < 1:
            raise ValueError(f"method.num_iterations must be at least 1, not {self.num_iterations}")

    def script(self, task: Task) -> tuple[Turn, ...]:
        return task.script()

    def train(self, policy: Policy, player: RolloutWorker, run: Run, training: Training) -> None:
        self_train(
            policy,
            player,
            run,
            training.sft,
            stage="star",
            num_conversations=training.collected(len(player.task.problems("train"))),
            num_updates=training.sft.num_updates,
            num_iterations=self.num_iterations,
            keep=self._keep,
            loss_on_first=self.loss_on_first,
            start=_as_it_is if self.continue_training else policy.reset,
        )

    def _keep(self, rewards: Sequence[float]) -> bool:
        return rewards[-1] == 1 and (self.keep_correct or rewards[0] == 0)


def _as_it_is() -> None: ...
