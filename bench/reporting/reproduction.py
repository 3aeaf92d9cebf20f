"""Tables 1 to 4 of the paper, row for row, with our numbers beside the printed ones; what is not there says so."""

from __future__ import annotations

import pandas as pd

from bench.reporting.index import Cell
from bench.reporting.paper import PaperTable
from bench.reporting.style import METRIC_LABELS, method_style, show_number
from bench.reporting.tables import HOW_INTERVALS, METRICS, estimate_columns, interval_text, paper_beside, setting_notes
from bench.reporting.writing import Table


def reproduced_table(printed: PaperTable, cells: list[Cell]) -> Table:
    """Each printed row once per setting of ours on that task; a row without a run of ours stays, and says "missing"."""
    ours = [cell for cell in cells if cell.setting.task == printed.task and paper_beside(cell)]
    settings = list(dict.fromkeys(cell.setting for cell in ours)) or [None]
    columns = [column for column in METRICS if any(column in row for row in printed.rows.values())]
    numbers, shown = [], []
    for setting in settings:
        for method, row in printed.rows.items():
            same = [cell for cell in ours if cell.setting == setting and cell.method == method]
            for cell in same or [None]:
                found = estimate_columns(cell.estimates) if cell else {}
                name = cell.method if cell else method
                number: dict[str, object] = {
                    "method": name,
                    "task": printed.task,
                    "model": setting.model if setting else "",
                }
                number["num_seeds"] = len(cell.runs) if cell else 0
                text: dict[str, object] = {
                    "Method": method_style(name).label,
                    "Setting": setting.label if setting else "",
                    "Seeds": len(cell.runs) if cell else "missing",
                }
                for column in columns:
                    for suffix in ("", "_low", "_high"):
                        number[column + suffix] = found.get(column + suffix)
                    number[f"paper_{column}"] = row.get(column)
                    label = METRIC_LABELS[column]
                    text[label] = interval_text(cell.estimates.get(METRICS[column])) if cell else "missing"
                    text[f"{label} (paper)"] = show_number(row[column]) if column in row else ""
                numbers.append(number)
                shown.append(text)
    caption = f"Table {printed.number} of the paper: {printed.title} ({printed.setting}). {HOW_INTERVALS}"
    caption = " ".join(filter(None, [caption, printed.note, setting_notes(ours)]))
    return Table(f"table{printed.number}", caption, pd.DataFrame(numbers), pd.DataFrame(shown))
