"""How much of an experiment's work its progress makes: for whoever estimates the time left."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.rollout import Player
from bench.status import Status, training_work_left
from bench.training.budget import Training


class WorkDone:
    """A `Tracker`'s listener. `unmeasured` holds conversations by evaluation, of those that are still to be made."""

    def __init__(
        self,
        training: Training,
        player: Player,
        unmeasured: Mapping[str, int],
        *,
        trains: bool,
        tell: Callable[[Status], object],
    ) -> None:
        self._player = player
        self._tell = tell
        self._per_step = training.rl.problems_per_step * training.rl.samples_per_problem
        self._per_batch = training.sft.batch_size
        self._planned = training.rl.num_steps * self._per_step if trains else 0
        self._to_measure = unmeasured
        self._measured = dict.fromkeys(unmeasured, 0)
        self._most: int | None = None
        self._phase, self._sampled, self._updates = "", 0, 0  # what the ledger said when the phase began
        self._step_by_step = False

    def __call__(self, phase: str, done: int, total: int) -> None:
        if phase in self._measured and total:
            self._measured[phase] = self._to_measure[phase] * done // total
            self._planned = 0  # whatever was estimated of training is behind us
        ledger = self._player.ledger
        if phase != self._phase:
            self._phase, self._sampled, self._updates = phase, ledger.sampled_episodes, ledger.updates
        if ledger.sampled_episodes > self._sampled:
            self._step_by_step = True
        elif ledger.updates > self._updates:
            self._step_by_step = False
        left = training_work_left(
            planned=self._planned,
            sampled=ledger.sampled_episodes,
            updates=ledger.updates,
            per_step=self._per_step,
            per_batch=self._per_batch,
            done=done,
            total=total,
            step_by_step=self._step_by_step,
        )
        left += sum(self._to_measure.values()) - sum(self._measured.values())
        self._most = left if self._most is None else self._most
        self._tell(Status(phase, done, total, work_done=max(0, self._most - left), work_left=left))
