"""One function per table of ours. All numbers are percent unless a column says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

import pandas as pd

from bench.metrics import Comparison, Estimate, compare, estimate, mcnemar
from bench.reporting.completeness import Completeness, seeds_text
from bench.reporting.index import Cell, base_of, by_setting
from bench.reporting.paper import PaperRow, paper_row, paper_tables
from bench.reporting.style import METRIC_LABELS, MINUS, NOT_PRINTED, show_number
from bench.reporting.writing import Table

METRICS = {column: column.replace("_t", "@t") if "accuracy" in column else column for column in METRIC_LABELS}
BUDGET = {
    "sampled_episodes": "Sampled conversations",
    "sampled_attempts": "Sampled attempts",
    "sampled_tokens": "Sampled tokens",
    "updates": "Updates",
    "trained_tokens": "Trained tokens",
}
HOW_INTERVALS = (
    "Percent of all problems, mean over seeds, with 95 % bootstrap intervals over problems and seeds "
    "(with one seed: over problems alone)."
)


def main_table(cells: list[Cell], runs: list[Completeness]) -> Table:
    """A row per method and setting, with what the paper printed for it beside it."""
    numbers, shown = [], []
    missing = {(row.setting, row.method): (*row.unfinished, *row.missing) for row in runs}
    for cell in cells:
        paper = paper_beside(cell)
        absent = seeds_text(tuple(sorted(missing.get((cell.setting, cell.method), ()))))
        numbers.append(
            identity(cell)
            | {"num_seeds": len(cell.runs)}
            | estimate_columns(cell.estimates)
            | {"missing_seeds": absent}
            | {f"paper_{column}": paper.numbers.get(column) if paper else None for column in METRICS}
            | {
                "paper_model": paper.table.model if paper else "",
                "paper_test_set": paper.table.test_set if paper else "",
            }
        )
        shown.append(
            {
                "Setting": cell.setting.label,
                "Method": cell.label,
                "Seeds": len(cell.runs),
                "Missing seeds": absent,
            }
            | {label: interval_text(cell.estimates.get(METRICS[column])) for column, label in METRIC_LABELS.items()}
            | {"Paper: " + " / ".join(METRIC_LABELS.values()): paper_text(paper)}
        )
    return Table("main", f"{HOW_INTERVALS} {setting_notes(cells)}", pd.DataFrame(numbers), pd.DataFrame(shown))


def paper_beside(cell: Cell) -> PaperRow | None:
    """The paper's row for the same; None for a recording, which may be of any system."""
    if cell.setting.is_recording:
        return None
    return paper_row(method=cell.method, task=cell.setting.task, variant=cell.setting.variant)


def setting_notes(cells: list[Cell]) -> str:
    """What the paper's numbers were measured on, and which settings here are not that."""
    notes = []
    for setting, group in by_setting(cells):
        if setting.part:
            reasons = dict.fromkeys(f"{cell.label} {cell.setting.why}" for cell in group)
            notes.append(f"{setting.label} is kept apart: {'; '.join(reasons)}.")
        tables = [table for table in paper_tables() if table.task == setting.task and setting.variant == "main"]
        if setting.is_recording:
            notes.append(f"{setting.label}: recorded attempts, graded here; the paper has no such setting.")
        elif not tables:
            notes.append(f"{setting.label}: the paper has no such setting.")
        elif setting.problems.startswith("miniature"):
            notes.append(
                f"{setting.label}: generated miniature problems and a tiny model, not the paper's setting; "
                f"the paper's numbers ({tables[0].setting}) show the phenomenon and are no target."
            )
        else:
            notes.append(f"{setting.label}: the paper's numbers are of another model ({tables[0].setting}).")
    return " ".join(notes)


def seeds_table(cells: list[Cell]) -> Table:
    """A row per run, so that the spread among seeds can be seen."""
    rows = [(cell, seed, estimate(cell.episodes_of(seed))) for cell in cells for seed in cell.seeds]
    numbers = pd.DataFrame(identity(cell) | {"seed": seed} | estimate_columns(found) for cell, seed, found in rows)
    shown = pd.DataFrame(
        {"Setting": cell.setting.label, "Method": cell.label, "Seed": seed}
        | {label: interval_text(found.get(METRICS[column])) for column, label in METRIC_LABELS.items()}
        for cell, seed, found in rows
    )
    return Table("seeds", "Percent of all problems, each run; 95 % bootstrap intervals over problems.", numbers, shown)


def against_base_table(cells: list[Cell]) -> Table:
    """Each method minus the base on the same problems: all seeds together, and each seed that both have."""
    numbers, shown = [], []
    for cell in cells:
        base = base_of(cell, cells)
        if base is None or base is cell:
            continue
        pairs = [("all", cell.episodes, base.episodes)] + [
            (str(seed), cell.episodes_of(seed), base.episodes_of(seed)) for seed in cell.seeds if seed in base.seeds
        ]
        for seed, ours, theirs in pairs:
            comparisons = compare(ours, theirs)
            row = identity(cell) | {"seed": seed}
            text = {"Setting": cell.setting.label, "Method": cell.label, "Seed": seed}
            for column in ("accuracy_t1", "accuracy_t2", "delta"):
                comparison = comparisons.get(METRICS[column])
                row |= comparison_columns(column, comparison)
                text[f"{METRIC_LABELS[column]} {MINUS} base"] = interval_text(
                    comparison.difference if comparison else None
                )
            single = seed != "all" and not ours["problem_id"].duplicated().any() and "accuracy@t2" in comparisons
            test = mcnemar(ours, theirs, attempt=2) if single else None
            row["mcnemar_p_accuracy_t2"] = test.p_value if test else None
            text["McNemar p (t2)"] = f"{test.p_value:.2g}" if test else ""
            numbers.append(row)
            shown.append(text)
    caption = (
        "Percentage points above the untrained model on the same problems; 95 % paired bootstrap intervals over "
        "problems and seeds; exact McNemar test of accuracy@t2 for single runs."
    )
    return Table("against_base", caption, pd.DataFrame(numbers), pd.DataFrame(shown))


def behaviour_table(cells: list[Cell]) -> Table:
    """Everything else that the episodes tell: changed answers, edits, cut and unanswered attempts, tokens, seconds."""
    numbers, shown = [], []
    for cell in cells:
        counts_tokens = cell.token_units == {"tokens"}
        others = {
            name: found
            for name, found in cell.estimates.items()
            if name not in METRICS.values() and (counts_tokens or not name.startswith("tokens@"))
        }
        numbers.append(
            identity(cell) | {column_name(name): in_units(name, found.value) for name, found in others.items()}
        )
        row = {"Setting": cell.setting.label, "Method": cell.label}
        for name, label in BEHAVIOUR.items():
            digits = 2 if name.startswith("edit") else 1
            row[label] = show_number(in_units(name, others[name].value), digits) if name in others else ""
        shown.append(row)
    caption = (
        "Percent of all episodes, but tokens and grading seconds, which are means per attempt, and edit ratios "
        "(0 to 1: distance between the two attempts over their total length). Tokens are left out where a recording or "
        "a script has characters instead. The CSV has every attempt."
    )
    return Table("behaviour", caption, pd.DataFrame(numbers), pd.DataFrame(shown))


BEHAVIOUR = {
    "answer_change_rate": "Answer changed",
    "edit_indel@t2": "Edit ratio (indel)",
    "truncation_rate@t1": "Cut t1",
    "truncation_rate@t2": "Cut t2",
    "no_answer_rate@t1": "No answer t1",
    "no_answer_rate@t2": "No answer t2",
    "tokens@t1": "Tokens t1",
    "tokens@t2": "Tokens t2",
}


def budget_table(cells: list[Cell]) -> Table:
    """What each method was given to learn from; a fair comparison has equal rows among the trained methods."""
    numbers, shown = [], []
    for cell in cells:
        usages = [manifest.usage for manifest in cell.manifests]
        means = {key: fmean(usage[key] for usage in usages) for key in BUDGET}
        unit = " and ".join(sorted(cell.token_units))
        numbers.append(identity(cell) | {"num_seeds": len(cell.runs)} | means | {"token_unit": unit})
        row = {"Setting": cell.setting.label, "Method": cell.label}
        spent = {label: f"{means[key]:,.0f}" for key, label in BUDGET.items()}
        if unit != "tokens":
            spent |= {label: "" for label in spent if "tokens" in label}
        shown.append(row | spent)
    caption = (
        "Mean per seed of what training sampled and learned from. By default the trained methods sample equally many "
        "conversations, up to rounding; attempts, tokens and updates are not equalised. Tokens are left out where they "
        "are characters (token_unit of the CSV)."
    )
    return Table("budget", caption, pd.DataFrame(numbers), pd.DataFrame(shown))


def identity(cell: Cell) -> dict[str, object]:
    setting = cell.setting
    return {
        "method": cell.method,
        "task": setting.task,
        "model": setting.model,
        "variant": setting.variant,
        "part": setting.part,
    }


def estimate_columns(estimates: Mapping[str, Estimate]) -> dict[str, float | None]:
    columns: dict[str, float | None] = {}
    for column, metric in METRICS.items():
        found = estimates.get(metric)
        columns[column] = 100 * found.value if found else None
        columns[f"{column}_low"] = 100 * found.low if found else None
        columns[f"{column}_high"] = 100 * found.high if found else None
    return columns


def comparison_columns(column: str, comparison: Comparison | None) -> dict[str, float | None]:
    difference = comparison.difference if comparison else None
    return {
        f"{column}_minus_base": 100 * difference.value if difference else None,
        f"{column}_minus_base_low": 100 * difference.low if difference else None,
        f"{column}_minus_base_high": 100 * difference.high if difference else None,
        f"{column}_minus_base_p": comparison.p_value if comparison else None,
    }


def interval_text(found: Estimate | None) -> str:
    """ "62.4 [58.1, 66.5]" in percent; empty for what a run with one attempt does not have."""
    if found is None:
        return ""
    return f"{show_number(100 * found.value)} [{show_number(100 * found.low)}, {show_number(100 * found.high)}]"


def paper_text(paper: PaperRow | None) -> str:
    if paper is None:
        return ""
    return " / ".join(
        show_number(paper.numbers[column]) if column in paper.numbers else NOT_PRINTED for column in METRICS
    )


def column_name(metric: str) -> str:
    return metric.replace("@", "_")


def in_units(metric: str, value: float) -> float:
    """Rates in percent; edit ratios, tokens and seconds as they are."""
    is_rate = metric.startswith(("accuracy", "delta", "answer_change")) or "_rate" in metric
    return 100 * value if is_rate else value
