"""One function per table. All numbers are percent unless a column says otherwise."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from bench.metrics.bootstrap import Estimate, compare, estimate, mcnemar
from bench.reporting.completeness import Completeness
from bench.reporting.index import MethodResult, ResultsIndex, Setting, base_of, by_setting, trainings
from bench.reporting.paper import PaperRow, PaperTable, paper_row, tables_beside
from bench.reporting.recording_labels import recording_note
from bench.reporting.style import METRIC_LABELS, METRICS, MINUS, NOT_PRINTED, show_number
from bench.reporting.table import Column, Table, is_absent, percent, show_value

IDENTITY = {
    "setting": Column("Setting", is_text=True, in_csv=False),
    "label": Column("Method", is_text=True, in_csv=False),
}
COMPLETENESS = {
    **IDENTITY,
    "runs": Column("Runs", in_csv=False),
    "done": Column("Seeds done", is_text=True),
    "unfinished": Column("Unfinished", is_text=True),
    "missing": Column("Missing", is_text=True),
}
METRIC_COLUMNS = {key: Column(label) for key, label in METRIC_LABELS.items()}
BESIDE_THE_PAPER = {
    **IDENTITY,
    "seeds": Column("Seeds", in_csv=False),
    "missing_seeds": Column("Missing seeds", is_text=True),
    **METRIC_COLUMNS,
    "paper": Column(f"Paper: {' / '.join(METRIC_LABELS.values())}", in_csv=False),
}
COMPARED = ("accuracy_t1", "accuracy_t2", "delta")  # with the base
AGAINST_BASE = {
    **IDENTITY,
    "seed": Column("Seed"),
    **{f"{key}_minus_base": Column(f"{METRIC_LABELS[key]} {MINUS} base") for key in COMPARED},
    "mcnemar_p_accuracy_t2": Column("McNemar p (t2)", "{:.2g}".format),
}
BEHAVIOUR = {
    **IDENTITY,
    "answer_change_rate": Column("Answer changed"),
    "edit_indel_t2": Column("Edit ratio (indel)", lambda ratio: show_number(ratio, 2)),
    "truncation_rate_t1": Column("Cut t1"),
    "truncation_rate_t2": Column("Cut t2"),
    "no_answer_rate_t1": Column("No answer t1"),
    "no_answer_rate_t2": Column("No answer t2"),
    "tokens_t1": Column("Tokens t1"),
    "tokens_t2": Column("Tokens t2"),
}
USAGE = {  # of bench.rollout.Usage
    "sampled_episodes": Column("Sampled conversations", "{:,.0f}".format),
    "sampled_attempts": Column("Sampled attempts", "{:,.0f}".format),
    "sampled_tokens": Column("Sampled tokens", "{:,.0f}".format),
    "updates": Column("Updates", "{:,.0f}".format),
    "trained_tokens": Column("Trained tokens", "{:,.0f}".format),
}
HOW_INTERVALS = (
    "Percent of all problems, mean over seeds, with 95 % bootstrap intervals over problems and seeds "
    "(with one seed: over problems alone)."
)


def completeness_table(rows: list[Completeness], index: ResultsIndex, *, evaluation: str) -> Table:
    """The seeds of each row, and in the caption why a run that has finished is left out of all tables."""
    finished = {(each.setting, each.method): each for each in index.results}
    table_rows = [
        {
            **_identity(finished.get((row.setting, row.method)) or MethodResult(row.method, row.setting)),
            "num_expected": row.num_expected,
            "num_done": len(row.done),
            "runs": f"{len(row.done)} of {row.num_expected}",
            "done": _spaced(row.done),
            "unfinished": _spaced(row.unfinished),
            "missing": _spaced(row.missing),
        }
        for row in rows
    ]
    num_done, num_expected = sum(len(row.done) for row in rows), sum(row.num_expected for row in rows)
    caption = (
        f"{num_done} of {num_expected} expected runs have finished their {evaluation} evaluation; seeds are listed. "
        "Expected are all methods and all seeds seen in a setting, and every run that a sweep has planned."
    )
    if index.unreadable:
        caption += f" Left out, and counted as unfinished: {'; '.join(index.unreadable.values())}."
    return Table("completeness", caption, COMPLETENESS, table_rows)


def main_table(results: list[MethodResult], runs: list[Completeness]) -> Table:
    """A row per method and setting, with what the paper printed for it beside it."""
    rows = [_row_beside_the_paper(each, paper_beside(each), runs) for each in results]
    return Table("main", f"{HOW_INTERVALS} {setting_notes(results)}", BESIDE_THE_PAPER, rows)


def reproduced_table(printed: PaperTable, results: list[MethodResult], runs: list[Completeness]) -> Table:
    """A table of the paper, row for row, once per setting of ours that has a row of it.

    A row without a run of ours stays, and says "missing"; so does a table without any.
    """
    ours = {(each.setting, each.method): each for each in reproducing(printed, results)}
    settings = dict.fromkeys(setting for setting, _ in ours) or [Setting(printed.task, model="", variant="main")]
    rows = [
        _row_beside_the_paper(
            ours.get((setting, method)) or MethodResult(method, setting), PaperRow(printed, numbers), runs
        )
        for setting in settings
        for method, numbers in printed.rows.items()
    ]
    caption = f"Table {printed.number} of the paper: {printed.title} ({printed.setting}). {HOW_INTERVALS}"
    caption = " ".join(filter(None, [caption, printed.note, setting_notes(list(ours.values()))]))
    return Table(f"table{printed.number}", caption, BESIDE_THE_PAPER, rows)


def paper_below(rows: Sequence[Mapping[str, Any]], *, label: str = "paper") -> list[Mapping[str, Any]]:
    """Rows beside the paper's numbers as rows above them, where the paper has any."""
    pairs = []
    for row in rows:
        pairs.append(row)
        printed = {key: row[f"paper_{key}"] for key in METRICS}
        if not all(map(is_absent, printed.values())):
            numbers = {key: NOT_PRINTED if is_absent(number) else float(number) for key, number in printed.items()}
            pairs.append({"label": label, **numbers})
    return pairs


def reproducing(printed: PaperTable, results: list[MethodResult]) -> list[MethodResult]:
    """The results that a printed table has a row of."""
    return [
        each
        for each in results
        if each.setting.paper_task == printed.task and each.method in printed.rows and paper_beside(each)
    ]


def paper_beside(result: MethodResult) -> PaperRow | None:
    """The paper's row for the same; None for a recording, which may be of any system."""
    if result.setting.is_recording:
        return None
    setting = result.setting
    return paper_row(method=result.method, task=setting.paper_task, variant=setting.variant, model=setting.model)


def setting_notes(results: list[MethodResult]) -> str:
    """What the paper's numbers were measured on, which settings here are not that, and what recordings' labels say."""
    notes = []
    for setting, group in by_setting(results):
        if setting.part:
            reasons = dict.fromkeys(f"{result.label} {result.setting.why}" for result in group)
            notes.append(f"{setting.label} is kept apart: {'; '.join(reasons)}.")
        beside = tables_beside(task=setting.paper_task, model=setting.model)
        tables = beside if setting.variant == "main" else ()
        if setting.is_recording:
            notes.append(f"{setting.label}: recorded attempts, graded here; the paper has no such setting.")
        elif not tables:
            notes.append(f"{setting.label}: the paper has no such setting.")
        elif setting.is_miniature:
            notes.append(
                f"{setting.label}: generated miniature problems and a tiny model, not the paper's setting; "
                f"the paper's numbers ({tables[0].setting}) show the phenomenon and are no target."
            )
        elif tables[0].our_model:
            notes.append(f"{setting.label}: the printed numbers are of the same model ({tables[0].setting}).")
            notes += [tables[0].note, *filter(None, map(third_attempt, group))]
        else:
            notes.append(f"{setting.label}: the paper's numbers are of another model ({tables[0].setting}).")
        notes += [recording_note(result.episodes) for result in group]
    return " ".join(filter(None, notes))


def third_attempt(result: MethodResult) -> str:
    """Accuracy@t3, which the columns do not have, where it is printed of the same model; empty elsewhere."""
    paper, ours = paper_beside(result), result.estimates.get("accuracy@t3")
    if paper is None or ours is None or "accuracy_t3" not in paper.numbers:
        return ""
    printed = show_number(paper.numbers["accuracy_t3"])
    return f"Accuracy@t3 of {result.label}: {show_value(percent(ours))}, printed {printed}."


def seeds_table(results: list[MethodResult]) -> Table:
    """A row per run, so that the spread among seeds can be seen."""
    rows = [
        {**_identity(each), "seed": seed, **_metrics(estimate(each.episodes_of(seed)))}
        for each in results
        for seed in each.seeds
    ]
    caption = "Percent of all problems, each run; 95 % bootstrap intervals over problems."
    return Table("seeds", caption, {**IDENTITY, "seed": Column("Seed"), **METRIC_COLUMNS}, rows)


def against_base_table(results: list[MethodResult]) -> Table:
    """Each method minus the base on the same problems: all seeds together, and each seed that both have."""
    rows = []
    for each in results:
        base = base_of(each, results)
        if base is None or base is each:
            continue
        pairs = [("all", each.episodes, base.episodes)] + [
            (str(seed), each.episodes_of(seed), base.episodes_of(seed)) for seed in each.seeds if seed in base.seeds
        ]
        for seed, ours, theirs in pairs:
            row = _identity(each) | {"seed": seed}
            comparisons = compare(ours, theirs)
            for key in COMPARED:
                comparison = comparisons.get(METRICS[key])
                row[f"{key}_minus_base"] = percent(comparison.difference if comparison else None)
                row[f"{key}_minus_base_p"] = comparison.p_value if comparison else None
            single = seed != "all" and not ours["problem_id"].duplicated().any() and "accuracy@t2" in comparisons
            row["mcnemar_p_accuracy_t2"] = mcnemar(ours, theirs, attempt=2).p_value if single else None
            rows.append(row)
    caption = (
        "Percentage points above the untrained model on the same problems; 95 % paired bootstrap intervals over "
        "problems and seeds; exact McNemar test of accuracy@t2 for single runs."
    )
    return Table("against_base", caption, AGAINST_BASE, rows)


def behaviour_table(results: list[MethodResult]) -> Table:
    """Everything else that the episodes tell: changed answers, edits, cut and unanswered attempts, tokens, seconds."""
    rows = []
    for each in results:
        row = _identity(each)
        for metric, found in each.estimates.items():
            is_known = each.token_units == {"tokens"} or not metric.startswith("tokens@")
            if metric not in METRICS.values() and is_known:
                row[metric.replace("@", "_")] = _in_units(metric, found.value)
        rows.append(row)
    caption = (
        "Percent of all episodes, but tokens and grading seconds, which are means per attempt, and edit ratios "
        "(0 to 1: distance between the two attempts over their total length). Tokens are left out where a recording or "
        "a script has characters instead. The CSV has every attempt."
    )
    return Table("behaviour", caption, BEHAVIOUR, rows)


def budget_table(results: list[MethodResult]) -> Table:
    """What each method was given to learn from; a fair comparison has equal rows among the trained methods."""
    rows = []
    for each in trainings(results):
        usage = {key: fmean(manifest.usage[key] for manifest in each.manifests) for key in USAGE}
        if each.token_units != {"tokens"}:
            usage = {key: mean for key, mean in usage.items() if "tokens" not in key}
        rows.append(_identity(each) | {"num_seeds": len(each.runs)} | usage)
    caption = (
        "Mean per seed of what training sampled and learned from. By default the trained methods sample equally many "
        "conversations, up to rounding; attempts, tokens and updates are not equalised. Tokens are left out where a "
        "recording or a script has characters instead."
    )
    return Table("budget", caption, {**IDENTITY, **USAGE}, rows)


def _row_beside_the_paper(result: MethodResult, paper: PaperRow | None, runs: list[Completeness]) -> dict[str, Any]:
    printed = paper.numbers if paper else {}
    num_seeds, absent = len(result.runs), _absent_seeds(result, runs)
    return {
        **_identity(result),
        "num_seeds": num_seeds,
        **_metrics(result.estimates),
        "seeds": "missing" if num_seeds == 0 else f"{num_seeds} of {num_seeds + len(absent)}" if absent else num_seeds,
        "missing_seeds": _spaced(absent),
        "commits": " ".join(sorted({each.commit for each in result.manifests})),
        "paper": " / ".join(show_number(printed[key]) if key in printed else NOT_PRINTED for key in METRICS if paper),
        **{f"paper_{key}": printed.get(key) for key in METRICS},
        "paper_model": paper.table.model if paper else "",
        "paper_test_set": paper.table.test_set if paper else "",
    }


def _absent_seeds(result: MethodResult, runs: list[Completeness]) -> list[int]:
    same = [row for row in runs if (row.setting, row.method) == (result.setting, result.method)]
    return sorted(seed for row in same for seed in (*row.unfinished, *row.missing))


def _spaced(seeds: Sequence[int]) -> str:
    return " ".join(map(str, seeds))


def _identity(result: MethodResult) -> dict[str, Any]:
    return {
        "method": result.method,
        "task": result.setting.task,
        "model": result.setting.model,
        "variant": result.setting.variant,
        "part": result.setting.part,
        "setting": result.setting.label,
        "label": result.label,
    }


def _metrics(estimates: Mapping[str, Estimate]) -> dict[str, Estimate]:
    return {key: percent(estimates.get(metric)) for key, metric in METRICS.items()}


def _in_units(metric: str, value: float) -> float:
    """Rates in percent; edit ratios, tokens and seconds as they are."""
    is_rate = metric.startswith(("accuracy", "delta", "answer_change")) or "_rate" in metric
    return 100 * value if is_rate else value
