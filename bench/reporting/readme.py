"""The README's main table, made of a CSV that is kept in git: the rows of the miniature in the report's main table."""

from pathlib import Path

import pandas as pd

from bench.files import write_file
from bench.metrics.bootstrap import Estimate
from bench.reporting.index import MethodResult
from bench.reporting.style import METRICS, method_style
from bench.reporting.table import Table, to_csv, to_markdown
from bench.reporting.tables import IDENTITY, METRIC_COLUMNS, main_table, paper_below

CSV = "results/miniature/main.csv"  # beside the README
BEGIN = "<!-- main table: written by bench/report.py --readme -->\n"
END = "<!-- main table: end -->"


def write_readme(readme: Path, results: list[MethodResult]) -> list[Path]:
    """Replace the CSV, and the README's text between the two markers.

    Raises ValueError where no run on mini_math has finished, and where a marker is not in the README.
    """
    miniature = [
        each
        for each in results
        if (each.setting.task, each.setting.variant, each.setting.part) == ("mini_math", "main", "")
    ]
    if not miniature:
        raise ValueError("--readme takes the miniature's variant main, and no run of it on mini_math has finished")
    text = readme.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{readme} must have the line {BEGIN.strip()!r} once, and {END!r} after it")
    csv = readme.parent / CSV
    write_file(csv, to_csv(main_table(miniature, [])).encode())
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    write_file(readme, f"{before}{BEGIN}{readme_table(csv)}{END}{after}".encode())
    return [csv, readme]


def readme_table(csv: Path) -> str:
    """Markdown of a stored main table: each method's row, and below it the paper's where it has one."""
    numbers = pd.read_csv(csv, keep_default_na=False, na_values=[""], dtype={"commits": str})
    rows = []
    for row in numbers.to_dict("records"):
        estimates = {key: Estimate(row[key], row[f"{key}_low"], row[f"{key}_high"]) for key in METRICS}
        rows.append({**row, **estimates, "label": method_style(row["method"]).label})
    seeds, commits = (", ".join(map(str, numbers[key].dropna().unique())) for key in ("num_seeds", "commits"))
    columns = {"label": IDENTITY["label"], **METRIC_COLUMNS}
    caption = f"Seeds in each row: {seeds}. Measured at commit {commits}."
    return to_markdown(Table("readme", caption, columns, paper_below(rows, label="*paper*")))
