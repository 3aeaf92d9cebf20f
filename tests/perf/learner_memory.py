"""Time and peak memory of an update at a vocabulary of 150,000: packed, padded as before, by TRL's head, and naive.

    python tests/perf/learner_memory.py [--csv results/perf/learner_memory.csv]

One model of random weights, one set of conversations of unlike length, one budget of tokens per micro-batch, float32,
each variant in a process of its own. `before` pads and runs the head through autograd in chunks of 2^25 logits, as this
project did until it packed; `trl` pads, and takes TRL's ChunkedLogProbFunction for policy and reference (skipped where
TRL is not installed; its divergence is k3, all others' is exact); `naive` pads, and keeps all logits of a micro-batch.
"""

import argparse
import csv
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import torch
from torch.utils.checkpoint import checkpoint
from transformers import Qwen2Config, Qwen2ForCausalLM, logging

from bench.episode import Episode, Problem, TrainingSample
from bench.models import vocabulary
from bench.models.config import Transformers
from bench.models.interface import KLEstimator, OptimizerConfig
from bench.models.loss import estimate_kl
from bench.models.policy import TransformersPolicy
from tests.made_episodes import attempt
from tests.tiny_model import byte_tokenizer

VARIANTS = ("packed", "before", "trl", "naive")
VOCABULARY = 151_936


def save_model(folder: Path, *, width: int, layers: int) -> None:
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        num_key_value_heads=1,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    byte_tokenizer(chat=True).save_pretrained(folder)


def conversations(*, problems: int, group: int) -> list[TrainingSample]:
    """Prompts of 60 to 200 tokens, and two replies of 20 to 150."""
    draw = random.Random(0)
    samples = []
    for number in range(problems):
        prompt = draw.randint(60, 200)
        for sample in range(group):
            first, second = draw.randint(20, 150), draw.randint(20, 150)
            spans = ((prompt, prompt + first), (prompt + first + 30, prompt + first + 30 + second))
            ids = tuple(draw.randrange(VOCABULARY) for _ in range(spans[1][1]))
            replies = tuple(attempt(correct=False, ids=ids[start:stop]) for start, stop in spans)
            episode = Episode(Problem(str(number), "", ""), sample, ids, spans, replies)
            samples.append(TrainingSample(episode, (draw.gauss(0, 1), draw.gauss(0, 1)), (0.05, 0.05)))
    return samples


def head_before(
    model: Any, reference: Any, hidden_NH: Any, reference_NH: Any, targets_N: torch.Tensor, *, estimator: KLEstimator
) -> tuple[torch.Tensor, ...]:
    def chunk(hidden: torch.Tensor, other: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return vocabulary._whole(model, reference, hidden, other, targets, estimator=estimator)

    size = 2**25 // VOCABULARY
    parts = zip(hidden_NH.split(size), reference_NH.split(size), targets_N.split(size), strict=True)
    pieces = [cast(tuple[torch.Tensor, ...], checkpoint(chunk, *part, use_reentrant=False)) for part in parts]
    return tuple(torch.cat(column) for column in zip(*pieces, strict=True))


def head_of_trl(
    model: Any, reference: Any, hidden_NH: Any, reference_NH: Any, targets_N: torch.Tensor, **_: object
) -> tuple[torch.Tensor, ...]:
    from trl.kernels import ChunkedLogProbFunction  # pyright: ignore[reportMissingImports]
    from trl.trainer.utils import _CHUNKED_LOGPROB_CHUNK_SIZE as SIZE  # pyright: ignore[reportMissingImports]

    def logprobs(of: Any, hidden: torch.Tensor, outputs: tuple[str, ...]) -> tuple[Any, ...]:
        return ChunkedLogProbFunction.apply(hidden, of.lm_head.weight, None, targets_N, 1.0, SIZE, None, 1.0, outputs)

    logprobs_N, entropy_N, *_rest = logprobs(model, hidden_NH, ("entropy",))
    with torch.no_grad():
        other_N = logprobs(reference, reference_NH, ())[0]
    kl_N = estimate_kl(logprobs_N=logprobs_N, reference_logprobs_N=other_N, estimator=KLEstimator.k3)
    return logprobs_N, kl_N, entropy_N.detach()


HEADS = {"before": head_before, "trl": head_of_trl, "naive": vocabulary._whole}


def measure(variant: str, folder: Path, asked: argparse.Namespace) -> tuple[float, float]:
    """Seconds of an update, and GiB beyond weights, gradients, optimiser and reference."""
    model = Transformers(
        path=str(folder),
        device="cpu",
        threads=asked.threads,
        train_batch_tokens=asked.batch_tokens,
        packing=variant == "packed",
    )
    learner = cast(TransformersPolicy, model.build(str))
    estimator = KLEstimator.k3 if variant == "trl" else KLEstimator.exact
    learner.begin(OptimizerConfig(learning_rate=1e-6), num_updates=10, kl_estimator=estimator)
    samples = conversations(problems=asked.problems, group=4)
    with patch("bench.models.logprobs.through_head", HEADS.get(variant, vocabulary.through_head)):
        learner.update(samples[:1])  # allocates gradients, moments and the reference
        held = rss()
        began = time.perf_counter()
        learner.update(samples)
        seconds = time.perf_counter() - began
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20 - held


def rss() -> float:
    """GiB that the process holds now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=4, help="of four conversations each")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-tokens", type=int, default=2048, help="per micro-batch")
    parser.add_argument("--csv", type=Path, help="where to write the table")
    parser.add_argument("--one", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    logging.set_verbosity_error()
    if asked.one:
        print(*measure(asked.one, asked.folder, asked))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder), width=asked.width, layers=asked.layers)
        for variant in VARIANTS:
            command = [sys.executable, __file__, *sys.argv[1:], "--one", variant, "--folder", folder]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{variant}: left out ({(done.stderr.strip().splitlines() or ['killed'])[-1]})")
                continue
            seconds, gib = map(float, done.stdout.split()[-2:])
            rows.append({"variant": variant, "seconds": round(seconds, 2), "peak_gib": round(gib, 3)})
    best = rows[0]
    print(f"{'':8} {'seconds':>8} {'':>7} {'peak GiB':>9} {'':>7}")
    for row in rows:
        row["times_seconds"] = round(row["seconds"] / best["seconds"], 2)
        row["times_memory"] = round(row["peak_gib"] / best["peak_gib"], 2)
        print(
            f"{row['variant']:8} {row['seconds']:8.1f} {row['times_seconds']:6.2f}x {row['peak_gib']:9.2f} "
            f"{row['times_memory']:6.2f}x"
        )
    if asked.csv:
        with asked.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
