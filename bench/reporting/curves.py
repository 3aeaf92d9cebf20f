"""Training curves (the paper's Fig. 6), from train.jsonl: both accuracies, and how often the answer changes."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.reporting.index import MethodResult, trainings
from bench.reporting.panels import label_line_ends, panel_grid, styled
from bench.reporting.style import BROKEN_COLOUR, FIRST_COLOUR, QUIET, SECOND_COLOUR
from bench.runs.finished import log_of

CURVES = {  # file name: columns of train.jsonl with their labels and colours, and the figure's title
    "training_accuracy": (
        {"train/accuracy@t1": ("attempt 1", FIRST_COLOUR), "train/accuracy@t2": ("attempt 2", SECOND_COLOUR)},
        "Accuracy on sampled training episodes, percent. Thin: each seed. Thick: mean of the seeds, smoothed.",
    ),
    # Near 0 a method has collapsed: it gives its first answer again.
    "answer_changes": (
        {"train/answer_change_rate": ("changed", SECOND_COLOUR)},
        "Training episodes whose second answer differs from the first, percent.",
    ),
    # Whether corrections carry over from the base model's first attempts to the trained model's own (Fig. 5).
    "generalisation": (
        {
            "probe/fixed_train": ("training", FIRST_COLOUR),
            "probe/fixed_validation": ("held out", SECOND_COLOUR),
            "probe/self_generated_validation": ("own, held out", BROKEN_COLOUR),
        },
        "Accuracy of sampled corrections through the epoch, percent: of the base model's first attempts at training "
        "problems and at held-out ones, and of the newest model's own.",
    ),
}
MIN_LABELLED = 0.2  # part of the axis that a stage's name needs


@styled
def training_curve(results: list[MethodResult], name: str) -> Figure | None:
    """One of `CURVES`; None where no method has logged it, as when nothing was trained."""
    series, title = CURVES[name]
    results = trainings(results)
    logs = {id(result): [log for log in map(log_of, result.runs) if set(series) <= set(log)] for result in results}
    shown = [result for result in results if logs[id(result)]]
    if not shown:
        return None
    figure, panels = panel_grid(shown, title=title, x_label="update")
    for result, axes in panels:
        ends = []
        for key, (label, colour) in series.items():
            runs = [100 * log.groupby("update")[key].mean().dropna() for log in logs[id(result)]]
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
        mark_stages(axes, logs[id(result)][0])
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
        if end - update > MIN_LABELLED * (last - first):
            axes.text(update, 100, f" {log['stage'].iloc[row]}", va="top", fontsize=7, color=QUIET)
