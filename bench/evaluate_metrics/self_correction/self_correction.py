"""The five self-correction metrics for the `evaluate` library: evaluate.load("bench/evaluate_metrics/self_correction").

Needs this project installed, and nothing else of it: no run folders, no configuration.
"""

import datasets
import evaluate
import pandas as pd

from bench.episode import Grade, Problem
from bench.metrics.episode_metrics import summarise

_DESCRIPTION = """\
Accuracy of each attempt at a problem, and what further attempts change: delta is the gain from the first attempt to
the second, delta_i_to_c the share of all problems that were wrong and became right, delta_c_to_i the share that were
right and became wrong. All are fractions of all problems, and delta = delta_i_to_c - delta_c_to_i.
"""
_INPUTS = """\
With the configuration "math" (the default), predictions holds, for each problem, the texts of its attempts in order,
and references the gold answer. With "graded", predictions holds whether each attempt is correct, and there are no
references. Every problem must have as many attempts as the others.

>>> metric = evaluate.load("bench/evaluate_metrics/self_correction", "graded")
>>> metric.compute(predictions=[[True, True], [False, True]])["delta"]
0.5
"""
_CITATION = "Kumar et al. 2024, Training Language Models to Self-Correct via Reinforcement Learning, arXiv:2409.12917"
_FEATURES = {
    "math": {
        "predictions": datasets.Sequence(datasets.Value("string")),
        "references": datasets.Value("string"),
    },
    "graded": {"predictions": datasets.Sequence(datasets.Value("bool"))},
}


class SelfCorrection(evaluate.Metric):
    """Rates by name, as `bench.metrics.episode_metrics.summarise` has them."""

    def _info(self) -> evaluate.MetricInfo:
        name = "math" if self.config_name == "default" else self.config_name
        if name not in _FEATURES:
            raise ValueError(f"there is no configuration {name!r}; choose one of {', '.join(_FEATURES)}")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(_FEATURES[name]),
        )

    def _compute(self, predictions: list, references: list[str] | None = None) -> dict[str, float]:
        if references is None:
            grades = [[Grade.CORRECT if right else Grade.WRONG for right in attempts] for attempts in predictions]
        else:
            grades = _grade_answers(predictions, references)
        rows = [
            {"problem_id": str(number), "sample": 0} | {f"grade_{t}": grade for t, grade in enumerate(row, start=1)}
            for number, row in enumerate(grades)
        ]
        metrics = summarise(pd.DataFrame(rows))
        return {name: value for name, value in metrics.items() if name.startswith(("accuracy", "delta"))}


def _grade_answers(attempts: list[list[str]], golds: list[str]) -> list[list[Grade]]:
    from bench.grading.answers.verifier import AnswerVerifier  # late: it starts worker processes, "graded" needs none
    from bench.grading.verifier import Grading

    problems = [Problem(str(number), question="", gold=gold) for number, gold in enumerate(golds)]
    with AnswerVerifier(Grading()) as verifier:
        submitted = [
            [verifier.submit(problem, text) for text in texts]
            for problem, texts in zip(problems, attempts, strict=True)
        ]
        return [[verdict.result().grade for verdict in row] for row in submitted]
