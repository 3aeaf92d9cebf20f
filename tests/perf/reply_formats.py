"""How many programs get the verdict they deserve, whatever the format of the reply that holds them.

    python tests/perf/reply_formats.py ../shared/data [--every 10] [--each]

Every reference of HumanEval (whole function and bare body) and of the full MBPP, and a wrong program for each, is
written in every format of tests/reply_formats.py and graded by `python -m bench.grading`. Wrong programs are
HumanEvalFix's and, for MBPP, recorded first attempts or else the reference with its results in a list; only those that
fail their tests in a bare interpreter are used. Prints the formats with verdicts that are not deserved, and exits 1 if
there are any. Replies of one task out of which the same code is read are graded once, unless `--each` is given. Right
programs that ran out of time are graded again one by one, since a busy machine may have been the cause.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))

from bench.episode import Grade, UnitTests
from bench.grading.programs.extraction import assemble, extract_program, tested_names
from bench.grading.programs.formats import humaneval_tests, mbpp_tests, unix_lines
from bench.grading.programs.python_source import bound
from bench.machine import available_cores
from tests.reply_formats import BODIES, REPLIES, Answer

FILES = {"humaneval": "humaneval/HumanEval.jsonl.gz", "mbpp": "mbpp/mbpp.jsonl"}


@dataclass(frozen=True)
class Sample:
    """A reply and whether its own program is right."""

    task_id: str
    format: str
    right: bool
    text: str
    tests: UnitTests


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with humaneval/, mbpp/ and repair/")
    parser.add_argument("--every", type=int, default=1, help="take every so-manieth task")
    parser.add_argument("--each", action="store_true", help="grade each reply, also where the same code is read")
    options = parser.parse_args()
    undeserved: Counter[tuple[str, bool]] = Counter()
    num_samples = 0
    for kind, samples in (("humaneval", humaneval_samples), ("mbpp", mbpp_samples)):
        taken = list(samples(options.data, options.every))
        grades = graded(kind, options.data / FILES[kind], taken, each=options.each)
        late = [place for place, sample in enumerate(taken) if sample.right and grades[place] == Grade.TIMEOUT]
        if late:
            print(f"{kind}: {len(late)} right programs ran out of time and are graded once more", flush=True)
            again = [taken[place] for place in late]
            new = graded(kind, options.data / FILES[kind], again, each=options.each, workers=1)
            for place, grade in zip(late, new, strict=True):
                grades[place] = grade
        failed = [(sample, grade) for sample, grade in zip(taken, grades, strict=True) if undue(sample, grade)]
        for sample, grade in failed[:20]:
            print(f"{kind} {sample.task_id}, {sample.format}: {grade}", flush=True)
        print(f"{kind}: {len(taken) - len(failed)} of {len(taken)} verdicts are deserved", flush=True)
        undeserved.update((f"{kind}, {sample.format}", sample.right) for sample, _ in failed)
        num_samples += len(taken)
    for (form, right), number in sorted(undeserved.items()):
        print(f"{number:5} {'right programs not correct' if right else 'WRONG PROGRAMS CORRECT'}: {form}")
    print(f"{num_samples - undeserved.total()} of {num_samples} verdicts are deserved")
    sys.exit(bool(undeserved))


def undue(sample: Sample, grade: str) -> bool:
    return sample.right != (grade == Grade.CORRECT)


def humaneval_samples(folder: Path, every: int) -> Iterator[Sample]:
    buggy = rows(folder / "repair/humanevalfix_python.jsonl.gz")
    for row, fix in list(zip(rows(folder / FILES["humaneval"]), buggy, strict=True))[::every]:
        tests = humaneval_tests(row)
        question = f"Complete the following Python function.\n\n{row['prompt'].strip()}"
        for layout, above, replies in (("body", "", BODIES), ("whole", row["prompt"], REPLIES)):
            right, wrong = (above + body.rstrip() for body in (row["canonical_solution"], fix["buggy_solution"]))
            for is_right, code, other in ((True, right, wrong), (False, wrong, right)):
                answer = Answer(row["entry_point"], question, code, other)
                for name, reply in replies.items():
                    yield Sample(row["task_id"], f"{layout}: {name}", is_right, reply(answer), tests)


def mbpp_samples(folder: Path, every: int) -> Iterator[Sample]:
    recorded = rows(folder / "repair/mbpp_failed_first_attempts.jsonl")
    attempts = {row["task_id"]: row["first_attempt"].strip("\n").rstrip() for row in recorded}
    taken = rows(folder / FILES["mbpp"])[::every]
    tests = [mbpp_tests(row) for row in taken]
    right = [unix_lines(row["code"]).strip("\n").rstrip() for row in taken]
    with ThreadPoolExecutor(2) as pool:
        wrong = list(pool.map(wrong_program, [attempts.get(row["task_id"], "") for row in taken], right, tests))
    for row, code, other, test in zip(taken, right, wrong, tests, strict=True):
        question = f"{row['text']} Your code should pass these tests:\n\n" + "\n".join(test.asserts)
        for is_right, own, opposite in ((True, code, other), (False, other, code)):
            answer = Answer(min(tested_names(test)), question, own, opposite)
            for name, reply in REPLIES.items():
                yield Sample(str(row["task_id"]), name, is_right, reply(answer), test)


def wrong_program(attempt: str, reference: str, tests: UnitTests) -> str:
    """A program that fails the tests: the attempt recorded for the task, or else a mutant of its reference.

    It defines what is tested: otherwise a right program that a reply quotes would be its only answer.
    """
    tree = ast.parse(reference)
    for node in ast.walk(tree):
        if isinstance(node, ast.Return) and node.value is not None:
            node.value = ast.List([node.value], ast.Load())
    listed = ast.unparse(ast.fix_missing_locations(tree))
    empty = "\n".join(f"def {name}(*arguments):\n    return None" for name in sorted(tested_names(tests)))
    return next(program for program in (attempt, listed, empty) if defines(program, tests) and fails(program, tests))


def defines(program: str, tests: UnitTests) -> bool:
    try:
        return tested_names(tests) <= bound(ast.parse(program))
    except SyntaxError:
        return False


def fails(program: str, tests: UnitTests) -> bool:
    source = assemble(tests, program) + "\n".join(tests.asserts)
    try:
        command = [sys.executable, "-I", "-c", source]
        return subprocess.run(command, capture_output=True, check=False, timeout=5).returncode != 0
    except subprocess.TimeoutExpired:
        return True


def graded(kind: str, data: Path, samples: list[Sample], *, each: bool, workers: int = 0) -> list[str]:
    """The grade of each sample, by the command that users have."""
    if each:
        keys = [str(number) for number in range(len(samples))]
    else:
        texts, tests = [sample.text for sample in samples], [sample.tests for sample in samples]
        with ProcessPoolExecutor(available_cores()) as pool:
            keys = list(pool.map(extract_program, texts, tests, chunksize=100))
    places: dict[tuple[str, str | None], int] = {}
    chosen: list[Sample] = []
    place_of: list[int] = []
    for sample, key in zip(samples, keys, strict=True):
        place_of.append(places.setdefault((sample.task_id, key), len(chosen)))
        if place_of[-1] == len(chosen):
            chosen.append(sample)
    print(f"{kind}: {len(chosen)} programs out of {len(samples)} replies", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.jsonl", Path(folder) / "out.jsonl"
        lines = (json.dumps({"task_id": sample.task_id, "attempt": sample.text}) for sample in chosen)
        source.write_text("".join(f"{line}\n" for line in lines))
        command = [sys.executable, "-m", "bench.grading", kind, str(source), str(target), "--data", str(data)]
        command += ["--workers", str(workers)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        grades = [json.loads(line)["grade"] for line in target.read_text().splitlines()]
    return [grades[place] for place in place_of]


def rows(path: Path) -> list[dict[str, Any]]:
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    return [json.loads(line) for line in text.splitlines()]


if __name__ == "__main__":
    main()
