"""The entry point for readers: run folders in, every table and figure out. Needs no GPU and loads no model.

python bench/report.py                          reads results/, writes results/reports/greedy/tables and .../figures
python bench/report.py --evaluation sampled     another evaluation than the greedy one, to results/reports/sampled
python bench/report.py --grader hendrycks       also tables/main_hendrycks: stored math answers, graded again
python bench/report.py --html                   also results/reports/greedy/report.html, with everything in one file
python bench/report.py --readme                 also the README's main table, and results/miniature/main.csv below it
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from bench.grading.answers.verifier import GRADERS
from bench.reporting import curves, figures
from bench.reporting.claims import claims_table, findings
from bench.reporting.completeness import completeness
from bench.reporting.cost import served_cost_table
from bench.reporting.index import read_index
from bench.reporting.page import save_page
from bench.reporting.panels import save_figure
from bench.reporting.paper import paper_tables
from bench.reporting.readme import write_readme
from bench.reporting.regrade import ANSWER_TASKS, regraded
from bench.reporting.table import save_table
from bench.reporting.tables import (
    against_base_table,
    behaviour_table,
    budget_table,
    completeness_table,
    main_table,
    reproduced_table,
    seeds_table,
)
from bench.reporting.terminal import (
    print_budget,
    print_claims,
    print_methods,
    print_reproduced,
    print_served_cost,
    print_table,
)
from bench.runs.finished import find_runs

ROOT = Path(__file__).resolve().parents[1]


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 1, with the reason on stderr, where there is nothing to report or it cannot be trusted."""
    options = parse(arguments)
    if options.grader and not sys.platform.startswith("linux"):  # its workers read /proc
        print(
            f"report: --grader: this runs on Linux, and this is {sys.platform}; use WSL2 or a container",
            file=sys.stderr,
        )
        return 1
    try:
        write_report(options)
    except ValueError as error:
        print(f"report: {error}", file=sys.stderr)
        return 1
    return 0


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
    parser.add_argument(
        "--readme",
        nargs="?",
        type=Path,
        const=ROOT / "README.md",
        help="write the miniature's main table into this README, and the CSV below it that the table is made of",
    )
    return parser.parse_args(arguments)


def write_report(options: argparse.Namespace) -> None:
    """Raises ValueError where there is nothing to report or it cannot be trusted."""
    evaluation, folder = options.evaluation, options.results / "reports" / options.evaluation
    known = {name for run in find_runs(options.results) for name in run.begun_evaluations()}
    if known and evaluation not in known:
        raise ValueError(
            f"no run under {options.results} has a {evaluation} evaluation; there are {', '.join(sorted(known))}"
        )
    index = read_index(options.results, evaluation=evaluation)
    runs = completeness(options.results, evaluation=evaluation, unreadable=index.unreadable)
    if not runs:
        raise ValueError(f"there is no run under {options.results}; make some with python bench/run.py, or --results")
    console = Console()
    overview = completeness_table(runs, index, evaluation=evaluation)
    print_table("Expected runs and finished ones", overview, console)
    save_table(overview, folder / "tables", formats=("csv", "md"))
    results = index.results
    if not results:
        raise ValueError(
            f"no run under {options.results} has finished its {evaluation} evaluation; run bench/run.py again"
        )

    claims, cost = claims_table(findings(results)), served_cost_table(results)
    tables = [
        main_table(results, runs),
        against_base_table(results),
        seeds_table(results),
        behaviour_table(results),
        budget_table(results),
        *(reproduced_table(printed, results, runs) for printed in paper_tables()),
        *([claims] if claims.rows else []),
        *([cost] if cost.rows else []),
    ]
    if options.grader:
        again = [regraded(each, grader=options.grader) for each in results if each.setting.paper_task in ANSWER_TASKS]
        if not again:
            raise ValueError(f"--grader grades answers again, and no run of {', '.join(ANSWER_TASKS)} has finished")
        tables.append(replace(main_table(again, runs), name=f"main_{options.grader}"))
        console.print(f"Graded again by {options.grader}:")
        print_methods(again, runs, console)
        console.print("As the runs were graded:")
    written = [path for table in tables for path in save_table(table, folder / "tables")]
    drawn = {
        "overview": figures.overview(results),
        "edit_distance": figures.edit_distance(results, distance=options.distance),
        "edit_distance_training": figures.training_data(results, distance=options.distance),
        "levels": figures.levels(results),
        "attempts": figures.attempts(results),
        **{name: curves.training_curve(results, name) for name in curves.CURVES},
    }
    for name, figure in drawn.items():
        written += save_figure(figure, folder / "figures", name) if figure else []
    if options.html:
        images = [path for path in written if path.suffix == ".png"]
        written.append(save_page(folder / "report.html", tables=[overview, *tables], figures=images))

    for printed in paper_tables():
        print_reproduced(printed, results, runs, console)
    print_methods(results, runs, console)
    print_budget(results, console)
    print_served_cost(results, console)
    print_claims(claims, console)
    console.print(f"{len(written)} files in {folder}: tables/, figures/" + (", report.html" if options.html else ""))
    if options.readme:
        console.print(f"and {', '.join(map(str, write_readme(options.readme, results)))}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
