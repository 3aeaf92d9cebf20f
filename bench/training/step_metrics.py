"""What is logged of every training step, under the names that W&B and the figures use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from bench.episode import Episode
from bench.models.interface import UpdateStats
from bench.runs.records import answer_changed
from bench.training.advantages import Row


@dataclass(frozen=True, slots=True)
class StepMetrics:
    row: Mapping[str, float]
    more: Mapping[str, Any] = field(default_factory=dict)  # what is logged beside numbers
    shown: Mapping[str, float] = field(default_factory=dict)  # at the progress bar


def step_metrics(episodes: Sequence[Episode], rewards: Sequence[Row], stats: UpdateStats) -> dict[str, float]:
    """Per reply: reward, truncation, length in tokens; per attempt: accuracy; how many answers changed at the last.

    `rewards[i]` is what episode i's replies earned under the stage's reward; `train/reward` is the mean of their sums,
    which checkpoints are compared by. A conversation that ended early keeps its answer for the attempts it lacks.
    """
    row = {"train/reward": fmean(map(sum, rewards))}
    for t in range(1, 1 + max(len(episode.attempts) for episode in episodes)):
        row[f"train/accuracy@t{t}"] = fmean(episode.attempts[:t][-1].correct for episode in episodes)
    for label in dict.fromkeys(label for episode in episodes for label in episode.labels):
        found = [
            (reply.completion, value)
            for episode, values in zip(episodes, rewards, strict=True)
            for name, reply, value in zip(episode.labels, episode.replies, values, strict=True)
            if name == label
        ]
        row[f"train/reward@{label}"] = fmean(value for _, value in found)
        row[f"train/truncated@{label}"] = fmean(completion.truncated for completion, _ in found)
        row[f"train/tokens@{label}"] = fmean(len(completion.token_ids) for completion, _ in found)
    if any(len(episode.attempts) > 1 for episode in episodes):
        row["train/answer_change_rate"] = fmean(
            len(episode.attempts) > 1 and answer_changed(*episode.attempts[-2:]) for episode in episodes
        )
    return row | update_metrics(stats)


def update_metrics(stats: UpdateStats) -> dict[str, float]:
    row: dict[str, float] = {
        "train/loss": stats.loss,
        "train/trained_tokens": stats.trained_tokens,
        "train/grad_norm": stats.grad_norm,
        "train/learning_rate": stats.learning_rate,
    }
    for name in ("kl", "entropy", "logprob_diff", "effective_sample_size", "clipped"):
        row |= {f"train/{name}@{label}": value for label, value in getattr(stats, name).items()}
    return row
