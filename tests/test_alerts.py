"""What training shouts about."""

import logging

import pytest

from bench.training.alerts import Alerter, AlertThresholds

HEALTHY = {"train/answer_change_rate": 0.4, "train/entropy@t1": 0.5, "train/truncated@t1": 0.0}


def test_a_healthy_step_raises_no_alert():
    assert AlertThresholds().of(HEALTHY, rewards_equal=False) == {}


@pytest.mark.parametrize(
    ("changed", "equal", "alert"),
    [
        ({"train/answer_change_rate": 0.01}, False, "collapse"),
        ({"train/entropy@t1": 0.001}, False, "entropy@t1"),
        ({"train/truncated@t1": 0.6}, False, "truncated@t1"),
        ({}, True, "no_signal"),
        ({"train/accuracy@t1": 0.0, "train/accuracy@t2": 0.0}, False, "no_reward"),
        ({"train/logprob_diff@t1": 0.2}, False, "mismatch@t1"),
    ],
)
def test_each_failure_has_its_alert(changed: dict[str, float], equal: bool, alert: str):
    first = {"train/logprob_diff@t1": 0.015}
    assert list(AlertThresholds().of({**HEALTHY, **changed}, rewards_equal=equal, first=first)) == [alert]


def test_a_mismatch_is_told_with_its_size_and_how_often_it_is_the_first_steps():
    row = {**HEALTHY, "train/logprob_diff@t1": 0.2}
    found = AlertThresholds().of(row, rewards_equal=False, first={"train/logprob_diff@t1": 0.02})
    assert "0.2000 nats per token, 10 times as much" in found["mismatch@t1"]


@pytest.mark.parametrize(
    "row",
    [
        {"train/accuracy@t1": 0.0, "train/accuracy@t2": 0.1},
        {"train/logprob_diff@t1": 0.07},  # less than five times the first step's
        {"train/logprob_diff@t2": 0.004},  # rounding, though the first step had none
    ],
)
def test_some_reward_and_a_little_mismatch_are_no_alert(row: dict[str, float]):
    first = {"train/logprob_diff@t1": 0.015, "train/logprob_diff@t2": 0.0}
    assert AlertThresholds().of({**HEALTHY, **row}, rewards_equal=False, first=first) == {}


def test_a_threshold_itself_is_no_alarm():
    thresholds = AlertThresholds(answer_change_below=0.1, entropy_below=0.2, truncated_above=0.3)
    row = {"train/answer_change_rate": 0.1, "train/entropy@t1": 0.2, "train/truncated@t1": 0.3}
    mismatch = {"train/logprob_diff@t1": 5 * 0.25}
    assert thresholds.of(row | mismatch, rewards_equal=False, first={"train/logprob_diff@t1": 0.25}) == {}


def test_one_attempt_alone_changes_no_answer_and_has_not_collapsed():
    row = {name: value for name, value in HEALTHY.items() if name != "train/answer_change_rate"}
    assert AlertThresholds(answer_change_below=1.0).of(row, rewards_equal=False) == {}


def test_every_reply_in_trouble_is_named_with_its_number_and_alerts_stand_in_the_order_of_their_names():
    told: dict[str, str] = {}
    row = {"train/truncated@t2": 0.6, "train/truncated@t1": 0.5, "train/entropy@t1": 0.001, "train/entropy@t2": 1.0}
    alerter = Alerter(AlertThresholds(), "score stage2", tell=lambda title, why: told.update({title: why}))
    assert alerter.step({**row, "train/answer_change_rate": 0.01}, rewards_equal=True) == [
        "collapse",
        "entropy@t1",
        "no_signal",
        "truncated@t1",
        "truncated@t2",
    ]
    for name, number in (("collapse", "1.0%"), ("entropy@t1", "0.0010 nats"), ("truncated@t2", "60%")):
        assert number in told[f"score stage2: {name}"]


def test_an_alert_is_reported_when_it_begins_and_again_only_after_it_ended(caplog: pytest.LogCaptureFixture):
    titles = []
    alerter = Alerter(AlertThresholds(), "score stage2", tell=lambda title, _: titles.append(title))
    collapsed = {**HEALTHY, "train/answer_change_rate": 0.0}
    with caplog.at_level(logging.WARNING):
        alerts = [alerter.step(step, rewards_equal=False) for step in (collapsed, collapsed, HEALTHY, collapsed)]
    assert alerts == [["collapse"], ["collapse"], [], ["collapse"]]
    assert titles == ["score stage2: collapse"] * 2
    assert caplog.text.count("ALERT score stage2: collapse") == 2
