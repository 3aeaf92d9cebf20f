"""Numbers from graded episodes, one value per episode and metric. Knows tables of episodes, neither folders nor models.

Every metric is the mean over episodes of one value per episode (`episode_values`), so that one resampling scheme
(`bench.metrics.bootstrap`) serves all of them. Rates and deltas are fractions, over *all* problems: the paper's Δ^i→c
counts fixed answers per problem, not per wrong first answer. Names are the ones W&B shows under `eval/`.
"""

from collections import Counter
from itertools import product

import numpy as np
import pandas as pd

from bench.episode import Grade

FAILURES = tuple(grade for grade in Grade if grade not in (Grade.CORRECT, Grade.WRONG))
COPIED_COLUMNS = {  # metric: the column of episodes.parquet that it averages
    "tokens@t{t}": "tokens_{t}",
    "truncation_rate@t{t}": "truncated_{t}",
    "grading_seconds@t{t}": "grading_seconds_{t}",
    "edit_indel@t{t}": "edit_indel_{t}",
    "edit_levenshtein@t{t}": "edit_levenshtein_{t}",
}


def num_attempts(episodes: pd.DataFrame) -> int:
    """How many graded attempts each episode has. Raises ValueError when episodes differ in it."""
    count = 0
    while f"grade_{count + 1}" in episodes and episodes[f"grade_{count + 1}"].notna().any():
        count += 1
    if count == 0:
        raise ValueError("these episodes have no graded attempt: the column grade_1 is absent or empty")
    is_short = episodes[[f"grade_{t}" for t in range(1, count + 1)]].isna().any(axis=1)
    if is_short.any():
        problem = episodes.loc[is_short, "problem_id"].iloc[0]
        raise ValueError(f"{problem} has fewer than {count} attempts; take runs with as many attempts each together")
    return count


def seeds_of(episodes: pd.DataFrame) -> pd.Series:
    """Each row's seed: 0 where the column is absent, as in the episodes of a single run."""
    return episodes["seed"] if "seed" in episodes else pd.Series(0, index=episodes.index, name="seed")


def check_episodes(episodes: pd.DataFrame) -> None:
    """Refuse, by name, problems that a seed has twice or lacks: a mean over unequal sets of problems means nothing."""
    keys = episodes[["problem_id", "sample"]].assign(seed=seeds_of(episodes))
    duplicates = keys[keys.duplicated()]
    if len(duplicates):
        first = duplicates.iloc[0]
        raise ValueError(
            f"seed {first.seed} has problem {first.problem_id}, sample {first['sample']}, twice"
            f" ({len(duplicates)} such rows); these are episodes of more than one run or evaluation"
        )
    expected = set(product(keys["problem_id"].unique(), keys["sample"].unique()))
    for seed, rows in keys.groupby("seed"):
        missing = sorted(expected - set(zip(rows["problem_id"], rows["sample"], strict=True)))
        if missing:
            problem, sample = missing[0]
            raise ValueError(
                f"seed {seed} lacks problem {problem}, sample {sample} ({len(missing)} in all); evaluate it again"
            )


def episode_values(episodes: pd.DataFrame) -> pd.DataFrame:
    """One row per episode, one column per metric: the values whose means the metrics are.

    `delta`, `delta_i_to_c`, `delta_c_to_i` and `answer_change_rate` are those from attempt 1 to 2, as in the paper; a
    further attempt t has its own with `@t{t}`, from attempt t-1.
    """
    values: dict[str, pd.Series] = {}
    grades = {t: episodes[f"grade_{t}"] for t in range(1, num_attempts(episodes) + 1)}
    for grade in pd.unique(pd.concat(grades)):
        Grade(grade)  # raises ValueError, with the word, where it is not one
    right = {t: (grades[t] == Grade.CORRECT).astype(float) for t in grades}
    for t in grades:
        values[f"accuracy@t{t}"] = right[t]
        if t > 1:
            mark = "" if t == 2 else f"@t{t}"
            values[f"delta{mark}"] = right[t] - right[t - 1]
            values[f"delta_i_to_c{mark}"] = (1 - right[t - 1]) * right[t]
            values[f"delta_c_to_i{mark}"] = right[t - 1] * (1 - right[t])
            if f"changed_{t}" in episodes:
                values[f"answer_change_rate{mark}"] = episodes[f"changed_{t}"].astype(float)
    for t in grades:
        values |= {f"{failure}_rate@t{t}": (grades[t] == failure).astype(float) for failure in FAILURES}
        for metric, column in COPIED_COLUMNS.items():
            if column.format(t=t) in episodes:
                values[metric.format(t=t)] = episodes[column.format(t=t)].astype(float)
    frame = pd.DataFrame(values, index=episodes.index).dropna(axis="columns", how="all")
    has_gaps = frame.isna().any()
    if has_gaps.any():
        names = ", ".join(frame.columns[has_gaps])
        raise ValueError(f"{names} is not known for every episode; evaluate the run again")
    return frame


def summarise(episodes: pd.DataFrame) -> dict[str, float]:
    """The value of each metric, averaged over seeds, problems and samples."""
    check_episodes(episodes)
    return {str(name): float(value) for name, value in episode_values(episodes).mean().items()}


def pass_at_k(*, num_samples: int, num_correct: int, k: int) -> float:
    """Unbiased chance that one of k samples, drawn without replacement, is correct (Chen et al. 2021, Eq. 1)."""
    if not 1 <= k <= num_samples:
        raise ValueError(f"pass@{k} needs k between 1 and the number of samples, which is {num_samples}")
    if num_samples - num_correct < k:
        return 1.0
    return float(1 - np.prod(1 - k / np.arange(num_samples - num_correct + 1, num_samples + 1)))


def majority_accuracy(episodes: pd.DataFrame, *, attempt: int) -> float:
    """Accuracy of each problem's most frequent answer at an attempt; the earliest sample wins a tie.

    Answers vote as strings; samples without an answer do not vote. A problem without any vote counts as wrong.
    """
    check_episodes(episodes)
    num_right = 0
    groups = episodes.sort_values("sample").groupby([seeds_of(episodes), episodes["problem_id"]])
    for _, samples in groups:
        votes = samples.dropna(subset=[f"answer_{attempt}"])
        if len(votes):
            winner = Counter(votes[f"answer_{attempt}"]).most_common(1)[0][0]
            grade = votes.loc[votes[f"answer_{attempt}"] == winner, f"grade_{attempt}"].iloc[0]
            num_right += grade == Grade.CORRECT
    return num_right / len(groups)
