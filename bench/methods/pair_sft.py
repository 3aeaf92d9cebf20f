"""Pair-SFT (Welleck et al. 2023, as the paper uses it): imitate corrections that were never made.

Each wrong first attempt is paired with a random correct response to the same problem, drawn from all first and second
attempts that the base model sampled; the loss is on that response alone, for one epoch.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.episode import Attempt, Episode
from bench.methods.interface import Method
from bench.rollout import request_seed
from bench.tasks.interface import Task
from bench.training.advantages import Row
from bench.training.config import Training
from bench.training.stages import Imitate, Stage


@dataclass(kw_only=True)
class PairSft(Method):
    """The paper's D; with `keep_correct` its D+, which also has pairs whose first attempt is right already."""

    keep_correct: bool  # also keep conversations whose first attempt is correct: the paper's D+, otherwise D

    def stages(self, task: Task, training: Training) -> list[Stage]:
        return [
            Imitate(
                name="pair_sft",
                num_conversations=training.num_conversations(len(task.problems("train"))),
                choose=self._pairs,
                advantages=_second_alone,
                num_updates=training.imitation_updates(),
                sampling_seed_key="pair_sft/collect",
                probes_corrections=True,
            )
        ]

    def _pairs(self, episodes: Sequence[Episode], seed: int) -> list[Episode]:
        """A pair per usable first attempt of a problem that was ever answered correctly."""
        correct: dict[str, list[Attempt]] = {}
        for episode in episodes:
            # A response cut at the length limit never says that it ends, so it is no example of a whole one.
            whole = [attempt for attempt in episode.attempts if attempt.correct and not attempt.completion.truncated]
            correct.setdefault(episode.problem.id, []).extend(whole)
        pairs = []
        for episode in episodes:
            choices = correct[episode.problem.id]
            if choices and (self.keep_correct or not episode.attempts[0].correct):
                draw = random.Random(request_seed(seed, "pair_sft/pair", episode.problem.id, episode.sample))
                pairs.append(with_second_attempt(episode, draw.choice(choices)))
        return pairs


def with_second_attempt(episode: Episode, second: Attempt) -> Episode:
    """The conversation with another second attempt, id for id as if it had been sampled: the bridge stays."""
    start = episode.spans[1][0]
    token_ids = (*episode.token_ids[:start], *second.completion.token_ids)
    spans = (episode.spans[0], (start, len(token_ids)))
    return replace(episode, token_ids=token_ids, spans=spans, replies=(episode.replies[0], second))


def _second_alone(episode: Episode) -> Row:  # noqa: ARG001  all pairs alike
    return (0.0, 1.0)
