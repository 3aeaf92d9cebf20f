"""Peak memory of 10,000 and of 100,000 conversations: `python -m tests.perf.conversations [--json FILE]`.

A scripted model answers arithmetic problems in two attempts of about 200 characters each. The conversations go the way
of a supervised method and of an evaluation: sampled in chunks, graded, kept on disk, written as training data, read
back in batches in random order; and sampled in parts, joined, and summarised. Each measurement is a process of its own.
Its memory is the highest resident size, less what the process holds before it begins.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.episode import Problem, SamplingParams
from bench.evaluation import Evaluation, evaluate
from bench.launch.catalogue import compose_spec
from bench.metrics.episode_metrics import summarise
from bench.models.scripted import Scripted
from bench.rollout import RolloutWorker
from bench.runs.folder import Run, RunKey
from bench.training.collection import collect
from bench.training.stages import Imitate
from bench.training.trainer import Trainer
from tests.made_episodes import EqualsGold, Riddles, ask_again

NUMBERS = (10_000, 100_000)
PACKAGES = ("numpy", "pandas", "pyarrow")
SAMPLES_PER_PROBLEM = 10
SAMPLING = SamplingParams(max_tokens=1000)
BATCH_SIZE = 64
REPLIES = [f"{'The sum is found by adding the parts one by one. ' * 4}Final Answer: {number}" for number in range(7)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--measure", nargs=2, metavar=("PATH", "NUMBER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        which, number = options.measure
        print(json.dumps(measured(which, int(number))))
        return
    figures = []
    print(f"{'what':<12}{'conversations':>14}{'MiB at its peak':>17}{'bytes on disk each':>20}", end="")
    print(f"{'seconds':>9}{'each, µs':>10}")
    for which in ("collection", "evaluation"):
        for number in NUMBERS:
            told = in_a_process(which, number)
            figures.append(told)
            each = 1e6 * told["seconds"] / number
            print(f"{which:<12}{number:>14,}{told['peak_mib']:>17.1f}{told['disk_bytes'] / number:>20.0f}", end="")
            print(f"{told['seconds']:>9.1f}{each:>10.0f}", flush=True)
        few, many = figures[-2:]
        growth = (many["peak_mib"] - few["peak_mib"]) * 2**20 / (NUMBERS[1] - NUMBERS[0])
        print(f"{which}: {growth:.0f} bytes of memory for each further conversation")
        many["growth_bytes_per_conversation"] = round(growth)
    if options.json:
        record = {
            "benchmark": "conversations",
            "command": "python -m tests.perf.conversations",
            "date": datetime.now(UTC).date().isoformat(),
            "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end",
            "figures": figures,
        }
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def in_a_process(which: str, number: int) -> dict:
    command = [sys.executable, "-m", "tests.perf.conversations", "--measure", which, str(number)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def measured(which: str, number: int) -> dict:
    problems = [
        Problem(f"sum/{k:06}", f"What is {k} + {k + 1}? {'Think. ' * 20}", gold=REPLIES[k % 7])
        for k in range(number // SAMPLES_PER_PROBLEM)
    ]
    task, policy = Riddles(problems), Scripted(REPLIES)
    config = compose_spec(["training=paper"]).experiment.training
    config.sft.sampling = SAMPLING
    with run_folder() as run:
        trainer = Trainer(policy, RolloutWorker(task, EqualsGold(), seed=0), run, config, next_turn=ask_again)
        gc.collect()
        before, began = resident_mib(), time.perf_counter()
        {"collection": collection, "evaluation": evaluation}[which](trainer)
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        disk = sum(path.stat().st_size for path in run.folder.rglob("*") if path.is_file())
    return {
        "what": which,
        "conversations": number,
        "peak_mib": round(peak - before, 1),
        "seconds": round(seconds, 1),
        "disk_bytes": disk,
    }


def collection(trainer: Trainer) -> None:
    stage = Imitate(
        name="collecting",
        num_conversations=SAMPLES_PER_PROBLEM * len(trainer.rollouts.task.problems("train")),
        choose=lambda episodes, _: episodes,
        advantages=lambda _: (1.0, 1.0),
    )
    kept = collect(trainer, stage)
    trainer.run.save_training_data(stage.name, kept, num_attempts=stage.num_attempts)
    order = random.Random(0).sample(range(len(kept)), len(kept))
    for first in range(0, len(order), BATCH_SIZE):
        batch = [kept[index] for index in order[first : first + BATCH_SIZE]]
        trainer.policy.update([])
        assert batch


def evaluation(trainer: Trainer) -> None:
    run, requested = trainer.run, Evaluation(num_samples=SAMPLES_PER_PROBLEM, sampling=SAMPLING)
    parts = evaluate(
        run,
        "sampled",
        requested,
        trainer.rollouts,
        trainer.policy,
        seed_key="evaluation/sampled",
        next_turn=trainer.next_turn,
        made_from={},
    )
    summarise(run.join_parts("sampled", parts))


@contextmanager
def run_folder() -> Iterator[Run]:
    with tempfile.TemporaryDirectory() as folder:
        key = RunKey(method="scripted", task="sums", model="scripted", variant="main", seed=0)
        with Run.lock(key, Path(folder), {}) as run:
            yield run


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    main()
