"""Accuracy of corrections while a supervised method trains, on three kinds of first attempts (the paper's Figure 5).

They are the base model's on training problems and on held-out ones, and the newest model's own on the latter: where the
first two rise and the third does not, what was learnt is to correct another model.
"""

import logging
from collections.abc import Sequence
from functools import partial
from statistics import fmean

from bench.episode import Attempt, Problem
from bench.training.trainer import Trainer

_LOG = logging.getLogger(__name__)


class CorrectionProbe:
    """Sampled, with the same random numbers each time, and not counted in the run's usage."""

    def __init__(self, trainer: Trainer, *, seed_key: str) -> None:
        """To be made while the policy still is the base model.

        `seed_key` is that of the stage's collection: the first attempts on training problems are those of its first
        conversations, over again.
        """
        rollouts = trainer.rollouts.without_usage()
        self._rollout = partial(
            rollouts.rollout, trainer.policy, next_turn=trainer.next_turn, sampling=trainer.config.sft.sampling
        )
        most = trainer.config.sft.probe_problems
        task = rollouts.task
        self._fixed = {"fixed_train": self._first_attempts(task.problems("train")[:most], seed_key)}
        self._held_out: Sequence[Problem] = ()
        try:
            self._held_out = task.problems("dev")[:most]
        except ValueError as error:
            _LOG.warning("Figure 5 will have its training curve alone: %s", error)
        else:
            self._fixed["fixed_validation"] = self._first_attempts(self._held_out, "probe/base")

    def measure(self) -> dict[str, float]:
        found = {
            f"probe/{name}": self._accuracy([problem for problem, _ in firsts], firsts)
            for name, firsts in self._fixed.items()
        }
        if self._held_out:
            found["probe/self_generated_validation"] = self._accuracy(self._held_out, [])
        return found

    def _first_attempts(self, problems: Sequence[Problem], seed_key: str) -> list[tuple[Problem, Attempt]]:
        episodes = self._rollout(problems, num_attempts=1, seed_key=seed_key)
        return [(episode.problem, episode.attempts[0]) for episode in episodes]

    def _accuracy(self, problems: Sequence[Problem], firsts: Sequence[tuple[Problem, Attempt]]) -> float:
        prefilled = {(problem.id, 0): attempt for problem, attempt in firsts}
        episodes = self._rollout(problems, num_attempts=2, seed_key="probe", prefilled_attempts=prefilled)
        return fmean(episode.rewards[-1] for episode in episodes)
