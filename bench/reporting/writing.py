"""A table on disk: numbers as CSV for programs, and the same as Markdown and LaTeX, with a caption, for people."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

TEXT_COLUMNS = {
    "Method",
    "Setting",
    "Missing seeds",
    "Missing",
    "Unfinished",
    "Seeds done",
    "Claim of the paper",
    "Source",
    "Must be above 0",
    "Here it",
}  # the others are right-aligned
LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "Δ": r"$\Delta$",
    "→": r"$\to$",
    "\N{MINUS SIGN}": "$-$",
    "±": r"$\pm$",
    "·": r"$\cdot$",
    "\N{EN DASH}": "--",
    "\n": " ",
}


@dataclass(frozen=True, slots=True)
class Table:
    """`numbers` is for programs (one column per figure), `shown` for people (text; an estimate with its interval)."""

    name: str
    caption: str
    numbers: pd.DataFrame
    shown: pd.DataFrame


def save_table(table: Table, folder: Path, *, formats: tuple[str, ...] = ("csv", "md", "tex")) -> list[Path]:
    render = {"csv": to_csv, "md": to_markdown, "tex": to_latex}
    paths = [folder / f"{table.name}.{suffix}" for suffix in formats]
    for path, suffix in zip(paths, formats, strict=True):
        replace_text(path, render[suffix](table))
    return paths


def replace_text(path: Path, text: str) -> None:
    """Write beside and rename, so that a reader meets the old file or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def to_csv(table: Table) -> str:
    return table.numbers.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def to_markdown(table: Table) -> str:
    columns = [str(column) for column in table.shown]
    rows = [[str(value).replace("|", r"\|").replace("\n", "<br>") for value in row] for row in table.shown.to_numpy()]
    alignments = ["---" if column in TEXT_COLUMNS else "---:" for column in columns]
    lines = [f"| {' | '.join(row)} |" for row in (columns, alignments, *rows)]
    return "\n".join([*lines, "", table.caption, ""])


def to_latex(table: Table) -> str:
    """A booktabs table; the preamble needs `\\usepackage{booktabs}`."""
    alignments = "".join("l" if column in TEXT_COLUMNS else "r" for column in table.shown)
    rows = [" & ".join(latex(str(value)) for value in row) + r" \\" for row in table.shown.to_numpy()]
    header = " & ".join(latex(str(column)) for column in table.shown) + r" \\"
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex(table.caption)}}}",
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{{alignments}}}",
        r"\toprule",
        header,
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def latex(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)
