"""How much of an experiment's work is left, in conversations: for whoever estimates the time."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from bench.runs.progress import Planned
from bench.status import Status, Work
from bench.training.config import Training
from bench.training.stages import Reinforce, Stage


def planned_work(stages: Sequence[Stage], training: Training) -> Planned:
    """What stages sample and learn from, in order. Until it has chosen, an imitation counts as learning from all."""
    planned: dict[tuple[Work, str], int] = {}
    for stage in stages:
        if isinstance(stage, Reinforce):
            planned[Work.step, stage.name] = stage.num_steps * training.rl.conversations_per_step
        else:
            planned[Work.sample, stage.seed_key] = stage.num_conversations
            all_epochs = training.sft.num_epochs * stage.num_conversations
            fixed = (stage.num_updates or 0) * training.sft.batch_size
            planned[Work.learn, stage.name] = fixed or all_epochs
    return planned


class WorkLeft:
    """Implements `Listener`. `unmeasured` holds conversations by evaluation, of those that are still to be made."""

    def __init__(
        self,
        training: Training,
        unmeasured: Mapping[str, int],
        *,
        trains: bool,
        tell: Callable[[Status], object],
    ) -> None:
        self._batch_size = training.sft.batch_size
        self._tell = tell
        self._left = {(Work.evaluate, name): pieces for name, pieces in unmeasured.items()}
        self._total = dict(self._left)
        self._is_known = not trains

    def expect(self, planned: Planned) -> None:
        self._total = {**planned, **self._total}
        self._left = dict(self._total)
        self._is_known = True

    def __call__(self, phase: str, done: int, total: int, work: Work | None) -> None:
        if work is not None:
            if work is Work.learn:  # the conversations have been chosen
                self._total[work, phase] = total * self._batch_size
            for earlier in self._left:
                if earlier == (work, phase):
                    break
                self._left[earlier] = 0
            self._left[work, phase] = self._total[work, phase] * (total - done) // total
        left: Counter[Work] = Counter()
        for (kind, _), pieces in self._left.items() if self._is_known else ():
            left[kind] += pieces
        self._tell(Status(phase, done, total, work, left))
