"""What to warn of while training runs: the ways in which self-correction training fails without an error."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_LOG = logging.getLogger(__name__)

_ROUNDING = 1e-3  # nats per token


@dataclass(kw_only=True)
class AlertThresholds:
    """Thresholds on a step's metrics. Crossing one is reported, in the log, train.jsonl and W&B, when it begins."""

    answer_change_below: float = 0.05  # collapse: asked again, the model repeats itself (the paper's Figure 6)
    entropy_below: float = 0.01  # nats per token: nothing is left to explore
    truncated_above: float = 0.25  # share of replies cut at the length limit
    # How many times the stage's first step's |sampler − learner| a step's may be. TRL's issue 5312: 0.015 nats per
    # token with the learner's weights in the sampler, 0.201 with stale ones. Less than a thousandth is rounding.
    mismatch_times: float = 5.0

    def of(
        self, row: Mapping[str, float], *, rewards_equal: bool, first: Mapping[str, float] | None = None
    ) -> dict[str, str]:
        """The alerts of one step, by name, with what to look at; `first` is the stage's first step."""
        found = {}
        accuracies = [value for name, value in row.items() if name.startswith("train/accuracy@")]
        if accuracies and not any(accuracies):
            found["no_reward"] = "no attempt was right: look at replies, at the prompt's format and at how it is graded"
        if row.get("train/answer_change_rate", 1.0) < self.answer_change_below:
            found["collapse"] = f"only {row['train/answer_change_rate']:.1%} of answers change when asked again"
        if rewards_equal:
            found["no_signal"] = "every sample of every problem earned the same: this step's rewards taught nothing"
        for name, value in row.items():
            if name.startswith("train/logprob_diff@"):
                least = max((first or row).get(name, value), _ROUNDING)
                if value > self.mismatch_times * least:
                    found[name.replace("train/logprob_diff", "mismatch")] = (
                        f"sampler and learner differ by {value:.4f} nats per token, {value / least:.0f} times as much "
                        "as at first: the sampler has stale weights, or computes in another way"
                    )
            if name.startswith("train/entropy@") and value < self.entropy_below:
                found[name.replace("train/", "")] = f"{value:.4f} nats per token are left"
            if name.startswith("train/truncated@") and value > self.truncated_above:
                found[name.replace("train/", "")] = f"{value:.0%} of replies are cut: raise model.max_tokens"
        return found


class Alerter:
    """Reports each alert when it begins, not at every step that it lasts."""

    def __init__(self, thresholds: AlertThresholds, label: str, *, tell: Callable[[str, str], None]) -> None:
        self._thresholds = thresholds
        self._tell = tell
        self._label = label
        self._lasting: set[str] = set()

    def step(
        self, row: Mapping[str, float], *, rewards_equal: bool, first: Mapping[str, float] | None = None
    ) -> list[str]:
        """The names of the alerts at this step; those that begin with it are reported."""
        now = self._thresholds.of(row, rewards_equal=rewards_equal, first=first)
        for name, why in now.items():
            if name not in self._lasting:
                _LOG.warning("ALERT %s: %s: %s", self._label, name, why)
                self._tell(f"{self._label}: {name}", why)
        self._lasting = set(now)
        return sorted(now)
