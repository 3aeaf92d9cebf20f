"""Sandboxed unit tests for the `evaluate` library: evaluate.load("bench/evaluate_metrics/code_execution").

The verdict is formed outside the candidate's process; `bench.grading.programs.verifier` says how. Needs this project
installed.
"""

from statistics import fmean
from typing import Any

import datasets
import evaluate

from bench.episode import Problem, UnitTests
from bench.grading.programs.formats import humaneval_tests
from bench.grading.programs.verifier import ProgramVerifier
from bench.grading.verifier import Grading
from bench.metrics.episode_metrics import pass_at_k

_DESCRIPTION = """\
Runs programs against unit tests in a sandbox. pass@k is the unbiased chance that one of k samples of a problem passes
all its tests; grades and passed hold each program's verdict.
"""
_INPUTS = """\
predictions holds, for each problem, its programs (chat text around them is taken off). With the configuration "mbpp"
(the default), references holds for each problem a list of assert statements; with "humaneval", its prompt, test and
entry_point. compute() takes k, a list of numbers (default [1]), and seconds, the time limit of a program (default 10).

>>> metric = evaluate.load("bench/evaluate_metrics/code_execution")
>>> add = "def add(a, b): return a + b"
>>> metric.compute(predictions=[[add]], references=[["assert add(2, 3) == 5"]])["pass@1"]
1.0
"""
_CITATION = "Chen et al. 2021, Evaluating Large Language Models Trained on Code, arXiv:2107.03374 (pass@k)"
_REFERENCES = {
    "mbpp": datasets.Sequence(datasets.Value("string")),
    "humaneval": {name: datasets.Value("string") for name in ("prompt", "test", "entry_point")},
}


class CodeExecution(evaluate.Metric):
    """`passed` is what the metric self_correction takes with its configuration "graded"."""

    def _info(self) -> evaluate.MetricInfo:
        name = "mbpp" if self.config_name == "default" else self.config_name
        if name not in _REFERENCES:
            raise ValueError(f"there is no configuration {name!r}; choose one of {', '.join(_REFERENCES)}")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Sequence(datasets.Value("string")), "references": _REFERENCES[name]}
            ),
        )

    def _compute(
        self, predictions: list[list[str]], references: list, k: tuple[int, ...] = (1,), seconds: float = 10.0
    ) -> dict[str, Any]:
        problems = [
            Problem(str(number), question="", gold="", tests=_unit_tests(reference))
            for number, reference in enumerate(references)
        ]
        with ProgramVerifier(Grading(program_seconds=seconds)) as verifier:
            submitted = [
                [verifier.submit(problem, text) for text in texts]
                for problem, texts in zip(problems, predictions, strict=True)
            ]
            grades = [[future.result().grade.value for future in row] for row in submitted]
        passed = [[grade == "correct" for grade in row] for row in grades]
        rates: dict[str, Any] = {
            f"pass@{size}": fmean(pass_at_k(num_samples=len(row), num_correct=sum(row), k=size) for row in passed)
            for size in k
        }
        return rates | {"grades": grades, "passed": passed}


def _unit_tests(reference: list[str] | dict[str, str]) -> UnitTests:
    return humaneval_tests(reference) if isinstance(reference, dict) else UnitTests(asserts=tuple(reference))
