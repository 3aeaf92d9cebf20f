"""What the paper prints of its hyperparameters stands in conf/, and nowhere else."""

import json
from pathlib import Path

import pytest

from bench.catalogue import compose_plan


@pytest.fixture
def table5(shared_data: Path) -> dict:
    return json.loads((shared_data.parent / "paper" / "paper_numbers.json").read_text())["table5_hyperparameters"]


@pytest.mark.parametrize(("task", "column"), [("math", "math"), ("mbpp", "mbpp"), ("humaneval", "mbpp")])
def test_the_values_of_table_5_are_what_score_trains_with(task: str, column: str, table5: dict):
    plan = compose_plan(["method=score", f"task={task}", "model=transformers", "model.path=some/model"])
    score, rl, printed = plan.experiment.method, plan.experiment.training.rl, table5[column]
    assert rl.optimizer.learning_rate == printed["lr"]
    assert rl.num_steps == printed["steps"]
    assert rl.problems_per_step * rl.samples_per_problem == printed["batch_size"]
    assert rl.sampling.temperature == printed["temperature"]
    assert (score.alpha, score.beta1, score.beta2) == (printed["alpha"], printed["beta1"], printed["beta2"])


def test_the_ablations_differ_from_score_in_one_value_each():
    score = vars(compose_plan(["method=score"]).experiment.method)
    differing = {
        name: {
            field
            for field, value in vars(compose_plan([f"method={name}"]).experiment.method).items()
            if value != score[field]
        }
        for name in ("score_stage1", "score_wo_stage1", "score_wo_reward_shaping", "score_wo_online_turn1")
    }
    assert differing == {
        "score_stage1": {"stage1_fraction"},
        "score_wo_stage1": {"stage1_fraction"},
        "score_wo_reward_shaping": {"alpha"},
        "score_wo_online_turn1": {"offline_fraction"},
    }
