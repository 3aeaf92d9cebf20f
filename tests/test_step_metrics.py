"""What is logged of a training step, by hand."""

import pytest

from bench.episode import Attempt, Completion, Episode, Problem, Reflection
from bench.models.interface import UpdateStats
from bench.training.step_metrics import step_metrics
from tests.made_episodes import attempt

STATS = UpdateStats(
    loss=0.5,
    trained_tokens=12,
    kl={"t1": 0.1, "t2": 0.2},
    entropy={"t1": 1.1},
    logprob_diff={"t2": 0.01},
    grad_norm=3.0,
    learning_rate=1e-3,
)
OF_EPISODES = {f"train/{name}" for name in ("reward", "accuracy", "truncated", "tokens")}


def conversation(*replies: Attempt | Reflection) -> Episode:
    return Episode(Problem("p", "?", "right"), 0, (), ((0, 0),) * len(replies), replies)


def test_rewards_lengths_and_accuracies_are_means_over_the_replies_of_one_name():
    critique = Reflection(Completion("hm", (1, 2, 3), (0.0,) * 3, truncated=True), "critique")
    episodes = [
        conversation(attempt(correct=False, ids=range(2)), critique, attempt(correct=True, ids=range(6))),
        conversation(attempt(correct=True, ids=range(4), truncated=True), attempt(correct=False, ids=range(8))),
        conversation(attempt(correct=True, ids=range(9))),  # it ended early, and keeps its answer
    ]
    row = step_metrics(episodes, [(1.0, 0.0, 4.0), (2.0, -9.0), (6.0,)], STATS)
    assert {name: value for name, value in row.items() if name.startswith("train/accuracy")} == {
        "train/accuracy@t1": pytest.approx(2 / 3),
        "train/accuracy@t2": pytest.approx(2 / 3),
    }
    assert row["train/reward"] == pytest.approx((5 - 7 + 6) / 3)
    of_replies = {
        "t1": {"reward": 3.0, "truncated": 1 / 3, "tokens": 5.0},
        "critique1": {"reward": 0.0, "truncated": 1.0, "tokens": 3.0},
        "t2": {"reward": -2.5, "truncated": 0.0, "tokens": 7.0},
    }
    for label, values in of_replies.items():
        for name, value in values.items():
            assert row[f"train/{name}@{label}"] == pytest.approx(value), (name, label)


def test_an_answer_changes_from_the_last_attempt_but_one_to_the_last():
    def said(*texts: str) -> Episode:
        return conversation(*(attempt(correct=False, text=text) for text in texts))

    def rate(*episodes: Episode) -> float | None:
        return step_metrics(episodes, [(0.0,) * len(each.replies) for each in episodes], STATS).get(
            "train/answer_change_rate"
        )

    assert rate(said("a", "b", "b"), said("a", "a", "b")) == 0.5
    assert rate(said("a", "b"), said("a")) == 0.5  # none follows that could differ
    assert rate(said("a", "a")) == 0.0
    assert rate(said("a"), said("b")) is None


def test_what_the_update_says_of_itself_is_logged_under_its_name():
    row = step_metrics([conversation(attempt(correct=True))], [(1.0,)], STATS)
    told = {name: value for name, value in row.items() if name.split("@")[0] not in OF_EPISODES}
    assert told == {
        "train/loss": 0.5,
        "train/trained_tokens": 12,
        "train/grad_norm": 3.0,
        "train/learning_rate": 1e-3,
        "train/kl@t1": 0.1,
        "train/kl@t2": 0.2,
        "train/entropy@t1": 1.1,
        "train/logprob_diff@t2": 0.01,
    }
