"""What the paper says that training does to self-correction, each claim judged by our own runs in one setting.

A claim is a number that should be positive: a weighted sum of one metric over methods, as Δ of SCoRe minus Δ of plain
multi-turn RL. It *holds* where the number's 95 % interval lies above zero, *does not hold* where it lies below, and is
*not shown* where zero lies in it. Intervals are not corrected for their number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from bench.metrics import Estimate, contrast
from bench.reporting.index import Cell, Setting, by_setting
from bench.reporting.style import method_style
from bench.reporting.tables import interval_text
from bench.reporting.writing import Table

HOLDS, FAILS, OPEN = "holds", "does not hold", "not shown"


@dataclass(frozen=True, slots=True)
class Claim:
    """`terms` maps methods to weights. With `within`, a fraction, the number is that less the sum's distance from 0."""

    task: str  # the one that it is about, and the only one that it is judged on
    text: str
    source: str  # the table or figure that shows it; a bound of our own is said to be ours
    quantity: str  # what the number is, and which sign the claim gives it
    metric: str
    terms: Mapping[str, float]
    within: float | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A claim in one setting. `estimate` is None where a method that it speaks of has no finished run there."""

    claim: Claim
    setting: Setting
    estimate: Estimate | None
    num_seeds: int  # the fewest of its methods

    @property
    def verdict(self) -> str:
        if self.estimate is None:
            return "missing"
        if self.estimate.low > 0:
            return HOLDS
        return FAILS if self.estimate.high < 0 else OPEN


# Where the paper shows a method beside SCoRe on MATH: what a claim about its second attempts rests on. SCoRe itself
# stands in Tables 2 and 4.
SHOWN_ON_MATH = {
    "base": "Table 2",
    "self_refine": "Table 2",
    "star": "Table 1 (SCoRe: Table 2)",
    "star_plus": "Table 2",
    "pair_sft": "Table 2",
    "pair_sft_plus": "Table 1 (SCoRe: Table 2)",
    "single_turn_rl": "Table 4",
    "multi_turn_rl": "Figure 6",
    "score_stage1": "Figure 6",
    "score_wo_stage1": "Table 4",
    "score_wo_reward_shaping": "Table 4",
    "score_star_stage2": "Table 4",
    "score_wo_online_turn1": "Table 4",
}
SHOWN_ON_HUMANEVAL = dict.fromkeys(("base", "self_refine", "pair_sft"), "Table 3")


def _claims() -> tuple[Claim, ...]:
    score, plain, single, stage1 = "score", "multi_turn_rl", "single_turn_rl", "score_stage1"
    return (
        Claim(
            "math",
            "Single-turn RL does not teach self-correction",
            "Table 4",
            "−Δ of single-turn RL",
            "delta",
            {single: -1.0},
        ),
        Claim(
            "math",
            "Plain multi-turn RL collapses: it changes less than half as many answers as the base",
            "Figure 6; the half is ours",
            "half the base's answer-change rate − its own",
            "answer_change_rate",
            {"base": 0.5, plain: -1.0},
        ),
        Claim(
            "math",
            "Stage I alone has a larger Δ than plain multi-turn RL",
            "Figure 6",
            "Δ of Stage I − Δ of plain multi-turn RL",
            "delta",
            {stage1: 1.0, plain: -1.0},
        ),
        Claim(
            "math",
            "Stage I alone keeps Accuracy@t1 within 12 points of the base's",
            "Figure 6; the 12 points are ours",
            "12 − how far the two differ",
            "accuracy@t1",
            {stage1: 1.0, "base": -1.0},
            within=0.12,
        ),
        _corrects_itself("math", "Table 2"),
        *(_better_at_t2("math", other, source) for other, source in SHOWN_ON_MATH.items()),
        *(
            Claim(
                "math",
                f"SCoRe {what} has a smaller Δ than SCoRe",
                "Table 4",
                "difference of Δ",
                "delta",
                {score: 1.0, other: -1.0},
            )
            for other, what in (("score_wo_reward_shaping", "w/o reward shaping"), ("score_wo_stage1", "w/o Stage I"))
        ),
        _corrects_itself("humaneval", "Table 3"),
        *(_better_at_t2("humaneval", other, source) for other, source in SHOWN_ON_HUMANEVAL.items()),
    )


def _corrects_itself(task: str, source: str) -> Claim:
    return Claim(
        task, "SCoRe's second attempts are better than its first", source, "Δ of SCoRe", "delta", {"score": 1.0}
    )


def _better_at_t2(task: str, other: str, source: str) -> Claim:
    return Claim(
        task,
        f"SCoRe's Accuracy@t2 is above that of {method_style(other).label}",
        source,
        "difference of Accuracy@t2",
        "accuracy@t2",
        {"score": 1.0, other: -1.0},
    )


CLAIMS = _claims()


def findings(cells: list[Cell]) -> list[Finding]:
    """Every claim in every setting on its task where at least one of them can be judged."""
    found = []
    for setting, group in by_setting(cells):
        cells_of = {cell.method: cell for cell in group}
        judged = [_judge(claim, setting, cells_of) for claim in CLAIMS if claim.task == setting.task]
        found += judged if any(finding.estimate for finding in judged) else []
    return found


def _judge(claim: Claim, setting: Setting, cells: Mapping[str, Cell]) -> Finding:
    if not set(claim.terms) <= set(cells):
        return Finding(claim, setting, None, 0)
    terms = [(weight, cells[method].episodes) for method, weight in claim.terms.items()]
    comparison = contrast(terms).get(claim.metric)
    seeds = min(len(cells[method].runs) for method in claim.terms)
    if comparison is None:
        return Finding(claim, setting, None, seeds)
    found = comparison.difference
    return Finding(claim, setting, found if claim.within is None else _room(found, claim.within), seeds)


def _room(found: Estimate, within: float) -> Estimate:
    """`within` less the distance from 0 of a number known by an interval."""
    nearest = 0.0 if found.low <= 0 <= found.high else min(abs(found.low), abs(found.high))
    farthest = max(abs(found.low), abs(found.high))
    return Estimate(within - abs(found.value), within - farthest, within - nearest)


def claims_table(found: list[Finding]) -> Table:
    numbers = pd.DataFrame(
        {
            "claim": finding.claim.text,
            "source": finding.claim.source,
            "task": finding.setting.task,
            "model": finding.setting.model,
            "variant": finding.setting.variant,
            "quantity": finding.claim.quantity,
            "value": 100 * finding.estimate.value if finding.estimate else None,
            "low": 100 * finding.estimate.low if finding.estimate else None,
            "high": 100 * finding.estimate.high if finding.estimate else None,
            "num_seeds": finding.num_seeds,
            "verdict": finding.verdict,
        }
        for finding in found
    )
    shown = pd.DataFrame(
        {
            "Setting": finding.setting.label,
            "Claim of the paper": finding.claim.text,
            "Source": finding.claim.source,
            "Must be above 0": finding.claim.quantity,
            "Points": interval_text(finding.estimate),
            "Seeds": finding.num_seeds or "",
            "Here it": finding.verdict,
        }
        for finding in found
    )
    counts = {verdict: sum(finding.verdict == verdict for finding in found) for verdict in (HOLDS, OPEN, FAILS)}
    num_intervals = sum(counts.values())
    caption = (
        f"Percentage points with 95 % bootstrap intervals over problems and seeds: {num_intervals} intervals, not "
        f"corrected for their number. A claim holds where the interval lies above 0 ({counts[HOLDS]}), does not hold "
        f"where it lies below ({counts[FAILS]}), and is not shown where 0 lies in it ({counts[OPEN]})."
    )
    return Table("claims", caption, numbers, shown)
