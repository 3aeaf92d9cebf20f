"""Numbers from graded episodes, with their uncertainty. Knows tables of episodes, neither folders nor models.

Every metric here is the mean over episodes of one value per episode (`episode_values`), so that one resampling scheme
serves all of them. Rates and deltas are fractions, over *all* problems: the paper's Δ^i→c counts fixed answers per
problem asked, not per wrong first answer. Names are the ones W&B shows under `eval/`.

Array axes: S seeds, P problems, M metrics, R resamples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from bench.episode import Grade

CONFIDENCE = 0.95
NUM_RESAMPLES = 4000
FAILURES = tuple(grade for grade in Grade if grade not in (Grade.CORRECT, Grade.WRONG))
COPIED_COLUMNS = {  # metric: the column of episodes.parquet that it averages
    "tokens@t{t}": "tokens_{t}",
    "truncation_rate@t{t}": "truncated_{t}",
    "grading_seconds@t{t}": "grading_seconds_{t}",
    "edit_indel@t{t}": "edit_indel_{t}",
    "edit_levenshtein@t{t}": "edit_levenshtein_{t}",
}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """A contrast of methods on the same problems, as left minus right. `p_value` is two-sided, from the resamples."""

    difference: Estimate
    p_value: float


@dataclass(frozen=True, slots=True)
class McNemar:
    """How many problems only the left, or only the right, has correct; exact two-sided p-value."""

    only_left: int
    only_right: int
    p_value: float


def num_attempts(episodes: pd.DataFrame) -> int:
    """How many graded attempts each episode has. Raises ValueError when episodes differ in it."""
    count = 0
    while f"grade_{count + 1}" in episodes and episodes[f"grade_{count + 1}"].notna().any():
        count += 1
    if count == 0:
        raise ValueError("these episodes have no graded attempt: the column grade_1 is absent or empty")
    lacking = episodes[[f"grade_{t}" for t in range(1, count + 1)]].isna().any(axis=1)
    if lacking.any():
        problem = episodes.loc[lacking, "problem_id"].iloc[0]
        raise ValueError(f"{problem} has fewer than {count} attempts; take runs with as many attempts each together")
    return count


def check_episodes(episodes: pd.DataFrame) -> None:
    """Refuse, by name, problems that a seed has twice or lacks: a mean over unequal sets of problems means nothing."""
    keys = episodes[["problem_id", "sample"]].assign(seed=_seeds_of(episodes))
    twice = keys[keys.duplicated()]
    if len(twice):
        first = twice.iloc[0]
        raise ValueError(
            f"seed {first.seed} has problem {first.problem_id}, sample {first['sample']}, twice"
            f" ({len(twice)} such rows); these are episodes of more than one run or evaluation"
        )
    problems, samples = keys["problem_id"].unique(), keys["sample"].unique()
    for seed, rows in keys.groupby("seed"):
        if len(rows) < len(problems) * len(samples):
            played = set(zip(rows["problem_id"], rows["sample"], strict=True))
            lacking = sorted(set(product(problems, samples)) - played)
            problem, sample = lacking[0]
            raise ValueError(f"seed {seed} lacks problem {problem}, sample {sample} ({len(lacking)} in all); play it")


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
    lacking = frame.isna().any()
    if lacking.any():
        raise ValueError(f"{', '.join(frame.columns[lacking])} cannot be told for every episode; play the run again")
    return frame


def summarise(episodes: pd.DataFrame) -> dict[str, float]:
    """The value of each metric, averaged over seeds, problems and samples."""
    check_episodes(episodes)
    return {str(name): float(value) for name, value in episode_values(episodes).mean().items()}


def estimate(episodes: pd.DataFrame) -> dict[str, Estimate]:
    """Each metric with a bootstrap interval for one method on one task: percentiles of 4,000 resampled means.

    Problems and seeds are drawn independently of each other (all seeds answer the same problems), so that the interval
    speaks of new problems and of new training runs. Of S seeds, S-1 are drawn with replacement, which makes the
    variance among few seeds come out unbiased (Rao and Wu 1988); the scheme as a whole errs on the wide side (Owen
    2007). With one seed it speaks of new problems only. Samples of one problem stay together.
    """
    check_episodes(episodes)
    names, values_SPM = _by_seed_and_problem(episodes)
    means_RM = _resampled_means(values_SPM, np.random.default_rng(0))
    return {
        name: _interval(values_SPM[:, :, m], means_RM[:, m], _extremes(name), values_SPM.shape[1])
        for m, name in enumerate(names)
    }


def compare(left: pd.DataFrame, right: pd.DataFrame) -> dict[str, Comparison]:
    """Left minus right for each metric of both."""
    return contrast([(1.0, left), (-1.0, right)])


def contrast(terms: Sequence[tuple[float, pd.DataFrame]]) -> dict[str, Comparison]:
    """A weighted sum over methods of each metric that all of them have, as 1 × this − 0.5 × that.

    Each resample draws the same problems for all terms, and seeds for each term by itself.
    """
    names, values = _aligned([episodes for _, episodes in terms])
    weighted = list(zip([weight for weight, _ in terms], values, strict=True))
    totals_PM = np.sum([weight * values_SPM.mean(axis=0) for weight, values_SPM in weighted], axis=0)
    rng = np.random.default_rng(0)  # one for all: their problems are the same draws, their seeds are not
    drawn_RM = np.sum([weight * _resampled_means(values_SPM, rng) for weight, values_SPM in weighted], axis=0)
    weights = [weight for weight, _ in terms]
    comparisons = {}
    for m, name in enumerate(names):
        difference = _interval(totals_PM[:, m], drawn_RM[:, m], _extremes(name, weights), len(totals_PM))
        tail = min((drawn_RM[:, m] <= 0).sum(), (drawn_RM[:, m] >= 0).sum())
        p_value = min(1.0, 2 * (1 + tail) / (1 + NUM_RESAMPLES))
        comparisons[name] = Comparison(difference=difference, p_value=float(p_value))
    return comparisons


def mcnemar(left: pd.DataFrame, right: pd.DataFrame, *, attempt: int) -> McNemar:
    """Exact McNemar test of one run against another; several seeds or samples would break its independence."""
    for episodes in (left, right):
        if episodes["problem_id"].duplicated().any():
            raise ValueError("McNemar's test takes one run with one sample per problem; use compare() for more")
    _refuse_unpaired([left, right])
    left_correct, right_correct = (
        (episodes.set_index("problem_id")[f"grade_{attempt}"] == Grade.CORRECT).sort_index()
        for episodes in (left, right)
    )
    only_left, only_right = int((left_correct & ~right_correct).sum()), int((right_correct & ~left_correct).sum())
    discordant = only_left + only_right
    p_value = float(binomtest(only_left, discordant).pvalue) if discordant else 1.0
    return McNemar(only_left=only_left, only_right=only_right, p_value=p_value)


def pass_at_k(*, num_samples: int, num_correct: int, k: int) -> float:
    """Unbiased chance that one of k samples, drawn without replacement, is correct (Chen et al. 2021, Eq. 1)."""
    if not 1 <= k <= num_samples:
        raise ValueError(f"pass@{k} cannot be told from {num_samples} samples: k must lie between 1 and their number")
    if num_samples - num_correct < k:
        return 1.0
    return float(1 - np.prod(1 - k / np.arange(num_samples - num_correct + 1, num_samples + 1)))


def majority_accuracy(episodes: pd.DataFrame, *, attempt: int) -> float:
    """Accuracy of each problem's most frequent answer at an attempt; the earliest sample wins a tie.

    Answers vote as strings; samples without an answer do not vote. A problem without any vote counts as wrong.
    """
    check_episodes(episodes)
    num_right = 0
    groups = episodes.sort_values("sample").groupby([_seeds_of(episodes), episodes["problem_id"]])
    for _, samples in groups:
        votes = samples.dropna(subset=[f"answer_{attempt}"])
        if len(votes):
            winner = Counter(votes[f"answer_{attempt}"]).most_common(1)[0][0]
            grade = votes.loc[votes[f"answer_{attempt}"] == winner, f"grade_{attempt}"].iloc[0]
            num_right += grade == Grade.CORRECT
    return num_right / len(groups)


def _refuse_unpaired(frames: Sequence[pd.DataFrame]) -> None:
    for episodes in frames:
        check_episodes(episodes)
    for episodes in frames[1:]:
        unpaired = set(frames[0]["problem_id"]) ^ set(episodes["problem_id"])
        if unpaired:
            raise ValueError(
                f"a paired test needs the same problems; {len(unpaired)} are not in both, as {min(unpaired)}"
            )


def _aligned(frames: Sequence[pd.DataFrame]) -> tuple[list[str], list[np.ndarray]]:
    """The metrics that all have, and each one's values of them, [S, P, M]."""
    _refuse_unpaired(frames)
    tables = [_by_seed_and_problem(episodes) for episodes in frames]
    names = [name for name in tables[0][0] if all(name in others for others, _ in tables)]
    return names, [values_SPM[:, :, [own.index(name) for name in names]] for own, values_SPM in tables]


def _seeds_of(episodes: pd.DataFrame) -> pd.Series:
    """One seed where the column is absent, as in the episodes of a single run."""
    return episodes["seed"] if "seed" in episodes else pd.Series(0, index=episodes.index, name="seed")


def _by_seed_and_problem(episodes: pd.DataFrame) -> tuple[list[str], np.ndarray]:
    """The metrics' names, and the mean over samples of each seed's and problem's values: [S, P, M]."""
    values = episode_values(episodes)
    means = values.groupby([_seeds_of(episodes), episodes["problem_id"]]).mean()
    num_seeds = means.index.get_level_values(0).nunique()
    return [str(name) for name in values], means.to_numpy().reshape(num_seeds, -1, values.shape[1])


@lru_cache(maxsize=2)
def _problem_weights(num_problems: int) -> np.ndarray:
    """How often each problem is drawn in each resample, divided by the number of draws: [R, P], always the same."""
    draws_RP = np.random.default_rng(0).integers(num_problems, size=(NUM_RESAMPLES, num_problems))
    draws_RP += num_problems * np.arange(NUM_RESAMPLES)[:, None]  # one range of numbers per resample
    counts = np.bincount(draws_RP.ravel(), minlength=NUM_RESAMPLES * num_problems)
    return counts.reshape(NUM_RESAMPLES, num_problems) / num_problems


def _resampled_means(values_SPM: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[R, M]; `rng` draws the seeds."""
    num_seeds, num_problems, _ = values_SPM.shape
    drawn = max(num_seeds - 1, 1)
    seed_weights_RS = rng.multinomial(drawn, np.full(num_seeds, 1 / num_seeds), size=NUM_RESAMPLES) / drawn
    means_RSM = np.stack([_problem_weights(num_problems) @ values_PM for values_PM in values_SPM], axis=1)
    return np.einsum("rs,rsm->rm", seed_weights_RS, means_RSM)


def _extremes(name: str, weights: Sequence[float] = (1.0,)) -> tuple[float, float]:
    """Between which two numbers a weighted sum of a metric must lie; equal ends where nothing is known of it."""
    kind = name.split("@")[0]
    if kind in ("tokens", "grading_seconds"):
        return 0.0, 0.0
    lowest, highest = (-1.0, 1.0) if kind == "delta" else (0.0, 1.0)
    ends = [sorted((weight * lowest, weight * highest)) for weight in weights]
    return sum(low for low, _ in ends), sum(high for _, high in ends)


def _interval(values: np.ndarray, means_R: np.ndarray, extremes: tuple[float, float], num_problems: int) -> Estimate:
    """Percentile interval; where all values are equal, resampling sees no spread and the exact bound stands in.

    An event seen in none of n problems may still have a rate of up to 1 - 0.025^(1/n) (Clopper and Pearson): 0 of 500
    is "at most 0.7 %", not "certainly 0". The same share of unseen problems may lie at a metric's extremes.
    """
    mean = float(values.mean())
    if np.ptp(values) > 0:
        low, high = np.quantile(means_R, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        return Estimate(mean, float(min(low, mean)), float(max(high, mean)))
    unseen = 1 - ((1 - CONFIDENCE) / 2) ** (1 / num_problems)
    lowest, highest = extremes
    if lowest == highest:
        return Estimate(mean, mean, mean)
    return Estimate(mean, mean - (mean - lowest) * unseen, mean + (highest - mean) * unseen)
