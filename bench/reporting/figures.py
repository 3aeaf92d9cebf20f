"""The figures of the paper that finished evaluations can tell, each in a function; None without the data for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.metrics import episode_values, num_attempts
from bench.reporting.index import Cell, base_of, by_setting
from bench.reporting.panels import label_line_ends, panel_grid, styled, write_title
from bench.reporting.style import BROKEN_COLOUR, FIXED_COLOUR, QUIET, method_style, show_number
from bench.runs.finished import training_data_of

DISTANCES = {
    "indel": "indel distance over the total length: a replaced character is two edits",
    "levenshtein": "Levenshtein distance over the longer length",
}


@styled
def overview(cells: list[Cell]) -> Figure | None:
    """Both attempts of every method and what lies between them (the paper's Fig. 1, left)."""
    groups = by_setting([cell for cell in cells if num_attempts(cell.episodes) > 1])
    if not groups:
        return None
    rows = [len(group) for _, group in groups]
    figure = Figure(figsize=(6.4, 0.26 * sum(rows) + 0.75 * len(groups) + 0.4), layout="constrained")
    panels = figure.subplots(len(groups), 1, squeeze=False, sharex=True, height_ratios=[row + 1 for row in rows])[:, 0]
    for (setting, group), axes in zip(groups, panels, strict=True):
        for y, cell in enumerate(group):
            first, second, delta = (cell.estimates[name] for name in ("accuracy@t1", "accuracy@t2", "delta"))
            colour = FIXED_COLOUR if delta.value >= 0 else BROKEN_COLOUR
            axes.plot([100 * second.low, 100 * second.high], [y, y], color=QUIET, alpha=0.25, linewidth=7)
            axes.plot([100 * first.value, 100 * second.value], [y, y], color=colour, linewidth=1.6)
            axes.plot(100 * first.value, y, "o", color="white", markeredgecolor=colour, markersize=6)
            axes.plot(100 * second.value, y, "o", color=colour, markersize=4)
            axes.text(
                1.02, y, show_number(100 * delta.value), transform=axes.get_yaxis_transform(), va="center", fontsize=8
            )
        axes.text(1.02, -1, "Δ", transform=axes.get_yaxis_transform(), va="center", fontsize=8)
        axes.set_yticks(range(len(group)), [cell.label for cell in group])
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
def edit_distance(cells: list[Cell], *, distance: str) -> Figure | None:
    """How far the second attempt departs from the first (the paper's Fig. 4a): density over bins."""
    column = f"edit_{distance}_2"
    shown = [cell for cell in cells if column in cell.episodes]
    if not shown:
        return None
    bins = _Ratios.fit(cell.episodes[column] for cell in shown)
    figure, panels = panel_grid(shown, height=1.9)
    for cell, axes in panels:
        style, ratios, base = method_style(cell.method), cell.episodes[column], base_of(cell, shown)
        bins.draw(axes, ratios, color=style.colour, alpha=0.55)
        if base is not None and base is not cell:
            bins.draw(axes, base.episodes[column], histtype="step", color="#222222", linewidth=0.9)
        axes.set_title(cell.label, color=style.colour)
        identical = show_number(100 * float(np.mean(ratios == 0)), 0)
        note = f"median {np.median(ratios):.2f}\n{identical} % identical"
        axes.text(0.98, 0.95, note, transform=axes.transAxes, ha="right", va="top", fontsize=8, color="#444444")
    write_title(
        figure,
        f"Density of the edit-distance ratio from attempt 1 to attempt 2 ({DISTANCES[distance]}; 0 is the same text). "
        f"Black line: the base.{bins.note}",
    )
    return figure


@dataclass(frozen=True, slots=True)
class _Ratios:
    """How edit ratios are shown: ten bins up to `top`; what lies beyond is counted in the last of them."""

    top: float

    @classmethod
    def fit(cls, ratios: Iterable[pd.Series]) -> _Ratios:
        """Up to 1, as in the paper, but up to 0.2 where next to none reach it: texts that are mostly fixed words."""
        return cls(1.0 if pd.concat(ratios).quantile(0.99) > 0.2 else 0.2)

    @property
    def note(self) -> str:
        return "" if self.top == 1 else f" The last bin holds all from {0.9 * self.top:g} on."

    def draw(self, axes: Axes, ratios: pd.Series, **look: Any) -> None:
        bins = [self.top * tenth / 10 for tenth in range(11)]
        axes.hist(ratios.clip(upper=self.top), bins=bins, density=True, **look)
        axes.set_xlim(0, self.top)
        axes.set_xticks([0, self.top / 2, self.top], ["0", f"{self.top / 2:g}", f"{self.top:g}"])
        axes.set_xlabel("edit-distance ratio")


@styled
def training_data(cells: list[Cell], *, distance: str) -> Figure | None:
    """The same density in what a supervised method imitated and in what came of it (the paper's Fig. 4b and 4c)."""
    column = f"edit_{distance}_2"
    imitated = {id(cell): [frame for frame in map(training_data_of, cell.runs) if frame is not None] for cell in cells}
    shown = [cell for cell in cells if imitated[id(cell)] and column in cell.episodes]
    if not shown:
        return None
    bins = _Ratios.fit(frame[column] for cell in shown for frame in (cell.episodes, *imitated[id(cell)]))
    figure, panels = panel_grid(shown, height=1.9)
    for cell, axes in panels:
        style, ratios = method_style(cell.method), pd.concat(imitated[id(cell)])[column]
        bins.draw(axes, ratios, color=QUIET, alpha=0.45)
        bins.draw(axes, cell.episodes[column], histtype="step", color=style.colour, linewidth=1.6)
        medians = f"median {ratios.median():.2f}\nthen {cell.episodes[column].median():.2f}"
        axes.text(0.98, 0.95, medians, transform=axes.transAxes, ha="right", va="top", fontsize=8, color="#444444")
        axes.set_title(cell.label, color=style.colour)
    write_title(
        figure,
        "Density of the edit-distance ratio between two attempts: grey, what was imitated; line, the "
        f"trained model's own ({DISTANCES[distance]}).{bins.note}",
    )
    return figure


@styled
def levels(cells: list[Cell]) -> Figure | None:
    """Fixed and broken answers by the problem's level (Fig. 7 of the ICLR version)."""
    shown = [cell for cell in cells if num_attempts(cell.episodes) > 1 and cell.episodes["level"].nunique() > 1]
    if not shown:
        return None
    figure, panels = panel_grid(shown, height=2.1)
    for cell, axes in panels:
        values = 100 * episode_values(cell.episodes)
        by_level = values.groupby(cell.episodes["level"].astype(str)).mean()
        fixed, broken = by_level["delta_i_to_c"].to_numpy(), by_level["delta_c_to_i"].to_numpy()
        x = np.arange(len(by_level))
        axes.bar(x, fixed, width=0.7, color=FIXED_COLOUR)
        axes.bar(x, -broken, width=0.7, color=BROKEN_COLOUR)
        axes.plot(x, fixed - broken, "o", color="black", markersize=4)
        axes.axhline(0, color=QUIET, linewidth=0.8)
        axes.set_xticks(x, [str(level).removeprefix("Level ") for level in by_level.index])
        axes.set_title(cell.label)
        axes.set_xlabel("level")
        axes.yaxis.set_major_formatter(lambda tick, _: show_number(abs(tick), 0))
    write_title(
        figure,
        "Percent of each level's problems that attempt 2 fixes (up, blue: wrong then right) and breaks (down, orange: "
        "right then wrong). The dot is Δ.",
    )
    return figure


@styled
def attempts(cells: list[Cell]) -> Figure | None:
    """Accuracy over the attempts (the paper's Fig. 8), for settings with more than two of them."""
    groups = by_setting([cell for cell in cells if num_attempts(cell.episodes) > 2])
    if not groups:
        return None
    figure = Figure(figsize=(4.6 * len(groups), 3.2), layout="constrained")
    for (setting, group), axes in zip(groups, figure.subplots(1, len(groups), squeeze=False)[0], strict=True):
        ends = []
        for cell in group:
            turns = range(1, num_attempts(cell.episodes) + 1)
            accuracies = [100 * cell.estimates[f"accuracy@t{t}"].value for t in turns]
            style = method_style(cell.method)
            axes.plot(turns, accuracies, marker="o", markersize=3, color=style.colour)
            axes.set_xticks(turns)
            ends.append((accuracies[-1], cell.label, style.colour))
        label_line_ends(axes, ends)
        axes.set_title(setting.label)
        axes.set_xlabel("attempt")
        axes.set_ylabel("accuracy, %")
    return figure
