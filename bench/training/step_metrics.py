"""What is logged of every training step, under the names that W&B and the figures use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from bench.episode import Episode
from bench.runs.records import answer_changed
from bench.training.advantages import Row


def training_metrics(
    episodes: Sequence[Episode], rewards: Sequence[Row], update: Mapping[str, float]
) -> dict[str, float]:
    """Per attempt t: accuracy, reward, truncation, length in tokens; between attempts: how many answers changed.

    `rewards[i]` is what episode i's attempts earned under the stage's reward; `train/reward` is the mean of their sums,
    which windows are compared by. `update` is what the learner said.
    """
    told = {"train/reward": fmean(map(sum, rewards))}
    for place in range(len(episodes[0].attempts)):
        attempts = [episode.attempts[place] for episode in episodes]
        told[f"train/accuracy@t{place + 1}"] = fmean(attempt.correct for attempt in attempts)
        told[f"train/reward@t{place + 1}"] = fmean(row[place] for row in rewards)
        told[f"train/truncated@t{place + 1}"] = fmean(attempt.completion.truncated for attempt in attempts)
        told[f"train/tokens@t{place + 1}"] = fmean(len(attempt.completion.token_ids) for attempt in attempts)
    if len(episodes[0].attempts) > 1:
        told["train/answer_change_rate"] = fmean(
            answer_changed(episode.attempts[-2], episode.attempts[-1]) for episode in episodes
        )
    return {**told, **{f"train/{name}": value for name, value in update.items()}}
