"""How much of an experiment's work is left, from its progress: for whoever estimates the time."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.rollout import RolloutWorker
from bench.status import Status, Work, training_left
from bench.training.config import Training


class WorkLeft:
    """A `Tracker`'s listener. `unmeasured` holds conversations by evaluation, of those that are still to be made."""

    def __init__(
        self,
        training: Training,
        rollouts: RolloutWorker,
        unmeasured: Mapping[str, int],
        *,
        trains: bool,
        tell: Callable[[Status], object],
    ) -> None:
        self._rollouts = rollouts
        self._tell = tell
        self._per_step = training.rl.conversations_per_step
        self._per_batch = training.sft.batch_size
        self._planned = training.rl.num_steps * self._per_step if trains else 0
        self._to_measure = unmeasured
        self._measured = dict.fromkeys(unmeasured, 0)

    def __call__(self, phase: str, done: int, total: int, work: Work | None) -> None:
        if work is Work.evaluate and total:
            self._measured[phase] = self._to_measure[phase] * done // total
            self._planned = 0  # whatever was estimated of training is behind us
        usage = self._rollouts.usage
        left = {Work.evaluate: sum(self._to_measure.values()) - sum(self._measured.values())}
        if self._planned:
            left |= training_left(
                planned=self._planned,
                sampled=usage.sampled_episodes,
                updates=usage.updates,
                per_step=self._per_step,
                per_batch=self._per_batch,
                done=done,
                total=total,
                work=work,
            )
        self._tell(Status(phase, done, total, work, left))
