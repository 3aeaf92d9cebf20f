"""What the paper says that training does to self-correction, each claim judged by our own runs in one setting.

A claim of `claims.json` is a number that should be positive: a weighted sum of one metric over methods, as Δ of SCoRe
minus Δ of plain multi-turn RL. It *holds* where the number's 95 % interval lies above zero, *does not hold* where it
lies below, and is *not shown* where zero lies in it. Intervals are not corrected for their number.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.metrics.bootstrap import Estimate, contrast
from bench.reporting.index import MethodResult, Setting, by_setting
from bench.reporting.table import Column, Table, percent

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


CLAIMS = tuple(
    Claim(**claim) for claim in json.loads((Path(__file__).parent / "claims.json").read_text(encoding="utf-8"))
)
COLUMNS = {
    "setting": Column("Setting", is_text=True, in_csv=False),
    "claim": Column("Claim of the paper", is_text=True),
    "source": Column("Source", is_text=True),
    "quantity": Column("Must be above 0", is_text=True),
    "value": Column("Points"),
    "num_seeds": Column("Seeds", lambda num_seeds: str(num_seeds or "")),
    "verdict": Column("Here it", is_text=True),
}


def findings(results: list[MethodResult]) -> list[Finding]:
    """Every claim in every setting on its task where at least one of them can be judged."""
    found = []
    for setting, group in by_setting(results):
        methods = {result.method: result for result in group}
        judged = [_judge(claim, setting, methods) for claim in CLAIMS if claim.task == setting.paper_task]
        found += judged if any(finding.estimate for finding in judged) else []
    return found


def _judge(claim: Claim, setting: Setting, results: Mapping[str, MethodResult]) -> Finding:
    if not set(claim.terms) <= set(results):
        return Finding(claim, setting, None, num_seeds=0)
    comparison = contrast([(weight, results[method].episodes) for method, weight in claim.terms.items()])
    estimate = comparison[claim.metric].difference if claim.metric in comparison else None
    if estimate and claim.within is not None:
        estimate = _margin(estimate, claim.within)
    return Finding(claim, setting, estimate, num_seeds=min(len(results[method].runs) for method in claim.terms))


def _margin(difference: Estimate, within: float) -> Estimate:
    """`within` less the distance from 0 of a number known by an interval."""
    ends = abs(difference.low), abs(difference.high)
    nearest = 0.0 if difference.low <= 0 <= difference.high else min(ends)
    return Estimate(within - abs(difference.value), within - max(ends), within - nearest)


def claims_table(found: list[Finding]) -> Table:
    rows = [
        {
            "claim": finding.claim.text,
            "source": finding.claim.source,
            "task": finding.setting.task,
            "model": finding.setting.model,
            "variant": finding.setting.variant,
            "setting": finding.setting.label,
            "quantity": finding.claim.quantity,
            "value": percent(finding.estimate),
            "num_seeds": finding.num_seeds,
            "verdict": finding.verdict,
        }
        for finding in found
    ]
    counts = {verdict: sum(finding.verdict == verdict for finding in found) for verdict in (HOLDS, OPEN, FAILS)}
    caption = (
        f"Percentage points with 95 % bootstrap intervals over problems and seeds: {sum(counts.values())} intervals, "
        f"not corrected for their number. A claim holds where the interval lies above 0 ({counts[HOLDS]}), does not "
        f"hold where it lies below ({counts[FAILS]}), and is not shown where 0 lies in it ({counts[OPEN]})."
    )
    return Table("claims", caption, COLUMNS, rows)
