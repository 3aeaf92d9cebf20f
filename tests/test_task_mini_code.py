"""The code miniature: posed in the real formats, solvable, and without two problems that are one."""

import random
import subprocess
import sys

import pytest

from bench.episode import Grade, Problem
from bench.grading.verifier import Grading
from bench.mini import code_world as code
from tests import tasks_in_conf as conf

PROGRAMS = [row["code"] + "\n" + "\n".join(row["test_list"]) for name in code.NUM_ROWS for row in code.mbpp_rows(name)]
FUNCTIONS = [
    f"{row['prompt']}{row['canonical_solution']}{row['test']}check({row['entry_point']})"
    for row in code.humaneval_rows()
]


def all_problems() -> list[Problem]:
    mbpp, humaneval = conf.mini_mbpp(), conf.mini_humaneval()
    return [*(p for split in ("train", "dev", "test") for p in mbpp.problems(split)), *humaneval.problems("test")]


def test_the_miniature_has_its_own_ids_and_sizes() -> None:
    mbpp, humaneval = conf.mini_mbpp(), conf.mini_humaneval()
    assert [len(mbpp.problems(split)) for split in ("train", "dev", "test")] == [400, 100, 200]
    assert mbpp.problems("test")[6].id == mbpp.canonical_id("mbpp/mini/test/0007") == "mbpp/mini/test/0007"
    assert humaneval.problems("test")[7].id == humaneval.canonical_id("humaneval/mini/test/0007")
    assert len(humaneval.problems("test")) == 164


@pytest.mark.parametrize("programs", [PROGRAMS, FUNCTIONS], ids=["mbpp", "humaneval"])
def test_every_reference_program_passes_its_own_tests(programs: list[str]) -> None:
    for program in programs:
        exec(program, {})  # our own programs, not a model's


def test_every_problem_asks_for_another_function() -> None:
    rng = random.Random(0)
    lists = [[rng.randint(-4, 9) for _ in range(rng.randint(4, 6))] for _ in range(300)]
    problems = all_problems()
    answers = set()
    for problem in problems:
        namespace: dict = {}
        exec(problem.gold, namespace)
        answers.add(repr([namespace["solve"](xs) for xs in lists]))
    assert len(answers) == len({problem.question for problem in problems}) == len(problems)


def test_leaving_out_any_step_fails_the_tests() -> None:
    for program in PROGRAMS[:200]:
        lines = program.split("\n")
        steps = [number for number, line in enumerate(lines) if line.startswith("    xs = ")]
        for step in steps:
            with pytest.raises(AssertionError):
                exec("\n".join(lines[:step] + lines[step + 1 :]), {})


def test_the_world_is_the_same_in_every_process() -> None:
    script = (
        "from bench.mini import code_world as code; print(hash(repr(code.humaneval_rows() + code.mbpp_rows('test'))))"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONHASHSEED": "0"}, check=True, capture_output=True
        ).stdout
        for _ in range(2)
    }
    assert len(hashes) == 1


def test_the_real_grader_accepts_the_references_and_no_other_program() -> None:
    sample = all_problems()[::29]
    with conf.mbpp().verifier(Grading(workers=2)) as verifier:
        right = [verifier.submit(problem, problem.gold) for problem in sample]
        wrong = [verifier.submit(problem, "def solve(xs):\n    return 'no such answer'") for problem in sample]
        assert {future.result().grade for future in right} == {Grade.CORRECT}
        assert {future.result().grade for future in wrong} == {Grade.WRONG}
