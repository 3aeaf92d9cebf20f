"""Training curves (the paper's Fig. 6), from train.jsonl: both accuracies, and how often the answer changes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.reporting.index import Cell
from bench.reporting.panels import label_line_ends, panel_grid, styled, write_title
from bench.reporting.style import BROKEN_COLOUR, FIRST_COLOUR, QUIET, SECOND_COLOUR
from bench.runs.finished import log_of

ACCURACIES = {"train/accuracy@t1": ("attempt 1", FIRST_COLOUR), "train/accuracy@t2": ("attempt 2", SECOND_COLOUR)}
PROBES = {
    "probe/fixed_train": ("training", FIRST_COLOUR),
    "probe/fixed_validation": ("held out", SECOND_COLOUR),
    "probe/self_generated_validation": ("own, held out", BROKEN_COLOUR),
}
CHANGES = {"train/answer_change_rate": ("changed", SECOND_COLOUR)}
NARROWEST = 0.2  # part of the axis that a stage's name needs


def training_accuracy(cells: list[Cell]) -> Figure | None:
    return _curves(
        cells,
        ACCURACIES,
        "Accuracy on sampled training episodes, percent. Thin: each seed. Thick: mean of the seeds, smoothed.",
    )


def answer_changes(cells: list[Cell]) -> Figure | None:
    """Near 0 a method has collapsed: it gives its first answer again."""
    return _curves(cells, CHANGES, "Training episodes whose second answer differs from the first, percent.")


def generalisation(cells: list[Cell]) -> Figure | None:
    """Whether corrections carry over from the base model's first attempts to the trained model's own (Fig. 5)."""
    return _curves(
        cells,
        PROBES,
        "Accuracy of sampled corrections through the epoch, percent: of the base model's first attempts at training "
        "problems and at held-out ones, and of the newest model's own.",
    )


@styled
def _curves(cells: list[Cell], series: dict[str, tuple[str, str]], title: str) -> Figure | None:
    """None where no method has logged what is asked for, as when nothing was trained."""
    logs = {id(cell): [log for log in map(log_of, cell.runs) if set(series) <= set(log)] for cell in cells}
    shown = [cell for cell in cells if logs[id(cell)]]
    if not shown:
        return None
    figure, panels = panel_grid(shown, height=1.9)
    for cell, axes in panels:
        ends = []
        for key, (label, colour) in series.items():
            runs = [100 * log.groupby("update")[key].mean().dropna() for log in logs[id(cell)]]
            for run in runs:
                axes.plot(run.index, run, color=colour, alpha=0.18, linewidth=0.7)
            beside = pd.concat(runs, axis=1).sort_index()
            common = beside.dropna()  # an epoch's last update is not the same for every seed
            mean = (beside if common.empty else common).mean(axis=1)
            smooth = mean.rolling(max(1, len(mean) // 20), center=True, min_periods=1).mean()
            axes.plot(smooth.index, smooth, color=colour, linewidth=1.6)
            ends.append((float(smooth.iloc[-1]), label, colour))
        axes.set_ylim(0, 100)
        label_line_ends(axes, ends)
        mark_stages(axes, logs[id(cell)][0])
        axes.set_title(cell.label)
        axes.set_xlabel("update")
    write_title(figure, title)
    return figure


def mark_stages(axes: Axes, log: pd.DataFrame) -> None:
    """A thin line where one stage of training gives way to the next, and each stage's name at the top."""
    if "stage" not in log or log["stage"].nunique() < 2:
        return
    begins = np.flatnonzero(log["stage"] != log["stage"].shift())
    first, last = log["update"].iloc[0], log["update"].iloc[-1]
    ends = [*log["update"].iloc[begins[1:]], last]
    for row, end in zip(begins, ends, strict=True):
        update = log["update"].iloc[row]
        if row:
            axes.axvline(update, color=QUIET, linewidth=0.8, linestyle=":")
        if end - update > NARROWEST * (last - first):
            axes.text(update, 100, f" {log['stage'].iloc[row]}", va="top", fontsize=7, color=QUIET)
