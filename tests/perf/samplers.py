"""Tokens per second of the samplers, two attempts at 32 problems of MATH by SmolLM2-135M-Instruct.

    .venv-vllm/bin/python -m tests.perf.samplers ../shared/data/math/math500.jsonl

Every reply has the same number of tokens, since nothing ends one earlier. The bare vLLM engine samples without seeds,
log-probabilities and text; it is the project's own engine, asked past the project, in turn with it. Of the repetitions
the fastest counts. The model is fetched by tests/pretrained/fetch.py.
"""

import argparse
import csv
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from bench.episode import Request, SamplingParams
from bench.models.config import Precision, SamplerKind, Transformers
from bench.models.vllm_options import VllmOptions
from tests.pretrained.fetch import FOLDER

Ids = list[tuple[int, ...]]
Sample = Callable[[Ids], Ids]
SECOND = "There might be an error in the solution above. Please correct it, and give the final answer again."
COLUMNS = ("sampler", "dtype", "attempt", "prefix_reused", "tokens", "seconds", "tokens_per_second", "of_bare")


def main() -> None:
    arguments = _arguments()
    problems = [json.loads(line)["problem"] for line in arguments.problems.open(encoding="utf-8")][: arguments.num]
    rows = []
    for dtype in map(Precision, arguments.dtypes):
        for measure in (by_vllm, by_transformers):
            rows += measure(problems, dtype, arguments)
    print("\t".join(COLUMNS))
    for row in rows:
        print("\t".join(str(row[name]) for name in COLUMNS))
    if arguments.csv:
        about = {
            "date": datetime.now(UTC).date().isoformat(),
            "machine": f"{os.cpu_count()} cores {platform.machine()}",
            "load": round(os.getloadavg()[1], 1),
        }
        with arguments.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [*COLUMNS, *about])
            writer.writeheader()
            writer.writerows({**row, **about} for row in rows)


def by_vllm(problems: Sequence[str], dtype: Precision, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    policy = _policy(SamplerKind.vllm, dtype)
    engine = cast(Any, policy.engine)
    engine._stop_ids = frozenset()
    engine.generate(policy.model, _requests([policy.prompt_ids("Hello")]), _sampling(arguments))  # pushes the weights

    def ours(prompts: Ids) -> Ids:
        return [each.token_ids for each in policy.generate(_requests(prompts), _sampling(arguments))]

    def bare(prompts: Ids) -> Ids:
        import vllm  # pyright: ignore[reportMissingImports]

        params = vllm.SamplingParams(temperature=1.0, max_tokens=arguments.tokens, ignore_eos=True, detokenize=False)
        outputs = engine.llm.generate([{"prompt_token_ids": list(ids)} for ids in prompts], params, use_tqdm=False)
        return [tuple(output.outputs[0].token_ids) for output in outputs]

    samplers = {"vllm, bare": bare, "vllm, through the project": ours}
    best: dict[tuple[str, str, bool], tuple[int, float]] = {}
    for _ in range(arguments.repeat):
        for name, sample in samplers.items():
            engine.weights.reset_cache()
            for key, cost in _two_attempts(policy, sample, problems).items():
                _keep(best, (name, key, key == "second"), cost)
            # The second attempts of other conversations are of the same length, with nothing of them in the cache.
            engine.weights.reset_cache()
            prompts = _second(policy, _first(policy, problems), _first(policy, problems), arguments.tokens)
            _keep(best, (name, "second", False), _cost(sample, prompts)[0])
    return _rows(best, dtype)


def by_transformers(problems: Sequence[str], dtype: Precision, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    import torch

    policy = _policy(SamplerKind.transformers, dtype)
    cast(Any, policy.engine)._stop_ids = frozenset()

    def ours(prompts: Ids) -> Ids:
        return [each.token_ids for each in policy.generate(_requests(prompts), _sampling(arguments))]

    def theirs(prompts: Ids) -> Ids:
        width = max(map(len, prompts))
        ids = torch.tensor([(0,) * (width - len(each)) + each for each in prompts])
        mask = torch.tensor([[0] * (width - len(each)) + [1] * len(each) for each in prompts])
        with torch.inference_mode():
            sampled = cast(Any, policy.model).generate(
                ids, attention_mask=mask, do_sample=True, top_k=0, max_new_tokens=arguments.tokens, eos_token_id=-1
            )
        return [tuple(row) for row in sampled[:, width:].tolist()]

    best: dict[tuple[str, str, bool], tuple[int, float]] = {}
    for name, sample in {"transformers, generate": theirs, "transformers, through the project": ours}.items():
        for key, cost in _two_attempts(policy, sample, problems).items():
            _keep(best, (name, key, False), cost)
    return _rows(best, dtype)


def _policy(sampler: SamplerKind, dtype: Precision) -> Any:
    options = VllmOptions(cpu_cache_gib=2)
    return Transformers(path=str(FOLDER), device="cpu", dtype=dtype, sampler=sampler, vllm=options).build(str)


def _two_attempts(policy: Any, sample: Sample, problems: Sequence[str]) -> dict[str, tuple[int, float]]:
    prompts = _first(policy, problems)
    first, replies = _cost(sample, prompts)
    second, _ = _cost(sample, _second(policy, prompts, replies, len(replies[0])))
    return {"first": first, "second": second}


def _first(policy: Any, problems: Sequence[str]) -> Ids:
    return [policy.prompt_ids(f"Solve the problem, and give the final answer in a box.\n{each}") for each in problems]


def _second(policy: Any, prompts: Ids, replies: Ids, length: int) -> Ids:
    bridge = policy.bridge(SECOND, turn_ended=False)
    return [one + (reply * length)[:length] + bridge for one, reply in zip(prompts, replies, strict=True)]


def _cost(sample: Sample, prompts: Ids) -> tuple[tuple[int, float], Ids]:
    began = time.perf_counter()
    replies = sample(prompts)
    return (sum(map(len, replies)), time.perf_counter() - began), replies


def _keep(best: dict[Any, tuple[int, float]], key: Any, cost: tuple[int, float]) -> None:
    best[key] = min(best.get(key, cost), cost, key=lambda each: each[1] / each[0])


def _rows(best: dict[tuple[str, str, bool], tuple[int, float]], dtype: Precision) -> list[dict[str, Any]]:
    rows = []
    for (name, attempt, reused), (tokens, seconds) in best.items():
        row = {"sampler": name, "dtype": dtype.value, "attempt": attempt, "prefix_reused": reused, "tokens": tokens}
        bare = best.get(("vllm, bare", attempt, reused))
        of_bare = f"{(tokens / seconds) / (bare[0] / bare[1]):.2f}" if bare else ""
        rows.append(
            row | {"seconds": f"{seconds:.2f}", "tokens_per_second": f"{tokens / seconds:.0f}", "of_bare": of_bare}
        )
    return rows


def _requests(prompts: Ids) -> list[Request]:
    return [Request(ids, seed=number, problem_id=str(number), sample=0, turn=0) for number, ids in enumerate(prompts)]


def _sampling(arguments: argparse.Namespace) -> SamplingParams:
    return replace(SamplingParams(temperature=1.0), max_tokens=arguments.tokens)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problems", type=Path, help="MATH's problems, JSON lines")
    parser.add_argument("--num", type=int, default=32, help="of problems")
    parser.add_argument("--tokens", type=int, default=128, help="per reply")
    parser.add_argument("--dtypes", nargs="+", default=[each.value for each in Precision])
    parser.add_argument("--repeat", type=int, default=3, help="of vLLM's measurements")
    parser.add_argument("--csv", type=Path, help="written besides, as results/perf/samplers.csv")
    return parser.parse_args()


if __name__ == "__main__":
    main()
