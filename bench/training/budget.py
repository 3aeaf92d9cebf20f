"""The one budget that all trained methods share, by kind of training."""

from dataclasses import dataclass

from bench.training.fine_tune import FineTuning
from bench.training.reinforce import Reinforcement


@dataclass(kw_only=True)
class Training:
    """Values in conf/training/<name>.yaml, with those of a task in conf/tuned/<name>/<task>.yaml."""

    rl: Reinforcement
    sft: FineTuning
