"""Maximum likelihood on chosen conversations: what an `Imitate` stage samples, what it fits, and in which order.

Imitation keeps its last weights: it has no reward by which an earlier checkpoint could be better.
"""

import math
import random
from collections.abc import Sequence
from functools import lru_cache

from bench.episode import Episode, TrainingSample
from bench.models.interface import KLEstimator, UpdateStats
from bench.rollout import request_seed
from bench.status import Work
from bench.training.checkpoint import StageState
from bench.training.collection import collect
from bench.training.correction_probe import CorrectionProbe
from bench.training.stages import BASE, PREVIOUS, Imitate
from bench.training.step_metrics import StepMetrics, update_metrics
from bench.training.trainer import Trainer


class ImitateLoop:
    """Implements `StageLoop`: updates pass over a collection that was sampled ahead of them."""

    work = Work.learn
    resamples = False  # an update without a finite gradient is left out; its examples come again with the next epoch
    kl_estimator = KLEstimator.k1  # of no consequence: nothing is paid for a divergence
    importance_cap: float | None = None  # what is imitated need not be likely

    def __init__(self, stage: Imitate, trainer: Trainer) -> None:
        config = trainer.config.sft
        self.name, self.num_updates = stage.name, stage.num_updates or 0
        self.optimizer, self.checkpoint_every = config.optimizer, config.checkpoint_every
        self.state = StageState()
        self._stage, self._trainer, self._config = stage, trainer, config
        self._episodes: Sequence[Episode] = ()
        self._probe: CorrectionProbe | None = None

    def prepare(self) -> None:
        if self._stage.probes_corrections and self._config.probe_every:
            self._probe = CorrectionProbe(self._trainer, seed_key=self._stage.seed_key)

    def collect(self) -> None:
        """Raises ValueError if nothing was chosen."""
        stage, trainer = self._stage, self._trainer
        self._episodes = collect(trainer, stage)
        if not self._episodes:
            raise ValueError(
                f"{self.name}: no conversation qualified for fine-tuning; sample more "
                "(training.sft.samples_per_problem) or use a model that is sometimes right"
            )
        trainer.run.save_training_data(self.name, self._episodes, num_attempts=stage.num_attempts)
        self.num_updates = stage.num_updates or self._batches_per_epoch * self._config.num_epochs
        if stage.start_from == BASE:
            trainer.policy.reset()
        elif stage.start_from != PREVIOUS:
            trainer.policy.restore(trainer.run.stage_weights(stage.start_from))

    def samples(self, *, attempt: int) -> list[TrainingSample]:  # noqa: ARG002  of `StageLoop`
        """A batch of the epoch's order; a number of updates that is set cuts the last epoch."""
        epoch, place = divmod(self.state.step, self._batches_per_epoch)
        seed = request_seed(self._trainer.rollouts.seed, self.name, "epoch", epoch)
        size = self._config.batch_size
        return [
            imitation_sample(self._episodes[index], self._stage)
            for index in _order(len(self._episodes), seed)[place * size : (place + 1) * size]
        ]

    def metrics(self, samples: Sequence[TrainingSample], stats: UpdateStats) -> StepMetrics:  # noqa: ARG002
        return StepMetrics(row=update_metrics(stats), shown={"loss": stats.loss})

    def measure(self) -> dict[str, float]:
        """Before the first update, every `probe_every` updates, and after the last."""
        step = self.state.step
        due = step == self.num_updates or (self._config.probe_every and step % self._config.probe_every == 0)
        return self._probe.measure() if self._probe and due else {}

    def select(self) -> dict[str, float]:
        return {}

    def checkpointed(self) -> None: ...

    @property
    def _batches_per_epoch(self) -> int:
        return math.ceil(len(self._episodes) / self._config.batch_size)


def imitation_sample(episode: Episode, stage: Imitate) -> TrainingSample:
    return TrainingSample(episode, stage.advantages(episode), kl_coefs=(0.0,) * len(episode.replies))


@lru_cache(maxsize=1)
def _order(num_episodes: int, seed: int) -> tuple[int, ...]:
    order = list(range(num_episodes))
    random.Random(seed).shuffle(order)
    return tuple(order)
