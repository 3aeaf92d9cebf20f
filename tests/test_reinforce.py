"""The loop of reinforcement: which problems a step sees, which checkpoint a stage ends with, what it may cost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bench.conduct import conduct
from bench.episode import Problem, TrainingSample
from bench.launch.catalogue import compose_spec
from bench.models.interface import NonFiniteGradientError, UpdateStats
from bench.models.scripted import Scripted
from bench.runs.finished import find_runs, log_of
from bench.training.advantages import per_attempt
from bench.training.reinforce import problems_of_step, training_samples
from bench.training.stages import Reinforce
from tests.made_episodes import episode
from tests.test_experiment import scripted

PROBLEMS = [Problem(str(number), "?", "!") for number in range(10)]


def ids(step: int, *, size: int, seed: int = 0) -> list[str]:
    return [problem.id for problem in problems_of_step(PROBLEMS, step, size=size, seed=seed)]


@pytest.mark.parametrize("size", range(1, 11))
def test_no_problem_stands_twice_in_a_step_and_none_twice_in_a_pass(size: int):
    steps_per_pass = len(PROBLEMS) // size
    for first in range(0, 6 * steps_per_pass, steps_per_pass):
        seen = [each for step in range(first, first + steps_per_pass) for each in ids(step, size=size)]
        assert len(seen) == steps_per_pass * size
        assert max(Counter(seen).values()) == 1


def test_every_pass_has_its_own_order_and_what_one_leaves_over_comes_in_another():
    passes = [tuple(each for step in (2 * n, 2 * n + 1) for each in ids(step, size=4)) for n in range(20)]
    assert len(set(passes)) == 20
    assert {each for seen in passes for each in seen} == {problem.id for problem in PROBLEMS}
    assert ids(0, size=4, seed=0) != ids(0, size=4, seed=1)


def test_a_step_larger_than_the_training_split_is_refused_with_the_value_that_works():
    with pytest.raises(ValueError, match=r"set training\.rl\.problems_per_step=10 or less"):
        ids(0, size=11)


def test_checkpoints_are_compared_by_the_stages_summed_reward_with_its_bonus(tmp_path: Path):
    conduct(scripted(tmp_path, "method=score", "training.stage1_fraction=0.5"))
    log = log_of(find_runs(tmp_path)[0])
    summed = log["train/reward@t1"] + log["train/reward@t2"]
    assert log["train/reward"].tolist() == pytest.approx(summed.tolist())
    stage2 = log[log["stage"] == "stage2"]
    accuracy_gained = stage2["train/accuracy@t2"] - stage2["train/accuracy@t1"]
    plain = stage2["train/accuracy@t1"] + stage2["train/accuracy@t2"]
    assert stage2["train/reward"].tolist() == pytest.approx((plain + 10 * accuracy_gained).tolist())
    assert accuracy_gained.abs().max() > 0
    for stage in ("stage1", "stage2"):
        steps = log[log["stage"] == stage]  # of two steps, and the stage's only one
        assert steps["selection/mean_reward"].dropna().tolist() == pytest.approx([steps["train/reward"].mean()])


def test_a_baseline_without_noise_of_the_past_changes_weights_and_no_reward(tmp_path: Path):
    logs = []
    for baseline in ("loo", "loo_residual"):
        conduct(scripted(tmp_path / baseline, "method=score", f"method.baseline={baseline}"))
        logs.append(log_of(find_runs(tmp_path / baseline)[0]))
    assert logs[0]["train/reward"].tolist() == logs[1]["train/reward"].tolist()
    group = [episode(rewards) for rewards in ((0, 1), (1, 1))]
    stage = Reinforce(
        name="x",
        num_steps=1,
        reward=lambda _: (9.0, 9.0),
        advantage_reward=per_attempt(tuple),
        kl_coefs=(0.0,),
    )
    assert [sample.advantages for sample in training_samples(group, stage, group_size=2)] == [(-1.0, 0.0), (1.0, 0.0)]


@pytest.mark.parametrize("fraction", [0.3, 1.0])
def test_offline_first_attempts_are_paid_for_by_those_that_stage_two_does_not_sample(fraction: float, tmp_path: Path):
    budgets = {}
    for method, override in (("score", "score"), ("score_wo_online_turn1", f"method.offline_fraction={fraction}")):
        overrides = [] if method == "score" else [override]
        conduct(scripted(tmp_path / method, f"method={method}", *overrides))
        budgets[method] = find_runs(tmp_path / method)[0].manifest("greedy").usage
    plain, offline = budgets["score"], budgets["score_wo_online_turn1"]
    assert offline["updates"] == plain["updates"]
    for kind in ("sampled_episodes", "sampled_attempts"):
        assert 0 < offline[kind] <= plain[kind]


def test_two_names_of_one_training_are_one_plan():
    one, other = (compose_spec([f"method={name}"]) for name in ("single_turn_rl", "score_wo_multi_turn"))
    assert one.key == other.key
    assert one.config == other.config


class FailingUpdates:
    """Makes the scripted policy's update fail at chosen calls, and remembers what each call was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, failing: set[int]) -> None:
        self.seen: list[list[str]] = []
        update = Scripted.update

        def sometimes(policy: Scripted, samples: list[TrainingSample]) -> UpdateStats:
            self.seen.append([attempt.completion.text for sample in samples for attempt in sample.episode.attempts])
            if len(self.seen) in failing:
                raise NonFiniteGradientError("the gradient's norm is nan")
            return update(policy, samples)

        monkeypatch.setattr(Scripted, "update", sometimes)


def test_an_update_without_a_finite_gradient_is_made_again_with_new_samples_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    updates = FailingUpdates(monkeypatch, failing={2, 3})
    conduct(scripted(tmp_path, "method=multi_turn_rl"))
    skipped = [message for message in caplog.messages if "update skipped" in message]
    assert (
        skipped == [f"{find_runs(tmp_path)[0].key} multi_turn, step 2: update skipped, the gradient's norm is nan"] * 2
    )
    log = log_of(find_runs(tmp_path)[0])
    assert log["train/skipped"].tolist()[:3] == [0, 2, 0]
    assert log["step"].tolist() == list(range(1, len(log) + 1))
    assert updates.seen[1] != updates.seen[2] != updates.seen[3]


@pytest.mark.parametrize("method", ["multi_turn_rl", "star_plus"])
def test_three_updates_in_a_row_without_a_finite_gradient_stop_the_run_with_the_cause(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    FailingUpdates(monkeypatch, failing={1, 2, 3})
    with pytest.raises(ValueError, match=r"3 updates in a row had no finite gradient .* lower the optimizer's"):
        conduct(scripted(tmp_path, f"method={method}", "training.sft.batch_size=1", "training.sft.num_epochs=3"))
