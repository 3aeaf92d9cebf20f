"""Supervised fine-tuning on chosen attempts: weight 1 where a method wants imitation, 0 elsewhere, and no KL.

Imitation keeps its last weights: it has no reward by which an earlier checkpoint could be better.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from bench.episode import SamplingParams, TrainingSample
from bench.models.interface import KLEstimator, NonFiniteGradientError, OptimizerConfig, Policy
from bench.rollout import RolloutWorker, request_seed
from bench.runs.folder import Run
from bench.status import Work
from bench.training import checkpoint
from bench.training.non_finite import Skips


@dataclass(kw_only=True)
class ImitateConfig:
    """What every supervised method may spend. One budget, shared by all (conf/training/)."""

    samples_per_problem: int | None  # collected per training problem in all; None: what Training.collected says
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


Probe = Callable[[], Mapping[str, float]]


def fine_tune(
    policy: Policy,
    player: RolloutWorker,
    run: Run,
    settings: ImitateConfig,
    credits: Sequence[TrainingSample],
    *,
    stage: str,
    num_updates: int | None = None,
    probe: Probe | None = None,
) -> None:
    """Fit the policy to `credits`, shuffled anew each epoch; takes up where a killed run left off.

    `num_updates` goes before `settings.num_epochs`: as many epochs as it takes, the last one cut. The policy ends with
    its last weights, none are chosen. What `probe` measures is logged before the first update, every
    `settings.probe_every` updates, and after the last. Raises ValueError if there are no credits to learn from.
    """
    if not credits:
        raise ValueError(
            f"{stage}: no conversation qualified for fine-tuning; sample more (training.sft.samples_per_problem) or "
            "use a model that is sometimes right"
        )
    per_epoch = math.ceil(len(credits) / settings.batch_size)
    total = num_updates or per_epoch * settings.num_epochs
    policy.begin(settings.optimizer, num_updates=total, kl_estimator=KLEstimator.k1)
    record = checkpoint.resume(policy, player, run, stage)
    done = 0 if record is None else record["step"]
    progress = run.tracker.progress(stage, total=total, start=done, work=Work.learn)

    def look() -> None:
        if probe and settings.probe_every and (done % settings.probe_every == 0 or done == total):
            told = {f"probe/{name}": value for name, value in probe().items()}
            run.log(update=player.usage.updates, stage=stage, step=done, **told)

    skips = Skips(f"{run.key} {stage}")
    if record is None:
        look()
    while done < total:
        epoch, place = divmod(done, per_epoch)
        order = _order(len(credits), request_seed(player.seed, stage, "epoch", epoch))
        batch = order[place * settings.batch_size : (place + 1) * settings.batch_size]
        done += 1
        try:
            metrics = policy.update([credits[index] for index in batch])
        except NonFiniteGradientError as error:  # the batch is lost, its examples come again with the next epoch
            skips.skip(error, step=done)
            shown = {}
        else:
            player.usage.updates += 1
            player.usage.trained_tokens += round(metrics["trained_tokens"])
            told = {f"train/{name}": value for name, value in metrics.items()}
            run.log(update=player.usage.updates, stage=stage, step=done, **told, **{"train/skipped": skips.succeed()})
            shown = {"loss": metrics["loss"]}
        progress.advance(shown=shown)
        look()
        if done % settings.checkpoint_every == 0 or done == total:
            checkpoint.save(policy, player, run, stage=stage, step=done, num_steps=total)
    progress.close()


@lru_cache(maxsize=1)
def _order(num_credits: int, seed: int) -> tuple[int, ...]:
    order = list(range(num_credits))
    random.Random(seed).shuffle(order)
    return tuple(order)
