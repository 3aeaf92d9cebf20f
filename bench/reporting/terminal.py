"""The tables that a terminal shows: at the end of a sweep, and when a report is written."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table as RichTable

from bench.metrics import Estimate
from bench.reporting.claims import FAILS, HOLDS, Finding
from bench.reporting.completeness import Completeness, completeness, completeness_table
from bench.reporting.paper import PaperRow, PaperTable, paper_row
from bench.reporting.recorded import recorded_note
from bench.reporting.study import Cell, Setting, by_setting, find_cells
from bench.reporting.style import METRIC_LABELS, NOT_PRINTED, method_style, show_number
from bench.reporting.tables import METRICS, budget_table, setting_notes
from bench.results import RunKey


def print_main_table(results: Path, runs: Collection[RunKey] | None = None, *, evaluation: str = "greedy") -> None:
    """Print one table per setting; `runs` restricts it, as to the runs of one sweep.

    Says so when nothing has finished.
    """
    console = Console()
    cells = find_cells(results, evaluation=evaluation, only=runs)
    if not cells:
        console.print(f"No run under {results} has finished its {evaluation} evaluation yet.")
        return
    print_cells(cells, completeness(results, evaluation=evaluation), console)
    print_budget(cells, console, evaluation=evaluation)


def print_cells(cells: list[Cell], rows: list[Completeness], console: Console) -> None:
    lacking = _lacking(rows)
    for setting, group in by_setting(cells):
        shown = [
            _Row(cell.method, cell, paper_row(method=cell.method, task=setting.task, variant=setting.variant))
            for cell in group
        ]
        console.print(_setting_table(f"{setting.label}: percent, with 95 % intervals", shown, lacking))
        notes = [setting_notes(group), *filter(None, map(recorded_note, group))]
        console.print(f"[dim]{' '.join(notes)}[/dim]\n", highlight=False)


def print_reproduced(printed: PaperTable, cells: list[Cell], rows: list[Completeness], console: Console) -> None:
    """One of the paper's tables, row for row, once per setting of ours on its task; nothing where there is none."""
    for setting, group in by_setting(cells):
        ours = [cell for cell in group if cell.method in printed.rows]
        if setting.task != printed.task or setting.variant != "main" or not ours:
            continue
        shown = [
            _Row(cell.method if cell else method, cell, PaperRow(printed, numbers))
            for method, numbers in printed.rows.items()
            for cell in [cell for cell in ours if cell.method == method] or [None]
        ]
        title = f"Table {printed.number} of the paper, {printed.title}; here: {setting.label}"
        console.print(_setting_table(title, shown, _lacking(rows)))
        console.print(f"[dim]{setting_notes(ours)}[/dim]\n", highlight=False)


@dataclass(frozen=True, slots=True)
class _Row:
    method: str
    cell: Cell | None  # None: no run of ours
    paper: PaperRow | None


def _lacking(rows: list[Completeness]) -> dict[tuple[Setting, str], int]:
    return {(row.setting, row.method): len(row.unfinished) + len(row.missing) for row in rows}


def _setting_table(title: str, rows: list[_Row], lacking: dict[tuple[Setting, str], int]) -> RichTable:
    """Per method the means, under them the intervals, under those the paper's row where it has one: 80 columns wide."""
    table = RichTable(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, highlight=False)
    table.add_column("Method", min_width=11)  # the longest word of a label
    table.add_column("Seeds", justify="right")
    for label in METRIC_LABELS.values():
        table.add_column(label.replace("@", "\n@"), justify="right", no_wrap=True)
    for row in rows:
        label = f"[bold]{method_style(row.method).label}[/bold]"
        if row.cell is None:
            table.add_row(label, "[red]missing[/red]")
        else:
            num_lacking, num_done = lacking.get((row.cell.setting, row.method), 0), len(row.cell.runs)
            seeds = f"[red]{num_done} of {num_done + num_lacking}[/red]" if num_lacking else str(num_done)
            found = [row.cell.estimates.get(metric) for metric in METRICS.values()]
            table.add_row(label, seeds, *map(two_lines, found))
        if row.paper:
            printed = [row.paper.numbers.get(column) for column in METRICS]
            shown = [NOT_PRINTED if number is None else show_number(number) for number in printed]
            table.add_row("  paper", "", *shown, style="dim italic")
    return table


def print_claims(found: list[Finding], console: Console) -> None:
    """The claims of the paper with what became of them here; nothing where none can be judged."""
    told = [finding for finding in found if finding.estimate is not None]
    for setting in dict.fromkeys(finding.setting for finding in told):
        title = f"{setting.label}: the paper's claims, points with 95 % intervals"
        table = RichTable(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, highlight=False)
        table.add_column("Claim")
        table.add_column("above 0?", justify="right", no_wrap=True)
        table.add_column("here it", no_wrap=True)
        for finding in told:
            if finding.setting == setting:
                colour = {HOLDS: "green", FAILS: "red"}.get(finding.verdict, "yellow")
                verdict = f"[{colour}]{finding.verdict}[/{colour}]"
                table.add_row(finding.claim.text, two_lines(finding.estimate), verdict)
        console.print(table)


def print_budget(cells: list[Cell], console: Console, *, evaluation: str) -> None:
    """What the methods cost, where any of them trained."""
    table = budget_table(cells, evaluation=evaluation)
    if not (table.numbers["updates"] > 0).any():
        return
    shown = RichTable(title="What training cost", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.shown:
        shown.add_column(str(column).replace(" ", "\n"), justify="left" if column in ("Setting", "Method") else "right")
    for row in table.shown.to_numpy():
        shown.add_row(*map(str, row))
    console.print(shown)
    console.print(f"[dim]{table.caption}[/dim]\n", highlight=False)


def two_lines(found: Estimate | None) -> str:
    if found is None:
        return ""
    value, low, high = (show_number(100 * number) for number in (found.value, found.low, found.high))
    return f"[bold]{value}[/bold]\n[dim]{low}…{high}[/dim]"


def print_completeness(rows: list[Completeness], console: Console, *, evaluation: str) -> None:
    table = completeness_table(rows, evaluation=evaluation)
    shown = RichTable(
        title="Expected runs and finished ones", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for column in table.shown:
        shown.add_column(str(column), style="red" if column in ("Missing", "Unfinished") else "")
    for row in table.shown.to_numpy():
        shown.add_row(*map(str, row))
    console.print(shown)
    console.print(f"[dim]{table.caption}[/dim]\n", highlight=False)
