"""A table as one list of rows: CSV for programs; Markdown, LaTeX and HTML, with a caption, for people."""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

from bench.files import write_file
from bench.metrics.bootstrap import Estimate
from bench.reporting.style import show_number

LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
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
    | {character: f"\\{character}" for character in "&%$#_{}"}
)
ABSENT = Estimate(float("nan"), float("nan"), float("nan"))


def show_value(value: Any) -> str:
    """ "62.4 [58.1, 66.5]" for an estimate; other numbers with one digit."""
    if isinstance(value, Estimate):
        return f"{show_number(value.value)} [{show_number(value.low)}, {show_number(value.high)}]"
    return show_number(value) if isinstance(value, float) else str(value)


def is_absent(value: Any) -> bool:
    return bool(pd.isna(value.value if isinstance(value, Estimate) else value))


def percent(estimate: Estimate | None) -> Estimate:
    """`ABSENT` for None, as for the second attempt of a run that has one."""
    return Estimate(100 * estimate.value, 100 * estimate.low, 100 * estimate.high) if estimate else ABSENT


@dataclass(frozen=True, slots=True)
class Column:
    """How people see a value; what is not known is empty."""

    heading: str
    show: Callable[[Any], str] = show_value
    is_text: bool = False  # text is left-aligned, and wraps in a terminal
    in_csv: bool = True

    def text(self, value: Any) -> str:
        return "" if is_absent(value) else self.show(value)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows have the same keys in the same order. People see the keys of `columns`; programs see all of them, and an
    estimate as three numbers: `key`, `key_low` and `key_high`."""

    name: str
    caption: str
    columns: Mapping[str, Column]
    rows: Sequence[Mapping[str, Any]]

    @property
    def numbers(self) -> pd.DataFrame:
        hidden = {key for key, column in self.columns.items() if not column.in_csv}
        return pd.DataFrame(
            {
                name: number
                for key, value in row.items()
                if key not in hidden
                for name, number in _numbers_of(key, value).items()
            }
            for row in self.rows
        )

    @property
    def shown(self) -> pd.DataFrame:
        texts = [[column.text(row.get(key)) for key, column in self.columns.items()] for row in self.rows]
        return pd.DataFrame(texts, columns=[column.heading for column in self.columns.values()], dtype=str)


def _numbers_of(key: str, value: Any) -> dict[str, Any]:
    if isinstance(value, Estimate):
        return {key: value.value, f"{key}_low": value.low, f"{key}_high": value.high}
    return {key: value}


def save_table(table: Table, folder: Path, *, formats: Sequence[str] = ("csv", "md", "tex")) -> list[Path]:
    render = {"csv": to_csv, "md": to_markdown, "tex": to_latex}
    paths = [folder / f"{table.name}.{suffix}" for suffix in formats]
    for path, suffix in zip(paths, formats, strict=True):
        write_file(path, render[suffix](table).encode())
    return paths


def to_csv(table: Table) -> str:
    return table.numbers.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def to_markdown(table: Table) -> str:
    shown = table.shown.replace({r"\|": r"\\|", "\n": "<br>"}, regex=True)
    alignments = ["---" if column.is_text else "---:" for column in table.columns.values()]
    lines = [f"| {' | '.join(row)} |" for row in (shown.columns.astype(str), alignments, *shown.to_numpy().tolist())]
    return "\n".join([*lines, "", table.caption, ""])


def to_latex(table: Table) -> str:
    """A booktabs table; the preamble needs `\\usepackage{booktabs}`."""
    escaped = table.shown.map(_latex).rename(columns=_latex)
    alignments = "".join("l" if column.is_text else "r" for column in table.columns.values())
    return escaped.to_latex(
        index=False, column_format=alignments, caption=_latex(table.caption), label=f"tab:{table.name}"
    )


def to_html(table: Table) -> str:
    """A section with heading, table and caption; cells of text have the class `text`."""
    texts = [column.heading for column in table.columns.values() if column.is_text]
    classes = pd.DataFrame("text", index=table.shown.index, columns=texts)
    style = Styler(table.shown, uuid=table.name, cell_ids=False).hide(axis="index").set_td_classes(classes)
    body = style.format(escape="html").format_index(escape="html", axis=1).to_html()
    title = html.escape(table.name.replace("_", " ").capitalize())
    return f"<section><h2>{title}</h2>{body}<p>{html.escape(table.caption)}</p></section>"


def _latex(text: str) -> str:
    return text.translate(LATEX)
