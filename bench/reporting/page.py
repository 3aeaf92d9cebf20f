"""One HTML file with every table and figure inside it, to be sent or opened anywhere."""

import base64
import html
from pathlib import Path

from bench.files import write_file
from bench.reporting.table import Table, to_html

STYLESHEET = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px }
th { text-align: left; border-bottom: 1px solid #444; padding: .25rem .6rem }
td { padding: .2rem .6rem; border-bottom: 1px solid #ddd; white-space: nowrap; text-align: right }
td.text { text-align: left } p { color: #555; max-width: 60rem } img { max-width: 100% }
section { margin-bottom: 2.5rem; overflow-x: auto }
"""
HEAD = f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Self-correction</title>
<style>{STYLESHEET}</style><h1>Self-correction: results</h1>"""


def save_page(path: Path, *, tables: list[Table], figures: list[Path]) -> Path:
    """The first two tables come before the figures, the others after them."""
    sections = [*map(to_html, tables[:2]), *map(_figure, figures), *map(to_html, tables[2:])]
    write_file(path, f"{HEAD}{''.join(sections)}</html>\n".encode())
    return path


def _figure(path: Path) -> str:
    encoded = base64.b64encode(path.read_bytes()).decode()
    name = html.escape(path.stem.replace("_", " ").capitalize())
    return f'<section><h2>{name}</h2><img alt="{name}" src="data:image/png;base64,{encoded}"></section>'
