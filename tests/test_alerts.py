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
    ],
)
def test_each_failure_has_its_alert(changed: dict[str, float], equal: bool, alert: str):
    assert list(AlertThresholds().of({**HEALTHY, **changed}, rewards_equal=equal)) == [alert]


def test_an_alert_is_reported_when_it_begins_and_again_only_after_it_ended(caplog: pytest.LogCaptureFixture):
    titles = []
    alerter = Alerter(AlertThresholds(), "score stage2", tell=lambda title, _: titles.append(title))
    collapsed = {**HEALTHY, "train/answer_change_rate": 0.0}
    with caplog.at_level(logging.WARNING):
        alerts = [alerter.step(step, rewards_equal=False) for step in (collapsed, collapsed, HEALTHY, collapsed)]
    assert alerts == [["collapse"], ["collapse"], [], ["collapse"]]
    assert titles == ["score stage2: collapse"] * 2
    assert caplog.text.count("ALERT score stage2: collapse") == 2
