"""Published programs and recorded attempts with known labels. A difference from a label is listed with its reason."""

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.episode import Grade, Problem, UnitTests, Verdict
from bench.grading.programs.formats import humaneval_tests, load_unit_tests, mbpp_tests, task_id
from bench.grading.programs.verifier import ProgramVerifier
from bench.grading.verifier import Grading

EVERY = 30  # a test that is not slow grades every so-manieth program


@pytest.fixture(scope="module")
def verifier() -> Iterator[ProgramVerifier]:
    """For programs that are right: MBPP's reference 123 computes for seconds, and longer on a busy machine."""
    with ProgramVerifier(Grading(program_seconds=30)) as verifier:
        yield verifier


@pytest.fixture(scope="module")
def impatient() -> Iterator[ProgramVerifier]:
    """For programs that are wrong: some never end."""
    with ProgramVerifier(Grading(program_seconds=2)) as verifier:
        yield verifier


@pytest.fixture(params=[EVERY, pytest.param(1, marks=pytest.mark.slow)], ids=["some", "all"])
def step(request: pytest.FixtureRequest) -> int:
    return request.param


def rows(path: Path, step: int = 1) -> list[dict[str, Any]]:
    if path.suffix == ".json":
        return json.loads(path.read_text())[::step]
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    return [json.loads(line) for line in text.splitlines()][::step]


def grade(verifier: ProgramVerifier, programs: list[tuple[UnitTests, str]]) -> list[Verdict]:
    waiting = [verifier.submit(Problem(str(n), "", "", tests=t), text) for n, (t, text) in enumerate(programs)]
    return [future.result() for future in waiting]


def failures(verifier: ProgramVerifier, programs: list[tuple[UnitTests, str]]) -> list[str]:
    return [verdict.failure for verdict in grade(verifier, programs) if verdict.grade is not Grade.CORRECT]


@pytest.mark.parametrize(
    ("path", "tests", "column"),
    [
        ("humaneval/HumanEval.jsonl.gz", humaneval_tests, "canonical_solution"),
        ("mbpp/mbpp.jsonl", mbpp_tests, "code"),
        ("mbpp/sanitized-mbpp.json", mbpp_tests, "code"),
        ("repair/humanevalfix_python.jsonl.gz", humaneval_tests, "canonical_solution"),
        ("repair/mbpp_failed_first_attempts.jsonl", mbpp_tests, "reference"),
    ],
)
def test_every_reference_is_correct(
    verifier: ProgramVerifier,
    shared_data: Path,
    step: int,
    path: str,
    tests: Callable[[dict[str, Any]], UnitTests],
    column: str,
) -> None:
    programs = [(tests(row), row[column]) for row in rows(shared_data / path, step)]
    assert failures(verifier, programs) == []


@pytest.mark.parametrize(
    ("path", "tests", "column"),
    [
        ("repair/humanevalfix_python.jsonl.gz", humaneval_tests, "buggy_solution"),
        ("repair/mbpp_failed_first_attempts.jsonl", mbpp_tests, "first_attempt"),
    ],
)
def test_no_program_that_is_known_to_fail_is_correct(
    impatient: ProgramVerifier,
    shared_data: Path,
    step: int,
    path: str,
    tests: Callable[[dict[str, Any]], UnitTests],
    column: str,
) -> None:
    programs = [(tests(row), row[column]) for row in rows(shared_data / path, step)]
    assert len(failures(impatient, programs)) == len(programs)


def test_references_that_need_special_care_are_correct(verifier: ProgramVerifier, shared_data: Path) -> None:
    """Helpers of the prompt (32, 38, 50), a check of the candidate against itself (33), setup code after the solution
    (367, 927), classes of the program in the calls (601), names that only the program imports (596), a function that
    shadows a built-in one (126)."""
    humaneval = {row["task_id"]: row for row in rows(shared_data / "humaneval" / "HumanEval.jsonl.gz")}
    mbpp = {row["task_id"]: row for row in rows(shared_data / "mbpp" / "mbpp.jsonl")}
    chosen = [humaneval[f"HumanEval/{number}"] for number in (32, 33, 38, 50, 53)]
    programs = [(humaneval_tests(row), row["canonical_solution"]) for row in chosen]
    programs += [(mbpp_tests(mbpp[n]), mbpp[n]["code"]) for n in (126, 367, 486, 533, 596, 601, 912, 927)]
    assert failures(verifier, programs) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "tests", "passed", "differing"),
    [
        # The labels took the nested `def factorial` and `def tribonacci` of these two bodies for definitions of `f`
        # and `tri`, and ran them without their prompt. As continuations of it, which they are, both are correct.
        ("humaneval_two_attempts_gpt4", "humaneval", (140, 150), {("HumanEval/106", 1), ("HumanEval/130", 1)}),
        ("mbpp_two_attempts_gpt4", "attempts/mbpp_two_attempts_gpt4.jsonl", (324, 311), set()),
    ],
)
def test_recorded_pairs_of_attempts_get_the_labels_they_deserve(
    verifier: ProgramVerifier,
    shared_data: Path,
    name: str,
    tests: str,
    passed: tuple[int, int],
    differing: set[tuple[str, int]],
) -> None:
    kind = "humaneval" if name.startswith("humaneval") else "mbpp"
    unit_tests = load_unit_tests(kind, shared_data / tests)
    recorded = rows(shared_data / "attempts" / f"{name}.jsonl")
    for turn in range(2):
        verdicts = grade(
            verifier, [(unit_tests[task_id(kind, row["problem_id"])], row["attempts"][turn]) for row in recorded]
        )
        correct = [verdict.grade is Grade.CORRECT for verdict in verdicts]
        assert sum(correct) == passed[turn]
        wrong_labels = {
            (row["problem_id"], turn)
            for row, ours in zip(recorded, correct, strict=True)
            if ours != row["passed"][turn]
        }
        assert wrong_labels == {pair for pair in differing if pair[1] == turn}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 8], ids=["a worker per core", "oversubscribed"])
@pytest.mark.parametrize(
    ("name", "tests", "differing"),
    [
        # Whole functions that were labelled without their prompt, whose `encode_shift` the check calls; evalplus'
        # own label (`expected_correct`) of these four is ours.
        ("humaneval_evalplus", "humaneval", {"HumanEval/50": 4}),
        ("mbpp_evalplus", "mbpp/sanitized-mbpp.json", {}),
    ],
)
def test_recorded_evalplus_attempts_get_the_labels_they_deserve(
    shared_data: Path, name: str, tests: str, differing: dict[str, int], workers: int
) -> None:
    kind = "humaneval" if name.startswith("humaneval") else "mbpp"
    unit_tests = load_unit_tests(kind, shared_data / tests)
    recorded = rows(shared_data / "attempts" / f"{name}.jsonl")
    with ProgramVerifier(Grading(workers=workers)) as verifier:
        verdicts = grade(verifier, [(unit_tests[task_id(kind, row["task_id"])], row["attempt"]) for row in recorded])
    differences = [
        row
        for row, verdict in zip(recorded, verdicts, strict=True)
        if (verdict.grade is Grade.CORRECT) != row["rerun_passed"]
    ]
    assert Counter(row["task_id"] for row in differences) == differing
    assert all(row["expected_correct"] for row in differences)
