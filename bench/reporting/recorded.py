"""Recorded attempts bring labels of their own: what those say, and where our verdicts differ."""

from __future__ import annotations

import pandas as pd

from bench.episode import Grade
from bench.metrics import num_attempts, summarise
from bench.reporting.index import Cell
from bench.reporting.style import show_number
from bench.reporting.tables import METRICS

_NAMED = 10  # differing attempts that are named; the others are counted


def recorded_note(cell: Cell) -> str | None:
    """The five metrics by the recording's labels, and the attempts that we grade otherwise; None without labels."""
    attempts = range(1, num_attempts(cell.episodes) + 1)
    if not all(f"recorded_{t}" in cell.episodes and cell.episodes[f"recorded_{t}"].notna().all() for t in attempts):
        return None
    labelled = cell.episodes.copy()
    differing: list[str] = []
    for t in attempts:
        passed = labelled[f"recorded_{t}"].astype(bool)
        ours = labelled[f"grade_{t}"] == Grade.CORRECT
        differing += [f"{problem} attempt {t}" for problem in labelled.loc[passed != ours, "problem_id"]]
        labelled[f"grade_{t}"] = pd.Series(passed).map({True: Grade.CORRECT.value, False: Grade.WRONG.value})
    told = summarise(labelled)
    numbers = " / ".join(show_number(100 * told[metric]) for metric in METRICS.values())
    graded = len(labelled) * len(attempts)
    if not differing:
        return f"The recording's own labels agree with all {graded} verdicts."
    named = ", ".join(differing[:_NAMED]) + (f" and {len(differing) - _NAMED} more" if len(differing) > _NAMED else "")
    return (
        f"By the recording's own labels the row would be {numbers}; they differ from {len(differing)} of {graded} "
        f"verdicts: {named}."
    )
