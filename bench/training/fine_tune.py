"""Supervised fine-tuning on chosen attempts: weight 1 where a method wants imitation, 0 elsewhere, and no KL."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from bench.episode import Credit, Sampling
from bench.policies.policy import KLEstimator, Optimizer, Policy
from bench.results import Run
from bench.rollout import Player, request_seed


@dataclass(kw_only=True)
class FineTuning:
    """What every supervised method may spend. One budget, shared by all (conf/training/)."""

    samples_per_problem: int  # episodes collected per training problem, in each iteration
    sampling: Sampling
    num_epochs: int
    batch_size: int  # conversations per update
    optimizer: Optimizer

    def __post_init__(self) -> None:
        for count in ("samples_per_problem", "num_epochs", "batch_size"):
            if getattr(self, count) < 1:
                raise ValueError(f"training.sft.{count} must be at least 1, not {getattr(self, count)}")


def fine_tune(
    policy: Policy, player: Player, run: Run, settings: FineTuning, credits: Sequence[Credit], *, stage: str
) -> None:
    """Fit the policy to `credits`, shuffled anew each epoch. Raises ValueError if there are none to learn from."""
    if not credits:
        raise ValueError(
            f"{stage}: no conversation qualified for fine-tuning; sample more (training.sft.samples_per_problem) or "
            "use a model that is sometimes right"
        )
    per_epoch = math.ceil(len(credits) / settings.batch_size)
    num_updates = per_epoch * settings.num_epochs
    run.tracker.forget_after(player.ledger.updates)
    policy.begin(settings.optimizer, num_updates=num_updates, kl_estimator=KLEstimator.k1)
    progress = run.tracker.progress(stage, total=num_updates)
    for epoch in range(settings.num_epochs):
        order = list(credits)
        random.Random(request_seed(player.seed, stage, "epoch", epoch)).shuffle(order)
        for place in range(per_epoch):
            batch = order[place * settings.batch_size : (place + 1) * settings.batch_size]
            metrics = policy.update(batch)
            player.ledger.updates += 1
            player.ledger.trained_tokens += round(metrics["trained_tokens"])
            run.log(
                update=player.ledger.updates,
                stage=stage,
                step=epoch * per_epoch + place + 1,
                **{f"train/{name}": value for name, value in metrics.items()},
            )
            progress.advance(shown={"loss": metrics["loss"]})
    progress.close()
