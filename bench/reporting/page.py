"""One HTML file with every table and figure inside it, to be sent or opened anywhere."""

from __future__ import annotations

import base64
import html
from pathlib import Path

from bench.reporting.writing import TEXT_COLUMNS, Table, replace_text

LOOK = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px }
th { text-align: left; border-bottom: 1px solid #444; padding: .25rem .6rem }
td { padding: .2rem .6rem; border-bottom: 1px solid #ddd; white-space: nowrap; text-align: right }
td.text { text-align: left } p { color: #555; max-width: 60rem } img { max-width: 100% }
section { margin-bottom: 2.5rem; overflow-x: auto }
"""


def save_page(path: Path, *, tables: list[Table], figures: list[Path]) -> Path:
    sections = [_figure(figure) for figure in figures]
    sections = [_table(table) for table in tables[:2]] + sections + [_table(table) for table in tables[2:]]
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Self-correction</title><style>{LOOK}</style>'
    replace_text(path, head + "<h1>Self-correction: results</h1>" + "".join(sections) + "</html>\n")
    return path


def _table(table: Table) -> str:
    columns = list(table.shown)
    head = "".join(f"<th>{html.escape(str(column))}</th>" for column in columns)
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td{' class=text' if column in TEXT_COLUMNS else ''}>{html.escape(str(value))}</td>"
            for column, value in zip(columns, row, strict=True)
        )
        + "</tr>"
        for row in table.shown.to_numpy()
    )
    title = html.escape(table.name.replace("_", " ").capitalize())
    caption = html.escape(table.caption)
    return f"<section><h2>{title}</h2><table><tr>{head}</tr>{rows}</table><p>{caption}</p></section>"


def _figure(path: Path) -> str:
    encoded = base64.b64encode(path.read_bytes()).decode()
    name = html.escape(path.stem.replace("_", " ").capitalize())
    return f'<section><h2>{name}</h2><img alt="{name}" src="data:image/png;base64,{encoded}"></section>'
