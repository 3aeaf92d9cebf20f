"""The tables that a terminal shows: at the end of a sweep, and when a report is written."""

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from bench.metrics.bootstrap import Estimate
from bench.reporting.claims import FAILS, HOLDS
from bench.reporting.completeness import Completeness, completeness
from bench.reporting.cost import served_cost_table
from bench.reporting.index import MethodResult, by_setting, read_index, trainings
from bench.reporting.paper import PaperTable
from bench.reporting.style import METRICS, show_number
from bench.reporting.table import Column, Table, is_absent
from bench.reporting.tables import budget_table, main_table, paper_below, reproduced_table, reproducing, setting_notes
from bench.runs.folder import RunKey


def print_main_table(results: Path, runs: Collection[RunKey] | None = None, *, evaluation: str = "greedy") -> None:
    """Print one table per setting; with `runs`, as those of one sweep, of them alone.

    Says so when nothing has finished.
    """
    console = Console()
    index = read_index(results, evaluation=evaluation, only=runs)
    for why in index.unreadable.values():
        console.print(f"left out: {why}", highlight=False, soft_wrap=True, markup=False)
    if not index.results:
        console.print(f"No run under {results} has finished its {evaluation} evaluation yet.")
        return
    rows = completeness(results, evaluation=evaluation, unreadable=index.unreadable, only=runs)
    print_methods(index.results, rows, console)
    print_budget(index.results, console)
    print_served_cost(index.results, console)


def print_methods(results: list[MethodResult], runs: list[Completeness], console: Console) -> None:
    for setting, group in by_setting(results):
        title = f"{setting.label}: {group[0].evaluation} evaluation, percent, with 95 % intervals"
        _print_beside_the_paper(title, main_table(group, runs), console, caption=setting_notes(group))


def print_reproduced(
    printed: PaperTable, results: list[MethodResult], runs: list[Completeness], console: Console
) -> None:
    """One of the paper's tables, row for row, once per setting of ours on its task; nothing where there is none."""
    for setting, group in by_setting(reproducing(printed, results)):
        title = f"Table {printed.number} of the paper, {printed.title}; here: {setting.label}"
        _print_beside_the_paper(title, reproduced_table(printed, group, runs), console, caption=setting_notes(group))


def print_claims(table: Table, console: Console) -> None:
    """The claims of the paper with what became of them here; nothing of those that cannot be judged."""
    judged = [row for row in table.rows if not is_absent(row["value"])]
    columns = {"claim": Column("Claim", is_text=True), "value": Column("Above 0?"), "verdict": table.columns["verdict"]}
    for setting in dict.fromkeys(row["setting"] for row in judged):
        rows = [row for row in judged if row["setting"] == setting]
        title = f"{setting}: the paper's claims, points with 95 % intervals"
        print_table(title, Table("claims", "", columns, rows), console)


def print_budget(results: list[MethodResult], console: Console) -> None:
    """What the methods cost, in each setting where any of them trained."""
    for setting, group in by_setting(trainings(results)):
        table = budget_table(group)
        if any(row["updates"] > 0 for row in table.rows):
            columns = {key: column for key, column in table.columns.items() if key != "setting"}
            print_table(f"{setting.label}: what training cost", replace(table, columns=columns), console)


def print_served_cost(results: list[MethodResult], console: Console) -> None:
    """What the evaluations of served models cost, where there are any."""
    for setting, group in by_setting(results):
        table = served_cost_table(group)
        if table.rows:
            columns = {key: column for key, column in table.columns.items() if key != "setting"}
            print_table(f"{setting.label}: what the evaluation costs", replace(table, columns=columns), console)


def _print_beside_the_paper(title: str, table: Table, console: Console, *, caption: str) -> None:
    """Per method the means, under them the intervals, under those the paper's row where it has one."""
    columns = {key: table.columns[key] for key in ("label", "seeds", *METRICS)}
    rows = paper_below(table.rows, label="  paper")
    print_table(title, replace(table, caption=caption, columns=columns, rows=rows), console)


def print_table(title: str, table: Table, console: Console) -> None:
    """Text wraps, and no digit is cut whatever the console's width.

    Where the columns do not fit beside each other, the others follow in further tables that repeat the first columns,
    which are labels.
    """
    rows = [{key: _text(key, column, row.get(key)) for key, column in table.columns.items()} for row in table.rows]
    labels = [key for key in table.columns if key in ("setting", "label", "claim")]
    others = [key for key in table.columns if key not in labels]
    headings = {key: Text(table.columns[key].heading) for key in labels}
    headings |= {key: Text(re.sub(" |(?=@)", "\n", table.columns[key].heading)) for key in others}

    def drawn(keys: Sequence[str]) -> tuple[RichTable, int]:
        """With its width: that of the console, where no column is narrower or wider than its text."""
        rich_table = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        for key in keys:
            justify = "left" if table.columns[key].is_text else "right"
            rich_table.add_column(headings[key], justify=justify, no_wrap=key not in labels, overflow="fold")
        for row in rows:
            rich_table.add_row(*(row[key] for key in keys))
        least, most = Measurement.get(console, console.options.update(width=10_000), rich_table)
        rich_table.width = max(least, min(most, console.width))
        return rich_table, rich_table.width

    console.print(title, style="italic", highlight=False, markup=False)
    while others:
        num_shown = len(others)
        while (part := drawn([*labels, *others[:num_shown]]))[1] > console.width and num_shown > 1:
            num_shown -= 1
        console.print(part[0], crop=False, highlight=False)
        console.print()
        others = others[num_shown:]
    if table.caption:
        console.print(table.caption, style="dim", highlight=False, markup=False)
        console.print()


def _text(key: str, column: Column, value: Any) -> Text:
    """A mean stands above its interval."""
    if isinstance(value, Estimate) and not is_absent(value):
        mean, low, high = (show_number(number) for number in (value.value, value.low, value.high))
        return Text.assemble((mean, "bold"), "\n", (f"{low}…{high}", "dim"))
    text = column.text(value)
    if key == "verdict":
        return Text(text, {HOLDS: "green", FAILS: "red"}.get(text, "yellow"))
    is_incomplete = key in ("missing", "unfinished") or (key == "seeds" and not text.isdecimal())
    return Text(text, "red" if is_incomplete else "")
