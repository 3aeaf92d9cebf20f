"""The door for readers: reads the run folders, writes every table and figure. Needs no GPU and loads no model.

python bench/report.py                          reads results/, writes results/reports/greedy/tables and .../figures
python bench/report.py --evaluation sampled     another evaluation than the greedy one, to results/reports/sampled
python bench/report.py --grader hendrycks       also tables/main_hendrycks: stored math answers, graded again
python bench/report.py --html                   also results/reports/greedy/report.html, with everything in one file
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from bench.grading.answers.verifier import GRADERS
from bench.reporting import curves, figures
from bench.reporting.claims import claims_table, findings
from bench.reporting.completeness import completeness, completeness_table
from bench.reporting.index import read_study
from bench.reporting.page import save_page
from bench.reporting.panels import save_figure
from bench.reporting.paper import paper_tables
from bench.reporting.regrade import ANSWER_TASKS, regraded
from bench.reporting.reproduction import reproduced_table
from bench.reporting.tables import against_base_table, behaviour_table, budget_table, main_table, seeds_table
from bench.reporting.terminal import print_budget, print_cells, print_claims, print_completeness, print_reproduced
from bench.reporting.writing import save_table


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 1, with the reason on stderr, where there is nothing to report or it cannot be trusted."""
    asked = parse(arguments)
    if asked.grader and not sys.platform.startswith("linux"):  # its workers read /proc
        print(
            f"report: --grader: this runs on Linux, and this is {sys.platform}; use WSL2 or a container",
            file=sys.stderr,
        )
        return 1
    try:
        return report(
            asked.results,
            evaluation=asked.evaluation,
            distance=asked.distance,
            grader=asked.grader,
            page=asked.html,
        )
    except ValueError as error:
        print(f"report: {error}", file=sys.stderr)
        return 1


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Write the tables and figures of the finished runs.")
    parser.add_argument("--results", type=Path, default=Path("results"), help="the folder that bench/run.py wrote to")
    parser.add_argument("--evaluation", default="greedy", help="which evaluation of each run to report")
    parser.add_argument(
        "--distance", choices=sorted(figures.DISTANCES), default="indel", help="edit distance of the histograms"
    )
    parser.add_argument(
        "--grader", choices=GRADERS, help="grade the stored math answers again, for a second main table"
    )
    parser.add_argument("--html", action="store_true", help="also write report.html, one file with everything")
    return parser.parse_args(arguments)


def report(results: Path, *, evaluation: str, distance: str, grader: str | None, page: bool) -> int:
    study = read_study(results, evaluation=evaluation)
    rows = completeness(results, evaluation=evaluation, unreadable=study.unreadable)
    if not rows:
        raise ValueError(f"there is no run under {results}; make some with python bench/run.py, or give --results")
    console = Console()
    folder = results / "reports" / evaluation
    overview = completeness_table(rows, study, evaluation=evaluation)
    print_completeness(overview, console)
    save_table(overview, folder / "tables", formats=("csv", "md"))
    cells = study.cells
    if not cells:
        raise ValueError(f"no run under {results} has finished its {evaluation} evaluation; run bench/run.py again")

    tables = [
        main_table(cells, rows),
        against_base_table(cells),
        seeds_table(cells),
        behaviour_table(cells),
        budget_table(cells),
        *(reproduced_table(printed, cells) for printed in paper_tables()),
    ]
    judged = findings(cells)
    if judged:
        tables.append(claims_table(judged))
    if grader:
        again = [regraded(cell, grader=grader) for cell in cells if cell.setting.task in ANSWER_TASKS]
        if not again:
            raise ValueError(f"--grader grades answers again, and no run of {', '.join(ANSWER_TASKS)} has finished")
        tables.append(replace(main_table(again, rows), name=f"main_{grader}"))
        console.print(f"Graded again by {grader}:")
        print_cells(again, rows, console)
        console.print("As the runs were graded:")
    written = [path for table in tables for path in save_table(table, folder / "tables")]
    drawn = {
        "overview": figures.overview(cells),
        "edit_distance": figures.edit_distance(cells, distance=distance),
        "edit_distance_training": figures.training_data(cells, distance=distance),
        "levels": figures.levels(cells),
        "attempts": figures.attempts(cells),
        "training_accuracy": curves.training_accuracy(cells),
        "answer_changes": curves.answer_changes(cells),
        "generalisation": curves.generalisation(cells),
    }
    for name, figure in drawn.items():
        if figure is not None:
            written += save_figure(figure, folder / "figures", name)
    if page:
        images = [path for path in written if path.suffix == ".png"]
        written.append(save_page(folder / "report.html", tables=[overview, *tables], figures=images))

    for printed in paper_tables():
        print_reproduced(printed, cells, rows, console)
    print_cells(cells, rows, console)
    print_budget(cells, console)
    print_claims(judged, console)
    console.print(f"{len(written)} files in {folder}: tables/, figures/" + (", report.html" if page else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
