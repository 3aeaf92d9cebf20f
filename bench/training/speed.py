"""Where a stage's time goes: with every update's row, and in one line when the stage ends."""

import sys
from collections import Counter
from dataclasses import asdict

from bench.models.interface import UpdateStats
from bench.training.trainer import Trainer


class Speed:
    """Seconds and tokens from one update to the next, and in all since the stage began or was resumed."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._sum: Counter[str] = Counter()
        self._peak_memory = 0.0
        self._before = self._so_far()

    def step(self, stats: UpdateStats) -> dict[str, float]:
        """What to log of an update: it, and all sampling since the one before."""
        now = self._so_far()
        spent = {name: value - self._before[name] for name, value in now.items()}
        spent |= {"train": stats.seconds, "learned": stats.num_tokens, "flops": stats.flops}
        spent |= {"mfu": (stats.mfu or 0.0) * stats.seconds}
        self._before = now
        self._sum.update(spent)  # pyright: ignore[reportArgumentType]  a counter of floats
        self._peak_memory = max(self._peak_memory, stats.peak_memory_gib)
        row = {f"speed/{name}_seconds": spent[name] for name in _PHASES}
        row |= {f"speed/{name}": value for name, value in _rates(spent).items()}
        return row | {"speed/peak_memory_gib": stats.peak_memory_gib}

    def tell(self, label: str) -> None:
        """One line on the terminal, where there was an update."""
        if not self._sum["train"]:
            return
        rates = _rates(self._sum)
        mfu = f", MFU {rates['mfu']:.0%}" if "mfu" in rates else ""
        seconds = {name: f"{self._sum[name]:.1f} s" for name in _PHASES}
        print(
            f"{label}: generate {seconds['generate']} ({rates.get('generate_tokens_per_second', 0):,.0f} tokens/s), "
            f"grade {seconds['grade_work']} beside it and {seconds['grade_wait']} after it, push {seconds['push']}, "
            f"train {seconds['train']} ({rates['train_tokens_per_second']:,.0f} tokens/s, "
            f"{rates['teraflops_per_second']:.2g} TFLOP/s{mfu}), peak memory {self._peak_memory:.1f} GiB",
            file=sys.stderr,
            flush=True,
        )

    def _so_far(self) -> dict[str, float]:
        rollouts, policy = self._trainer.rollouts, self._trainer.policy
        times = asdict(rollouts.times)
        times["generate"] -= policy.push_seconds  # an engine gets its weights when it is first asked for a reply
        return {**times, "push": policy.push_seconds, "sampled": rollouts.usage.sampled_tokens}


_PHASES = ("generate", "grade_work", "grade_wait", "push", "train")


def _rates(spent: dict[str, float] | Counter[str]) -> dict[str, float]:
    rates = {}
    if spent["generate"] > 0:
        rates["generate_tokens_per_second"] = spent["sampled"] / spent["generate"]
    if spent["train"] > 0:
        rates["train_tokens_per_second"] = spent["learned"] / spent["train"]
        rates["teraflops_per_second"] = spent["flops"] / spent["train"] / 1e12
        if spent["mfu"]:
            rates["mfu"] = spent["mfu"] / spent["train"]
    return rates
