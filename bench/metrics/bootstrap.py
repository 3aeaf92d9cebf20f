"""How sure the metrics of `episode_metrics` are: bootstrap intervals, and paired comparisons of methods.

Array axes: S seeds, P problems, M metrics, R resamples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from bench.episode import Grade
from bench.metrics.episode_metrics import check_episodes, episode_values, seeds_of

CONFIDENCE = 0.95
NUM_RESAMPLES = 4000


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
    weights = [weight for weight, _ in terms]
    _check_paired([episodes for _, episodes in terms])
    tables = [_by_seed_and_problem(episodes) for _, episodes in terms]
    names = [name for name in tables[0][0] if all(name in others for others, _ in tables)]
    values = [values_SPM[:, :, [own.index(name) for name in names]] for own, values_SPM in tables]
    rng = np.random.default_rng(0)  # one for all: their problems are the same draws, their seeds are not
    totals_PM = np.sum([w * values_SPM.mean(axis=0) for w, values_SPM in zip(weights, values, strict=True)], axis=0)
    drawn_RM = np.sum(
        [w * _resampled_means(values_SPM, rng) for w, values_SPM in zip(weights, values, strict=True)], axis=0
    )
    comparisons = {}
    for m, name in enumerate(names):
        difference = _interval(totals_PM[:, m], drawn_RM[:, m], _extremes(name, weights), len(totals_PM))
        tail = min((drawn_RM[:, m] <= 0).sum(), (drawn_RM[:, m] >= 0).sum())
        comparisons[name] = Comparison(difference, p_value=float(min(1.0, 2 * (1 + tail) / (1 + NUM_RESAMPLES))))
    return comparisons


def mcnemar(left: pd.DataFrame, right: pd.DataFrame, *, attempt: int) -> McNemar:
    """Exact McNemar test of one run against another; several seeds or samples would break its independence."""
    for episodes in (left, right):
        if episodes["problem_id"].duplicated().any():
            raise ValueError("McNemar's test takes one run with one sample per problem; use compare() for more")
    _check_paired([left, right])
    left_correct, right_correct = (
        (episodes.set_index("problem_id")[f"grade_{attempt}"] == Grade.CORRECT).sort_index()
        for episodes in (left, right)
    )
    only_left, only_right = int((left_correct & ~right_correct).sum()), int((right_correct & ~left_correct).sum())
    discordant = only_left + only_right
    p_value = float(binomtest(only_left, discordant).pvalue) if discordant else 1.0
    return McNemar(only_left=only_left, only_right=only_right, p_value=p_value)


def _check_paired(frames: Sequence[pd.DataFrame]) -> None:
    for episodes in frames:
        check_episodes(episodes)
        unpaired = set(frames[0]["problem_id"]) ^ set(episodes["problem_id"])
        if unpaired:
            raise ValueError(
                f"a paired test needs the same problems; {len(unpaired)} are not in both, as {min(unpaired)}"
            )


def _by_seed_and_problem(episodes: pd.DataFrame) -> tuple[list[str], np.ndarray]:
    """The metrics' names, and the mean over samples of each seed's and problem's values: [S, P, M]."""
    values = episode_values(episodes)
    means = values.groupby([seeds_of(episodes), episodes["problem_id"]]).mean()
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
