"""The figures of the paper that are drawn from finished evaluations; each is None without the data for it."""

import sys
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.metrics.episode_metrics import episode_values, num_attempts
from bench.reporting.index import MethodResult, base_of, by_setting
from bench.reporting.panels import label_line_ends, panel_grid, styled, write_title
from bench.reporting.style import BROKEN_COLOUR, FIXED_COLOUR, QUIET, method_style, show_number
from bench.runs.finished import training_data_of

DISTANCES = {
    "indel": "indel distance over the total length: a replaced character is two edits",
    "levenshtein": "Levenshtein distance over the longer length",
}


@styled
def overview(results: list[MethodResult]) -> Figure | None:
    """Both attempts of every method and what lies between them (the paper's Fig. 1, left)."""
    groups = by_setting([result for result in results if num_attempts(result.episodes) > 1])
    if not groups:
        return None
    rows = [len(group) for _, group in groups]
    figure = Figure(figsize=(6.4, 0.26 * sum(rows) + 0.75 * len(groups) + 0.4), layout="constrained")
    panels = figure.subplots(len(groups), 1, squeeze=False, sharex=True, height_ratios=[row + 1 for row in rows])[:, 0]
    for (setting, group), axes in zip(groups, panels, strict=True):
        for y, result in enumerate(group):
            first, second, delta = (result.estimates[name] for name in ("accuracy@t1", "accuracy@t2", "delta"))
            colour = FIXED_COLOUR if delta.value >= 0 else BROKEN_COLOUR
            axes.plot([100 * second.low, 100 * second.high], [y, y], color=QUIET, alpha=0.25, linewidth=7)
            axes.plot([100 * first.value, 100 * second.value], [y, y], color=colour, linewidth=1.6)
            axes.plot(100 * first.value, y, "o", color="white", markeredgecolor=colour, markersize=6)
            axes.plot(100 * second.value, y, "o", color=colour, markersize=4)
            axes.text(
                1.02, y, show_number(100 * delta.value), transform=axes.get_yaxis_transform(), va="center", fontsize=8
            )
        axes.text(1.02, -1, "Δ", transform=axes.get_yaxis_transform(), va="center", fontsize=8)
        axes.set_yticks(range(len(group)), [result.label for result in group])
        axes.set_ylim(len(group) - 0.4, -0.6)
        axes.set_title(setting.label)
        axes.xaxis.set_tick_params(labelbottom=True)
        axes.set_xlabel("accuracy, %")
        axes.grid(axis="x", color=QUIET, alpha=0.2)
    write_title(
        figure,
        "Accuracy of the first attempt (circle) and the second (dot; grey: its 95 % interval). Blue gains, "
        "orange loses.",
    )
    return figure


@styled
def edit_distance(results: list[MethodResult], *, distance: str) -> Figure | None:
    """How far the second attempt departs from the first (the paper's Fig. 4a): density over bins."""
    column = f"edit_{distance}_2"
    shown = [result for result in results if column in result.episodes]
    if not shown:
        return None
    top = _top([result.episodes[column] for result in shown])
    title = (
        f"Density of the edit-distance ratio from attempt 1 to attempt 2 ({DISTANCES[distance]}; 0 is the same text). "
        f"Black line: the base.{_last_bin_note(top)}"
    )
    figure, panels = panel_grid(shown, title=title, x_label="edit-distance ratio")
    for result, axes in panels:
        ratios, base = result.episodes[column], base_of(result, shown)
        colour = method_style(result.method).colour
        _draw_density(axes, ratios, top, color=colour, alpha=0.55)
        if base is not None and base is not result:
            _draw_density(axes, base.episodes[column], top, histtype="step", color="#222222", linewidth=0.9)
        identical = show_number(100 * float(np.mean(ratios == 0)), 0)
        _write_note(axes, f"median {np.median(ratios):.2f}\n{identical} % identical")
        axes.set_title(result.label, color=colour)
    return figure


@styled
def training_data(results: list[MethodResult], *, distance: str) -> Figure | None:
    """The same density in what a supervised method imitated and in what came of it (the paper's Fig. 4b and 4c)."""
    column = f"edit_{distance}_2"
    imitated = {}  # by setting and method
    for result in results:
        frames = []
        for run in result.runs:
            try:
                data = training_data_of(run)
            except ValueError as error:
                print(f"left out of the figure of training data: {error}", file=sys.stderr)
                continue
            frames += [] if data is None else [data[column]]
        if frames and column in result.episodes:
            imitated[result.setting, result.method] = pd.concat(frames)
    shown = [result for result in results if (result.setting, result.method) in imitated]
    if not shown:
        return None
    top = _top([*imitated.values(), *(result.episodes[column] for result in shown)])
    title = (
        "Density of the edit-distance ratio between two attempts: grey, what was imitated; line, the "
        f"trained model's own ({DISTANCES[distance]}).{_last_bin_note(top)}"
    )
    figure, panels = panel_grid(shown, title=title, x_label="edit-distance ratio")
    for result, axes in panels:
        data, ratios = imitated[result.setting, result.method], result.episodes[column]
        colour = method_style(result.method).colour
        _draw_density(axes, data, top, color=QUIET, alpha=0.45)
        _draw_density(axes, ratios, top, histtype="step", color=colour, linewidth=1.6)
        _write_note(axes, f"median {data.median():.2f}\nthen {ratios.median():.2f}")
        axes.set_title(result.label, color=colour)
    return figure


def _top(ratios: list[pd.Series]) -> float:
    """Bins reach up to 1, as in the paper, but up to 0.2 where next to none do: texts that are mostly fixed words."""
    return 1.0 if pd.concat(ratios).quantile(0.99) > 0.2 else 0.2


def _last_bin_note(top: float) -> str:
    return "" if top == 1 else f" The last bin holds all from {0.9 * top:g} on."


def _draw_density(axes: Axes, ratios: pd.Series, top: float, **style: Any) -> None:
    """Ten bins up to `top`; what lies beyond is counted in the last of them."""
    axes.hist(ratios.clip(upper=top), bins=[top * tenth / 10 for tenth in range(11)], density=True, **style)
    axes.set_xlim(0, top)
    axes.set_xticks([0, top / 2, top], ["0", f"{top / 2:g}", f"{top:g}"])


def _write_note(axes: Axes, text: str) -> None:
    axes.text(0.98, 0.95, text, transform=axes.transAxes, ha="right", va="top", fontsize=8, color="#444444")


@styled
def levels(results: list[MethodResult]) -> Figure | None:
    """Fixed and broken answers by the problem's level (Fig. 7 of the ICLR version)."""
    shown = [
        result for result in results if num_attempts(result.episodes) > 1 and result.episodes["level"].nunique() > 1
    ]
    if not shown:
        return None
    title = (
        "Percent of each level's problems that attempt 2 fixes (up, blue: wrong then right) and breaks (down, orange: "
        "right then wrong). The dot is Δ."
    )
    figure, panels = panel_grid(shown, title=title, x_label="level", height=2.1)
    for result, axes in panels:
        values = 100 * episode_values(result.episodes)
        by_level = values.groupby(result.episodes["level"].astype(str)).mean()
        fixed, broken = by_level["delta_i_to_c"].to_numpy(), by_level["delta_c_to_i"].to_numpy()
        x = np.arange(len(by_level))
        axes.bar(x, fixed, width=0.7, color=FIXED_COLOUR)
        axes.bar(x, -broken, width=0.7, color=BROKEN_COLOUR)
        axes.plot(x, fixed - broken, "o", color="black", markersize=4)
        axes.axhline(0, color=QUIET, linewidth=0.8)
        axes.set_xticks(x, [str(level).removeprefix("Level ") for level in by_level.index])
        axes.yaxis.set_major_formatter(lambda tick, _: show_number(abs(tick), 0))
    return figure


@styled
def attempts(results: list[MethodResult]) -> Figure | None:
    """Accuracy over the attempts (the paper's Fig. 8), for settings with more than two of them."""
    groups = by_setting([result for result in results if num_attempts(result.episodes) > 2])
    if not groups:
        return None
    figure = Figure(figsize=(4.6 * len(groups), 3.2), layout="constrained")
    for (setting, group), axes in zip(groups, figure.subplots(1, len(groups), squeeze=False)[0], strict=True):
        ends = []
        for result in group:
            turns = range(1, num_attempts(result.episodes) + 1)
            accuracies = [100 * result.estimates[f"accuracy@t{t}"].value for t in turns]
            style = method_style(result.method)
            axes.plot(turns, accuracies, marker="o", markersize=3, color=style.colour)
            axes.set_xticks(turns)
            ends.append((accuracies[-1], result.label, style.colour))
        label_line_ends(axes, ends)
        axes.set_title(setting.label)
        axes.set_xlabel("attempt")
        axes.set_ylabel("accuracy, %")
    return figure
