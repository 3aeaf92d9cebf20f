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


@pytest.mark.parametrize("model", [["model=mini"], ["model=transformers", "model.path=some/model"]], ids=str)
@pytest.mark.parametrize("task", ["math", "mbpp"])
def test_supervised_methods_sample_as_many_conversations_as_reinforcement(task: str, model: list[str]):
    training = compose_plan([f"task={task}", *model]).experiment.training
    reinforced = training.rl.num_steps * training.rl.problems_per_step * training.rl.samples_per_problem
    for num_problems in (371, 1200, 12_000):
        assert training.collected(num_problems) * num_problems == pytest.approx(reinforced, abs=num_problems / 2)
    assert training.collected(1200, share=0.5) * 2 == pytest.approx(training.collected(1200), abs=1)


def test_updates_of_imitation_are_as_many_as_are_set_and_part_of_them_after_stage_one():
    training = compose_plan(["training.sft.num_updates=30"]).experiment.training
    assert (training.imitation_updates(share=1.0), training.imitation_updates(share=0.5)) == (30, 15)
    assert compose_plan([]).experiment.training.imitation_updates(share=1.0) is None


def test_supervised_methods_learn_with_reinforcements_rate_and_batch_at_the_papers_scale():
    for task in ("math", "mbpp", "humaneval"):
        training = compose_plan([f"task={task}", "training=paper"]).experiment.training
        assert training.sft.optimizer.learning_rate == training.rl.optimizer.learning_rate
        assert training.sft.batch_size == training.rl.problems_per_step * training.rl.samples_per_problem


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
