"""The tables that a terminal shows: at the end of a sweep, and when a report is written."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from bench.metrics import Estimate
from bench.reporting.claims import FAILS, HOLDS, Finding
from bench.reporting.completeness import Completeness, completeness
from bench.reporting.index import Cell, Setting, by_setting, read_study
from bench.reporting.paper import PaperRow, PaperTable
from bench.reporting.recorded import recorded_note
from bench.reporting.style import METRIC_LABELS, NOT_PRINTED, method_style, show_number
from bench.reporting.tables import METRICS, budget_table, paper_beside, setting_notes
from bench.reporting.writing import TEXT_COLUMNS, Table
from bench.runs.folder import RunKey

_NARROWEST = 13  # characters of a label that stay on one line before a table is split: its longest word
_BETWEEN = 2  # characters between two columns


def print_main_table(results: Path, runs: Collection[RunKey] | None = None, *, evaluation: str = "greedy") -> None:
    """Print one table per setting; with `runs`, as those of one sweep, of them alone.

    Says so when nothing has finished.
    """
    console = Console()
    study = read_study(results, evaluation=evaluation, only=runs)
    for why in study.unreadable.values():
        console.print(f"left out: {why}", highlight=False, soft_wrap=True, markup=False)
    if not study.cells:
        console.print(f"No run under {results} has finished its {evaluation} evaluation yet.")
        return
    rows = completeness(results, evaluation=evaluation, unreadable=study.unreadable, only=runs)
    print_cells(study.cells, rows, console)
    print_budget(study.cells, console)


def print_cells(cells: list[Cell], rows: list[Completeness], console: Console) -> None:
    for setting, group in by_setting(cells):
        shown = [_Row(cell.label, cell, paper_beside(cell)) for cell in group]
        title = f"{setting.label}: {group[0].evaluation} evaluation, percent, with 95 % intervals"
        notes = [setting_notes(group), *filter(None, map(recorded_note, group))]
        _print_methods(title, shown, _lacking(rows), console, note=" ".join(notes))


def print_reproduced(printed: PaperTable, cells: list[Cell], rows: list[Completeness], console: Console) -> None:
    """One of the paper's tables, row for row, once per setting of ours on its task; nothing where there is none."""
    for setting, group in by_setting(cells):
        ours = {cell.method: cell for cell in group if cell.method in printed.rows and paper_beside(cell)}
        if setting.task != printed.task or not ours:
            continue
        shown = [
            _Row(method_style(method).label, ours.get(method), PaperRow(printed, numbers))
            for method, numbers in printed.rows.items()
        ]
        title = f"Table {printed.number} of the paper, {printed.title}; here: {setting.label}"
        _print_methods(title, shown, _lacking(rows), console, note=setting_notes(list(ours.values())))


@dataclass(frozen=True, slots=True)
class _Row:
    label: str
    cell: Cell | None  # None: no run of ours
    paper: PaperRow | None


def _lacking(rows: list[Completeness]) -> dict[tuple[Setting, str], int]:
    return {(row.setting, row.method): len(row.unfinished) + len(row.missing) for row in rows}


def _print_methods(
    title: str, rows: list[_Row], lacking: Mapping[tuple[Setting, str], int], console: Console, *, note: str
) -> None:
    """Per method the means, under them the intervals, under those the paper's row where it has one."""
    lines = []
    for row in rows:
        label = Text(row.label, style="bold")
        if row.cell is None:
            lines.append({"Method": label, "Seeds": Text("missing", style="red")})
        else:
            num_lacking, num_done = lacking.get((row.cell.setting, row.cell.method), 0), len(row.cell.runs)
            seeds = Text(f"{num_done} of {num_done + num_lacking}", style="red") if num_lacking else Text(str(num_done))
            found = {name: two_lines(row.cell.estimates.get(METRICS[column])) for column, name in METRIC_LABELS.items()}
            lines.append({"Method": label, "Seeds": seeds} | found)
        if row.paper:
            numbers = row.paper.numbers
            told = {
                name: show_number(numbers[column]) if column in numbers else NOT_PRINTED
                for column, name in METRIC_LABELS.items()
            }
            lines.append(
                {name: Text(text, style="dim italic") for name, text in ({"Method": "  paper"} | told).items()}
            )
    columns = ("Method", "Seeds", *METRIC_LABELS.values())
    _print_table(title, [{name: line.get(name, Text()) for name in columns} for line in lines], console, note=note)


def print_claims(found: list[Finding], console: Console) -> None:
    """The claims of the paper with what became of them here; nothing where none can be judged."""
    told = [finding for finding in found if finding.estimate is not None]
    for setting in dict.fromkeys(finding.setting for finding in told):
        rows = [
            {
                "Claim": Text(finding.claim.text),
                "Above 0?": two_lines(finding.estimate),
                "Here it": Text(finding.verdict, {HOLDS: "green", FAILS: "red"}.get(finding.verdict, "yellow")),
            }
            for finding in told
            if finding.setting == setting
        ]
        _print_table(f"{setting.label}: the paper's claims, points with 95 % intervals", rows, console)


def print_budget(cells: list[Cell], console: Console) -> None:
    """What the methods cost, in each setting where any of them trained."""
    for setting, group in by_setting(cells):
        table = budget_table(group)
        if (table.numbers["updates"] > 0).any():
            shown = table.shown.drop(columns="Setting")
            _print_shown(f"{setting.label}: what training cost", replace(table, shown=shown), console)


def two_lines(found: Estimate | None) -> Text:
    if found is None:
        return Text()
    value, low, high = (show_number(100 * number) for number in (found.value, found.low, found.high))
    return Text.assemble((value, "bold"), "\n", (f"{low}…{high}", "dim"))


def print_completeness(table: Table, console: Console) -> None:
    _print_shown("Expected runs and finished ones", table, console)


def _print_shown(title: str, table: Table, console: Console) -> None:
    rows = [
        {str(name): Text(str(value), "red" if name in ("Missing", "Unfinished") else "") for name, value in row.items()}
        for row in table.shown.to_dict("records")
    ]
    _print_table(title, rows, console, note=table.caption)


def _print_table(title: str, rows: list[dict[str, Text]], console: Console, *, note: str = "") -> None:
    """Print rows of one or more columns; the labels among them wrap, and no digit is cut whatever the console's width.

    Where the columns do not fit beside each other, the others follow in further tables that repeat the labels.
    """
    labels = [name for name in rows[0] if name in ("Setting", "Method", "Claim")]
    others = {name: name.replace(" ", "\n").replace("@", "\n@") for name in rows[0] if name not in labels}
    widths = {
        name: max(map(_width, (Text(heading), *(row[name] for row in rows)))) + _BETWEEN
        for name, heading in others.items()
    }
    room = console.width + _BETWEEN  # the last column has nothing after it
    wrapped_at = max(_NARROWEST, (room - sum(widths.values())) // len(labels) - _BETWEEN)
    wrapped = {name: [Text("\n").join(row[name].wrap(console, wrapped_at)) for row in rows] for name in labels}
    room -= sum(max(map(_width, (Text(name), *texts))) + _BETWEEN for name, texts in wrapped.items())
    parts: list[list[str]] = [[]]
    for name in others:
        if parts[-1] and sum(widths[each] for each in (*parts[-1], name)) > room:
            parts.append([])
        parts[-1].append(name)
    console.print(title, style="italic", highlight=False, markup=False)
    for part in parts:
        table = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _BETWEEN - 1, 0, 0))
        for name in labels:
            table.add_column(name, no_wrap=True, min_width=max(map(_width, wrapped[name])))
        for name in part:
            is_text = name in TEXT_COLUMNS
            table.add_column(
                others[name], justify="left" if is_text else "right", no_wrap=True, min_width=widths[name] - _BETWEEN
            )
        for place, row in enumerate(rows):
            table.add_row(*(wrapped[name][place] for name in labels), *(row[name] for name in part))
        console.print(table, crop=False, no_wrap=True, overflow="ignore", highlight=False)
        console.print()
    if note:
        console.print(note, style="dim", highlight=False, markup=False)
        console.print()


def _width(text: Text) -> int:
    return max(line.cell_len for line in text.split("\n", allow_blank=True)) if text else 0
