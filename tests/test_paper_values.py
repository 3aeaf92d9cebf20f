"""What the paper prints of its hyperparameters stands in conf/, and nowhere else."""

import json
from pathlib import Path

import pytest

from bench.episode import Problem
from bench.launch.catalogue import compose_spec
from bench.methods.star import deal
from bench.training.collection import samples_of


@pytest.fixture
def table5(shared_data: Path) -> dict:
    return json.loads((shared_data.parent / "paper" / "paper_numbers.json").read_text())["table5_hyperparameters"]


@pytest.mark.parametrize(("task", "column"), [("math", "math"), ("mbpp", "mbpp"), ("humaneval", "mbpp")])
def test_the_values_of_table_5_are_what_score_trains_with(task: str, column: str, table5: dict):
    spec = compose_spec(["method=score", f"task={task}", "model=transformers", "model.path=some/model"])
    training, printed = spec.experiment.training, table5[column]
    rl = training.rl
    assert rl.optimizer.learning_rate == printed["lr"]
    assert rl.num_steps == printed["steps"]
    assert rl.conversations_per_step == printed["batch_size"]
    assert rl.sampling.temperature == printed["temperature"]
    assert (training.alpha, training.beta1, training.beta2) == (printed["alpha"], printed["beta1"], printed["beta2"])


@pytest.mark.parametrize("model", [["model=mini"], ["model=transformers", "model.path=some/model"]], ids=str)
@pytest.mark.parametrize("task", ["math", "mbpp"])
def test_supervised_methods_sample_as_many_conversations_as_reinforcement(task: str, model: list[str]):
    training = compose_spec([f"task={task}", *model]).experiment.training
    reinforced = training.rl.num_steps * training.rl.conversations_per_step
    for num_problems in (371, 1200, 12_000):
        assert training.num_conversations(num_problems) == reinforced
        assert training.budget_missed(num_problems) is None
        for num_iterations in (1, 2, 3, 7):
            shares = deal(reinforced, num_problems=num_problems, num_iterations=num_iterations)
            assert len(shares) == num_iterations
            assert sum(shares) == reinforced


@pytest.mark.parametrize(
    ("num_conversations", "shares"),
    [
        (38_400, [13_200, 13_200, 12_000]),  # 32 samples of each of 1,200 problems: 11, 11 and 10
        (38_500, [13_200, 13_200, 12_100]),
        (12_800, [4_800, 4_400, 3_600]),  # 10 of each, and 800 more
        (2_560, [854, 853, 853]),  # not one sample of each problem for each iteration
        (2, [1, 1, 1]),
    ],
)
def test_the_budget_is_dealt_to_iterations_in_whole_samples_of_each_problem(num_conversations: int, shares: list[int]):
    assert deal(num_conversations, num_problems=1200, num_iterations=3) == shares


def test_each_problem_is_sampled_equally_often_but_for_a_random_part_that_is_sampled_once_more():
    problems = [Problem(str(number), "", "") for number in range(1200)]
    samples = samples_of(problems, 2560, seed=0)
    assert sum(samples.values()) == 2560
    assert set(samples.values()) == {2, 3}
    more = [place for place, count in enumerate(samples.values()) if count == 3]
    assert max(more) > 1000  # not the first ones, which may be of one subject
    assert set(samples_of(problems, 38_400, seed=0).values()) == {32}


def test_a_number_of_samples_that_misses_the_budget_is_told_in_one_line_while_planning():
    overrides = ["method=pair_sft", "model=mini", "training.rl.num_steps=20"]
    assert compose_spec(overrides).budget_missed() is None
    message = compose_spec([*overrides, "training.sft.samples_per_problem=3"]).budget_missed()
    assert message is not None
    assert "gives supervised methods 3,600 conversations" in message
    assert "num_steps=20 in batches of 128, is 2,560" in message
    assert "\n" not in message
    assert compose_spec([*overrides, "method=base", "training.sft.samples_per_problem=3"]).budget_missed() is None


def test_updates_of_imitation_are_as_many_as_are_set_and_part_of_them_after_stage_one():
    training = compose_spec(["training.sft.num_updates=30"]).experiment.training
    assert (training.imitation_updates(), training.imitation_updates(num_steps=training.rl.num_steps // 2)) == (30, 15)
    assert compose_spec([]).experiment.training.imitation_updates() is None


def test_supervised_methods_learn_with_reinforcements_rate_and_batch_at_the_papers_scale():
    for task in ("math", "mbpp", "humaneval"):
        training = compose_spec([f"task={task}", "training=paper"]).experiment.training
        assert training.sft.optimizer.learning_rate == training.rl.optimizer.learning_rate
        assert training.sft.batch_size == training.rl.conversations_per_step


def test_the_ablations_differ_from_score_in_one_value_each():
    score = vars(compose_spec(["method=score"]).experiment.method)
    differing = {
        name: {
            field
            for field, value in vars(compose_spec([f"method={name}"]).experiment.method).items()
            if value != score[field]
        }
        for name in ("score_stage1", "score_wo_stage1", "score_wo_reward_shaping", "score_wo_online_turn1")
    }
    assert differing == {
        "score_stage1": {"stage2"},
        "score_wo_stage1": {"stage1"},
        "score_wo_reward_shaping": {"reward_shaping"},
        "score_wo_online_turn1": {"offline_fraction"},
    }
