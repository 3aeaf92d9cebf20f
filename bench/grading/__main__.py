"""Grades attempts from anywhere.

    python -m bench.grading math IN.jsonl OUT.jsonl
    python -m bench.grading humaneval IN.jsonl OUT.jsonl --data HumanEval.jsonl.gz
    python -m bench.grading mbpp IN.jsonl OUT.jsonl --data mbpp.jsonl

A row of math holds `gold` and either `attempt` (a whole solution, from which only a stated answer counts) or
`prediction` (an answer, or a sentence that holds it). A row of programs holds `task_id` and `attempt`. Each row is
copied to OUT, in order, with `grade`, `answer` (math), `failure` and `seconds` added or replaced.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.data_files import read_lines
from bench.episode import Problem, Verdict
from bench.files import write_file
from bench.grading.answers.extraction import extract_answer, extract_answer_line
from bench.grading.answers.predictions import stated_answer
from bench.grading.answers.verifier import GRADERS, AnswerVerifier
from bench.grading.programs.formats import load_unit_tests, task_id
from bench.grading.programs.verifier import ProgramVerifier
from bench.grading.sandbox.confinement import UnsafeHostError
from bench.grading.verifier import Grading

Row = dict[str, Any]
Submit = Callable[[Row], "Future[Verdict]"]

# How an attempt of a data set states its answer, where that is not a box or the paper's closing sentence.
STYLES: dict[str, Callable[[str], str | None]] = {"boxed": extract_answer, "gsm8k": extract_answer_line}


def main(arguments: list[str] | None = None) -> None:
    options = _parse(arguments)
    if not sys.platform.startswith("linux"):
        sys.exit(f"python -m bench.grading: this runs on Linux, and this is {sys.platform}; use WSL2 or a container")
    grading = Grading(workers=options.workers, allow_unsafe=options.allow_unsafe)
    try:
        with ExitStack() as stack:
            if options.kind == "math":
                check, submit = _check_math, _answer_grader(grading, options, stack)
            else:
                check, submit = _program_grader(grading, options, stack)
            records = read_lines(options.input)
            for record in records:  # a bad one is refused by file and line before anything is graded
                record.read(check)
            rows = [record.fields for record in records]
            futures = [submit(row) for row in rows]
            verdicts = [future.result() for future in futures]
        for row, verdict in zip(rows, verdicts, strict=True):
            answer = {"answer": verdict.answer} if options.kind == "math" else {}
            row |= {"grade": verdict.grade, **answer, "failure": verdict.failure, "seconds": round(verdict.seconds, 6)}
        write_file(options.output, [json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows])
    except (ValueError, OSError, UnsafeHostError) as error:
        sys.exit(f"python -m bench.grading: {error}")
    grades = Counter(verdict.grade for verdict in verdicts)
    counts = ", ".join(f"{number} {grade}" for grade, number in grades.most_common())
    print(f"{len(rows)} rows: {counts or 'nothing to grade'} -> {options.output}")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.grading", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=("math", "humaneval", "mbpp"))
    parser.add_argument("input", type=Path, metavar="IN.jsonl")
    parser.add_argument("output", type=Path, metavar="OUT.jsonl")
    parser.add_argument("--data", type=Path, help="programs: the published file (or folder) with the unit tests")
    parser.add_argument("--grader", choices=GRADERS, default=GRADERS[0], help="math: how answers are compared")
    parser.add_argument(
        "--style",
        choices=tuple(STYLES),
        help='math: how attempts state their answer; gsm8k also reads a last line "A: 3" or "#### 3" '
        '(default: gsm8k for rows whose `dataset` is "GSM8K", else boxed)',
    )
    parser.add_argument("--allow-unsafe", action="store_true", help="programs: run them where no sandbox can be made")
    parser.add_argument("--workers", type=int, default=0, help="processes side by side (default: one per core)")
    options = parser.parse_args(arguments)
    if options.kind != "math" and options.data is None:
        parser.error(f"{options.kind} needs --data: the file with the unit tests")
    return options


def _answer_grader(grading: Grading, options: argparse.Namespace, stack: ExitStack) -> Submit:
    def verifier(extract: Callable[[str], str | None]) -> AnswerVerifier:
        return stack.enter_context(AnswerVerifier(grading, options.grader, extract))

    predictions = verifier(stated_answer)
    attempts = {style: verifier(extract) for style, extract in STYLES.items()}

    def submit(row: Row) -> Future[Verdict]:
        problem = Problem(id=str(row.get("id", row.get("unique_id", ""))), question="", gold=str(row["gold"]))
        if "attempt" not in row:
            return predictions.submit(problem, str(row["prediction"]))
        declared = "gsm8k" if str(row.get("dataset", "")).lower() == "gsm8k" else "boxed"
        return attempts[options.style or declared].submit(problem, str(row["attempt"]))

    return submit


def _program_grader(
    grading: Grading, options: argparse.Namespace, stack: ExitStack
) -> tuple[Callable[[Row], None], Submit]:
    tests = load_unit_tests(options.kind, options.data)
    verifier = stack.enter_context(ProgramVerifier(grading))

    def id_of(row: Row) -> str:
        return task_id(options.kind, row["task_id"])

    def check(row: Row) -> None:
        if not isinstance(row.get("task_id"), str | int) or not isinstance(row.get("attempt"), str):
            raise ValueError("the columns `task_id` (a name or a number) and `attempt` (a text) are needed")
        if id_of(row) not in tests:
            raise ValueError(f"{options.data} has no task {row['task_id']!r}; give the file this attempt was made for")

    def submit(row: Row) -> Future[Verdict]:
        problem = Problem(id=str(row["task_id"]), question="", gold="", tests=tests[id_of(row)])
        return verifier.submit(problem, row["attempt"])

    return check, submit


def _check_math(row: Row) -> None:
    text = "attempt" if "attempt" in row else "prediction"
    for column in ("gold", text):
        if not isinstance(row.get(column), str | int | float):
            raise ValueError(f"the column {column!r} is missing or no text; give `gold` and `attempt` or `prediction`")
    if not str(row["gold"]).strip() and str(row[text]).strip():
        raise ValueError("the column 'gold' is empty; leave the row out")


if __name__ == "__main__":
    main()
