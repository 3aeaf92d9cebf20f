"""A step of two attempts here against TRL's RLOO and GRPO, which make one: seconds, and TRL's doubled over ours.

    python tests/perf/against_trl.py                                    # the miniature's model, float32, one thread
    python tests/perf/against_trl.py --model FOLDER --threads 2 --problems 4 --group 4 --max-tokens 64 --dtype bfloat16

Both get the same model, chat messages, numbers of conversations, longest replies, updates, KL coefficient and precision
(TRL's bfloat16 is autocast over float32 weights, ours a bfloat16 copy of them). TRL's best case is two single attempts:
its second prompts would be longer, and need a second trainer's bookkeeping. Each is measured in a process of its own;
the first step warms up, and the median of the others counts. TRL has to be installed: pip install trl
"""

import argparse
import csv
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch

from bench.episode import SamplingParams
from bench.launch.catalogue import compose_spec
from bench.models.config import Precision, Transformers
from bench.models.interface import KLEstimator, OptimizerConfig
from bench.models.policy import TransformersPolicy
from bench.rollout import RolloutWorker
from bench.training.reinforce import training_samples
from bench.training.stages import Reinforce
from tests.made_episodes import EqualsGold

VARIANTS = ("ours", "rloo", "grpo")
MINI = "bench/mini/checkpoint"
PLAN = ["method=multi_turn_rl", "tracking=none"]  # on generated problems, whatever the model
BETA, RATE = 0.05, 1e-5


def ours(asked: argparse.Namespace) -> list[float]:
    model = Transformers(
        path=asked.model,
        dtype=Precision(asked.dtype),
        device="cpu",
        threads=asked.threads,
        train_batch_tokens=asked.batch_tokens,
        packing=asked.model != MINI,  # as conf/model/mini.yaml has it
    )
    learner = cast(TransformersPolicy, model.build(str))
    learner.begin(OptimizerConfig(learning_rate=RATE), num_updates=asked.steps, kl_estimator=KLEstimator.exact)
    experiment = compose_spec(PLAN).experiment
    problems = experiment.task.problems("train")
    rollouts = RolloutWorker(experiment.task, EqualsGold(), seed=0)
    stage = Reinforce(name="measured", num_steps=asked.steps, reward=noise, kl_coefs=(BETA, BETA))
    seconds = []
    for step in range(asked.steps):
        began = time.perf_counter()
        episodes = rollouts.rollout(
            learner,
            problems[step * asked.problems : (step + 1) * asked.problems],
            next_turn=partial(experiment.method.next_turn, experiment.task),
            num_attempts=2,
            sampling=SamplingParams(temperature=1.0, max_tokens=asked.max_tokens),
            num_samples=asked.group,
            seed_key=str(step),
        )
        generated = time.perf_counter() - began
        learner.update(training_samples(episodes, stage, group_size=asked.group))
        seconds.append(time.perf_counter() - began)
        tokens = sum(len(reply.completion.token_ids) for episode in episodes for reply in episode.replies)
        print(
            f"ours, step {step}: {seconds[-1]:.2f} s, {generated:.2f} of them sampling {tokens} tokens", file=sys.stderr
        )
    return seconds


def noise(episode: Any) -> tuple[float, ...]:
    """A reward that differs within each group, so that every conversation is learned from."""
    return tuple(float(len(reply.completion.token_ids) + episode.sample) for reply in episode.replies)


def theirs(asked: argparse.Namespace) -> list[float]:
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer  # pyright: ignore[reportMissingImports]

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.seconds: list[float] = []

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.began = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.seconds.append(time.perf_counter() - self.began)

    def reward(completions: list[Any], **_: Any) -> list[float]:
        return [float(len(each[0]["content"]) + place % asked.group) for place, each in enumerate(completions)]

    torch.set_num_threads(asked.threads)
    task = compose_spec(PLAN).experiment.task
    problems = task.problems("train")[: asked.problems * asked.steps]
    rows = [[{"role": "user", "content": task.prompt(problem)}] for problem in problems]
    make_config, make_trainer = {"rloo": (RLOOConfig, RLOOTrainer), "grpo": (GRPOConfig, GRPOTrainer)}[asked.one]
    conversations = asked.problems * asked.group
    with TemporaryDirectory() as folder:
        config = make_config(
            output_dir=folder,
            use_cpu=True,
            bf16=asked.dtype == "bfloat16",
            max_steps=asked.steps,
            per_device_train_batch_size=min(conversations, asked.their_batch),
            gradient_accumulation_steps=max(1, conversations // asked.their_batch),
            num_generations=asked.group,
            max_completion_length=asked.max_tokens,
            temperature=1.0,
            beta=BETA,
            learning_rate=RATE,
            gradient_checkpointing=False,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        model = AutoModelForCausalLM.from_pretrained(asked.model, dtype=torch.float32)
        clock = Clock()
        trainer = make_trainer(
            model=model,
            reward_funcs=reward,
            args=config,
            train_dataset=Dataset.from_dict({"prompt": rows}),
            processing_class=AutoTokenizer.from_pretrained(asked.model),
            callbacks=[clock],
        )
        trainer.train()
        return clock.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=MINI, help="a folder")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--problems", type=int, default=16, help="per step")
    parser.add_argument("--group", type=int, default=8, help="conversations per problem")
    parser.add_argument("--max-tokens", type=int, default=48, help="per attempt")
    parser.add_argument("--batch-tokens", type=int, default=16_384, help="of our micro-batches")
    parser.add_argument("--their-batch", type=int, default=128, help="conversations in a micro-batch of TRL's")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--csv", type=Path, help="where to write the table")
    parser.add_argument("--one", choices=VARIANTS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        seconds = ours(asked) if asked.one == "ours" else theirs(asked)
        print(median(seconds[1:]))
        return
    rows = []
    for variant in VARIANTS:
        done = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--one", variant], stdout=subprocess.PIPE, check=True
        )
        seconds = float(done.stdout.split()[-1]) * (1 if variant == "ours" else 2)
        rows.append({"step of two attempts": variant, "seconds": round(seconds, 3)})
        rows[-1]["times"] = round(rows[-1]["seconds"] / rows[0]["seconds"], 2)
        print(*rows[-1].values(), flush=True)
    if asked.csv:
        with asked.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
