"""Pair-SFT (Welleck et al. 2023, as the paper uses it): imitate corrections that were never made.

Each wrong first attempt is paired with a random correct response to the same problem, drawn from all first and second
attempts that the base model sampled; the loss is on that response alone, for one epoch.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import ClassVar

from bench.episode import Attempt, Episode, Problem, TrainingSample, Turn
from bench.models.interface import Policy
from bench.rollout import RolloutWorker, request_seed, stitch
from bench.runs.folder import Run
from bench.tasks.interface import Task
from bench.training import checkpoint
from bench.training.budget import Training
from bench.training.collection import TrainingSamples, collect
from bench.training.imitate import ImitateConfig, Probe, fine_tune

_LOG = logging.getLogger(__name__)
_STAGE = "pair_sft"
_COLLECTING = "pair_sft/collect"


@dataclass(kw_only=True)
class PairSft:
    """The paper's D; with `keep_correct` its D+, which also has pairs whose first attempt is right already."""

    trains: ClassVar[bool] = True

    keep_correct: bool  # also keep conversations whose first attempt is correct: the paper's D+, otherwise D

    def script(self, task: Task) -> tuple[Turn, ...]:
        return task.script()

    def train(self, policy: Policy, player: RolloutWorker, run: Run, training: Training) -> None:
        if checkpoint.is_finished(policy, player, run, _STAGE, training.sft.optimizer):
            return
        probe = self._probe(policy, player, training.sft) if training.sft.probe_every else None
        pairs = collect(
            policy,
            player,
            run,
            label=_COLLECTING,
            sampling=training.sft.sampling,
            num_conversations=training.collected(len(player.task.problems("train"))),
            choose=lambda episodes: self._pairs(policy, player, episodes),
        )
        run.save_training_data(_STAGE, pairs)
        credits = TrainingSamples(pairs, lambda pair: TrainingSample(pair, weights=(0.0, 1.0), kl=(0.0, 0.0)))
        fine_tune(
            policy,
            player,
            run,
            training.sft,
            credits,
            stage=_STAGE,
            num_updates=training.sft.num_updates,
            probe=probe,
        )

    def _pairs(self, policy: Policy, player: RolloutWorker, episodes: Sequence[Episode]) -> list[Episode]:
        """A stitched conversation per usable first attempt of a problem that was ever answered correctly."""
        correct: dict[str, list[Attempt]] = {}
        for episode in episodes:
            # A response cut at the length limit never says that it ends, so it is no example of a whole one.
            whole = [attempt for attempt in episode.attempts if attempt.correct and not attempt.completion.truncated]
            correct.setdefault(episode.problem.id, []).extend(whole)
        pairs = []
        for episode in episodes:
            first, choices = episode.attempts[0], correct[episode.problem.id]
            if not choices or (first.correct and not self.keep_correct):
                continue
            draw = random.Random(request_seed(player.seed, "pair_sft/pair", episode.problem.id, episode.sample))
            pairs.append(
                stitch(
                    policy,
                    episode.problem,
                    prompt=player.task.prompt(episode.problem),
                    attempts=(first, draw.choice(choices)),
                    said=player.task.script(),
                )
            )
        return pairs

    def _probe(self, policy: Policy, player: RolloutWorker, settings: ImitateConfig) -> Probe:
        """Accuracy of corrections, sampled, on three kinds of first attempts (the paper's Figure 5).

        They are the base model's on training problems and on held-out ones, and the newest model's own on the latter:
        where the first two rise and the third does not, what was learnt is to correct another model. To be called
        before training starts, while the policy is the base model.
        """
        measure = player.without_usage()
        script = player.task.script()
        train = player.task.problems("train")[: settings.probe_problems]
        # The collection's first conversation of each of these problems, over again: the same label, the same samples.
        fixed = {"fixed_train": measure.play(policy, train, script=(), sampling=settings.sampling, label=_COLLECTING)}
        try:
            held_out = player.task.problems("dev")[: settings.probe_problems]
        except ValueError as error:
            _LOG.warning("Figure 5 will have its training curve alone: %s", error)
            held_out = ()
        else:
            fixed["fixed_validation"] = measure.play(
                policy, held_out, script=(), sampling=settings.sampling, label="probe/base"
            )

        def accuracy(problems: Sequence[Problem], given: Mapping[tuple[str, int], Attempt]) -> float:
            played = measure.play(
                policy, problems, script=script, sampling=settings.sampling, label="probe", prefilled_attempts=given
            )
            return fmean(episode.rewards[-1] for episode in played)

        def probe() -> dict[str, float]:
            found = {
                name: accuracy(
                    [episode.problem for episode in chosen],
                    {(episode.problem.id, 0): episode.attempts[0] for episode in chosen},
                )
                for name, chosen in fixed.items()
            }
            return found | ({"self_generated_validation": accuracy(held_out, {})} if held_out else {})

        return probe
