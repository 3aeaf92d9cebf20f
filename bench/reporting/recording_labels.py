"""Recorded attempts bring labels of their own: what those say, and where our verdicts differ."""

import pandas as pd

from bench.episode import Grade
from bench.metrics.episode_metrics import num_attempts, summarise
from bench.reporting.style import METRICS, show_number

_MAX_NAMED = 10  # differing attempts that are named; the others are counted


def recording_note(episodes: pd.DataFrame) -> str:
    """The five metrics by the recording's labels, and the attempts that we grade otherwise; empty without labels."""
    attempts = range(1, num_attempts(episodes) + 1)
    if not all(f"recorded_{t}" in episodes and episodes[f"recorded_{t}"].notna().all() for t in attempts):
        return ""
    labelled = episodes.copy()
    differing: list[str] = []
    for t in attempts:
        passed = labelled[f"recorded_{t}"].astype(bool)
        differs = passed != (labelled[f"grade_{t}"] == Grade.CORRECT)
        differing += [f"{problem} attempt {t}" for problem in labelled.loc[differs, "problem_id"]]
        labelled[f"grade_{t}"] = passed.map({True: Grade.CORRECT.value, False: Grade.WRONG.value})
    num_graded = len(labelled) * len(attempts)
    if not differing:
        return f"The recording's own labels agree with all {num_graded} verdicts."
    metrics = summarise(labelled)
    numbers = " / ".join(show_number(100 * metrics[metric]) for metric in METRICS.values())
    rest = f" and {len(differing) - _MAX_NAMED} more" if len(differing) > _MAX_NAMED else ""
    return (
        f"By the recording's own labels the row would be {numbers}; they differ from {len(differing)} of {num_graded} "
        f"verdicts: {', '.join(differing[:_MAX_NAMED])}{rest}."
    )
