"""What all figures share: their style, a block of panels per setting, titles and labels, and how they are saved."""

import math
import textwrap
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.files import replacing
from bench.reporting.index import MethodResult, by_setting
from bench.reporting.style import QUIET

PANELS_PER_ROW = 4
# A decorator that leaves the caller's matplotlib (a notebook's) as it was.
styled = mpl.rc_context(fname=Path(__file__).parent / "figures.mplstyle")


def panel_grid(
    results: list[MethodResult], *, title: str, x_label: str, height: float = 1.9
) -> tuple[Figure, list[tuple[MethodResult, Axes]]]:
    """A block per setting, in it a panel of `height` inches per result, four to a row, with axes in common."""
    groups = by_setting(results)
    num_rows = [math.ceil(len(group) / PANELS_PER_ROW) for _, group in groups]
    num_columns = min(PANELS_PER_ROW, max(len(group) for _, group in groups))
    size = (max(2.3 * num_columns, 4.6), height * sum(num_rows) + 0.35 * len(groups) + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    blocks = figure.subfigures(len(groups), 1, height_ratios=num_rows, squeeze=False)[:, 0]
    panels: list[tuple[MethodResult, Axes]] = []
    for (setting, group), block, rows in zip(groups, blocks, num_rows, strict=True):
        block.suptitle(setting.label, x=0.01, ha="left", fontsize=9, color=QUIET)
        grid = block.subplots(rows, num_columns, squeeze=False, sharex=True, sharey=True).ravel()
        for axes in grid[len(group) :]:
            axes.axis("off")  # kept, so that panels are as wide in every block
        for result, axes in zip(group, grid, strict=False):
            axes.xaxis.set_tick_params(labelbottom=True)  # also where the panel below is empty
            axes.set_title(result.label)
            axes.set_xlabel(x_label)
            panels.append((result, axes))
    write_title(figure, title)
    return figure, panels


def write_title(figure: Figure, text: str) -> None:
    """At the left, broken into lines that fit the figure's width."""
    characters = int(figure.get_figwidth() * 13)
    figure.suptitle(textwrap.fill(text, characters), x=0.01, ha="left", fontsize=10)


def label_line_ends(axes: Axes, lines: list[tuple[float, str, str]]) -> None:
    """Write each line's (last value, label, colour) at its right end, moved apart where ends are close."""
    low, high = axes.get_ylim()
    gap, place = (high - low) / 14, -math.inf
    for value, label, colour in sorted(lines):
        place = max(value, place + gap)
        axes.annotate(
            label,
            xy=(1.01, place),
            xycoords=("axes fraction", "data"),
            color=colour,
            fontsize=8,
            va="center",
            annotation_clip=False,
        )


def save_figure(figure: Figure, folder: Path, name: str) -> list[Path]:
    """PNG and PDF without dates, so that the same results give the same bytes."""
    paths = []
    for suffix, undated in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
        paths.append(folder / f"{name}.{suffix}")
        with replacing(paths[-1]) as file:
            figure.savefig(file, format=suffix, metadata=undated, dpi=200)
    return paths
