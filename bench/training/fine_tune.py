"""Supervised fine-tuning on chosen attempts: weight 1 where a method wants imitation, 0 elsewhere, and no KL."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.episode import Credit, Sampling
from bench.policies.policy import KLEstimator, Optimizer, Policy
from bench.results import Run
from bench.rollout import Player, request_seed


@dataclass(kw_only=True)
class FineTuning:
    """What every supervised method may spend. One budget, shared by all (conf/training/)."""

    samples_per_problem: int | None  # collected per training problem in all; None: what Training.collected says
    sampling: Sampling
    num_epochs: int
    batch_size: int  # conversations per update
    optimizer: Optimizer
    probe_every: int  # updates between two probes, where a method has one; 0 for none
    probe_problems: int  # of each split that a probe looks at

    def __post_init__(self) -> None:
        if self.probe_every < 0:
            raise ValueError(f"training.sft.probe_every must be positive, or 0 for none, not {self.probe_every}")
        for count in ("samples_per_problem", "num_epochs", "batch_size", "probe_problems"):
            if getattr(self, count) is not None and getattr(self, count) < 1:
                raise ValueError(f"training.sft.{count} must be at least 1, not {getattr(self, count)}")


Probe = Callable[[], Mapping[str, float]]


def fine_tune(
    policy: Policy,
    player: Player,
    run: Run,
    settings: FineTuning,
    credits: Sequence[Credit],
    *,
    stage: str,
    probe: Probe | None = None,
) -> None:
    """Fit the policy to `credits`, shuffled anew each epoch. Raises ValueError if there are none to learn from.

    What `probe` measures is logged before the first update, every `settings.probe_every` updates, and after the last.
    """
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

    def look(done: int) -> None:
        if probe and settings.probe_every and (done % settings.probe_every == 0 or done == num_updates):
            told = {f"probe/{name}": value for name, value in probe().items()}
            run.log(update=player.ledger.updates, stage=stage, step=done, **told)

    look(0)
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
            look(epoch * per_epoch + place + 1)
    progress.close()
