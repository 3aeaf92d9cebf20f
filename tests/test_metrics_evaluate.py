"""The metrics as parts of the `evaluate` library, loaded by path, without a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "bench" / "evaluate_metrics"
HUMANEVAL_ROW = {
    "prompt": 'def add(a, b):\n    """The sum."""\n',
    "test": "def check(candidate):\n    assert candidate(2, 3) == 5\n",
    "entry_point": "add",
}
ASKED = {  # metric, configuration, inputs
    "graded": (
        "self_correction",
        "graded",
        {"predictions": [[True, True], [True, False], [False, True], [False, False], [False, True]]},
    ),
    "math": (
        "self_correction",
        "default",
        {
            "predictions": [
                ["so it is 3", r"Thus \boxed{\frac{1}{2}}."],
                [r"\boxed{7}", "Final Answer: The final answer is $8$."],
            ],
            "references": ["0.5", "7"],
        },
    ),
    "mbpp": (
        "code_execution",
        "default",
        {
            "predictions": [["def add(a, b): return a + b", "def add(a, b): return a"]],
            "references": [["assert add(2, 3) == 5"]],
            "k": [1, 2],
        },
    ),
    "humaneval": (
        "code_execution",
        "humaneval",
        {"predictions": [["    return a + b\n"]], "references": [HUMANEVAL_ROW]},
    ),
}
COMPUTE_ALL = """
import evaluate, json, os, sys
calls, folder = json.load(sys.stdin), sys.argv[1]
json.dump(
    {
        name: evaluate.load(os.path.join(folder, metric), configuration).compute(**inputs)
        for name, (metric, configuration, inputs) in calls.items()
    },
    sys.stdout,
)
"""


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All in one fresh process: `evaluate` reads its cache folder and offline switch when imported, which is slow."""
    cache = str(tmp_path_factory.mktemp("hub"))
    environment = os.environ | {"HF_HOME": cache, "HF_HUB_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1"}
    command = [sys.executable, "-c", COMPUTE_ALL, str(FOLDER)]
    done = subprocess.run(
        command, input=json.dumps(ASKED), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_graded_attempts_give_the_five_metrics(computed: dict[str, Any]) -> None:
    assert computed["graded"] == {
        "accuracy@t1": 0.4,
        "accuracy@t2": 0.6,
        "delta": pytest.approx(0.2),
        "delta_i_to_c": 0.4,
        "delta_c_to_i": 0.2,
    }


def test_math_attempts_are_graded_against_the_gold_answer(computed: dict[str, Any]) -> None:
    metrics = computed["math"]
    assert (metrics["delta_i_to_c"], metrics["delta_c_to_i"]) == (0.5, 0.5)


def test_programs_are_run_against_asserts(computed: dict[str, Any]) -> None:
    expected = {"pass@1": 0.5, "pass@2": 1.0, "grades": [["correct", "wrong"]], "passed": [[True, False]]}
    assert computed["mbpp"] == expected


def test_completions_are_run_after_humanevals_prompt(computed: dict[str, Any]) -> None:
    assert computed["humaneval"]["pass@1"] == 1.0
