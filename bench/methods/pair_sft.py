"""Pair-SFT (Welleck et al. 2023, as the paper uses it): imitate corrections that were never made.

Each wrong first attempt is paired with a random correct response to the same problem, drawn from all first and second
attempts that the base model sampled; the loss is on that response alone, for one epoch.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from bench.episode import Attempt, Credit, Episode, Turn
from bench.policies.policy import Policy
from bench.results import Run
from bench.rollout import Player, request_seed, stitch
from bench.tasks.task import Task
from bench.training.budget import Training
from bench.training.fine_tune import fine_tune


@dataclass(kw_only=True)
class PairSft:
    """The paper's D; with `keep_correct` its D+, which also has pairs whose first attempt is right already."""

    trains: ClassVar[bool] = True

    keep_correct: bool

    def script(self, task: Task) -> tuple[Turn, ...]:
        return task.script()

    def train(self, policy: Policy, player: Player, run: Run, training: Training) -> None:
        episodes = player.play(
            policy,
            player.task.problems("train"),
            script=player.task.script(),
            sampling=training.sft.sampling,
            num_samples=training.sft.samples_per_problem,
            label="pair_sft/collect",
        )
        pairs = self._pairs(policy, player, episodes)
        run.save_training_data("pair_sft", pairs)
        credits = [Credit(pair, weights=(0.0, 1.0), kl=(0.0, 0.0)) for pair in pairs]
        fine_tune(policy, player, run, training.sft, credits, stage="pair_sft")

    def _pairs(self, policy: Policy, player: Player, episodes: Sequence[Episode]) -> list[Episode]:
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
