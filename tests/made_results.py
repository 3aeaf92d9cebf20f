"""A small results folder made up by a seed, through the same writer as real runs, for tests of what reads it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.episode import Attempt, Completion, Episode, Grade, Problem, Verdict
from bench.runs.folder import Run, RunKey
from bench.runs.manifest import Manifest
from bench.runs.parts import PartCost

CHANCES = {  # right at first; then, at each later attempt: fixed if wrong, broken if right
    "base": (0.55, 0.05, 0.3),
    "pair_sft": (0.55, 0.15, 0.1),
    "score": (0.7, 0.4, 0.05),
}
PROBES = ("fixed_train", "fixed_validation", "self_generated_validation")
MANIFEST = {  # what a test may leave out
    "evaluation_config": {"split": "test"},
    "task": {"name": "mini_math"},
    "table": {"weights": {}},
    "row": {},
    "config": {},
    "token_unit": "tokens",
    "renderer": {},
    "grading": {},
    "usage": {
        "sampled_episodes": 100,
        "sampled_attempts": 200,
        "sampled_tokens": 2000,
        "updates": 10,
        "trained_tokens": 1500,
    },
    "training_seconds": 0.0,
    "seconds": 0.0,
    "sampled_tokens": 0,
    "start": "",
    "end": "",
    "model_revision": None,
    "data_revisions": {},
    "provenance": {},
    "training_sessions": [],
}


def make_episode(
    problem_id: str, grades: list[Grade], *, level: str = "", sample: int = 0, rng: random.Random
) -> Episode:
    """Each attempt's text is seven steps and an answer; a change of mind changes some of the steps."""
    steps = [rng.choice("abcdefgh") * 6 for _ in range(7)]
    attempts = []
    for t, grade in enumerate(grades):
        if t:
            steps = [rng.choice("mnopq") * 6 if rng.random() < 0.3 else step for step in steps]
        answer = {Grade.CORRECT: "4", Grade.NO_ANSWER: None}.get(grade, str(rng.randrange(5, 9)))
        text = " ".join([*steps, str(answer)])
        completion = Completion(text, token_ids=tuple(range(len(steps))), logprobs=(0.0,) * len(steps), truncated=False)
        attempts.append(Attempt(completion, Verdict(grade, answer, seconds=0.001)))
    problem = Problem(problem_id, question="2 + 2?", gold="4", level=level)
    return Episode(problem, sample, token_ids=(), spans=((0, 0),) * len(grades), replies=tuple(attempts))


def save_evaluation(
    run: Run, evaluation: str, episodes: Sequence[Episode], prompts: Mapping[str, str], manifest: Mapping[str, Any]
) -> None:
    """A finished evaluation of one part. `prompts` is the first user message by problem id.

    `manifest` replaces values of `MANIFEST`.
    """
    folder = run.key.evaluation_folder(evaluation, task=manifest.get("task", {}).get("name", run.key.task))
    parts = run.parts(folder, {})
    num_attempts = max(len(episode.attempts) for episode in episodes)
    parts.write_next(episodes, prompts, PartCost("", seconds=0.0, sampled_tokens=0), num_attempts=num_attempts)
    num_rows = len(run.join_parts(folder, parts))
    values = {**MANIFEST, "task": {"name": run.key.task}, **manifest}
    run.finish_evaluation(
        parts, Manifest(evaluation=evaluation, num_problems=len(prompts), num_rows=num_rows, **values)
    )


def merged(plain: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """`plain` with the values of `other`, also inside its groups."""
    groups = {key: merged(plain[key], value) for key, value in other.items() if isinstance(plain.get(key), Mapping)}
    return {**plain, **other, **groups}


def make_run(
    results: Path,
    method: str,
    seed: int,
    *,
    task: str = "mini_math",
    model: str = "mini",
    variant: str = "main",
    num_problems: int = 60,
    num_attempts: int = 2,
    num_updates: int = 20,
    chances: Mapping[str, tuple[float, float, float]] = CHANCES,
    table: Mapping[str, Any] | None = None,
    row: Mapping[str, Any] | None = None,
    evaluation: str = "greedy",
    manifest: Mapping[str, Any] | None = None,
) -> Path:
    """A finished run: its folder. `num_updates` rows of training log, none for the base.

    `table` and `row` are merged into its fingerprints, `manifest` replaces values of the evaluation's manifest.
    """
    rng = random.Random(f"{method} {task} {model} {seed}")
    first, fixed, broken = chances.get(method, (0.5, 0.2, 0.2))
    episodes = []
    for number in range(num_problems):
        right = [rng.random() < first]
        while len(right) < num_attempts:
            right.append(rng.random() >= broken if right[-1] else rng.random() < fixed)
        wrong = rng.choice([Grade.WRONG, Grade.WRONG, Grade.WRONG, Grade.NO_ANSWER])
        grades = [Grade.CORRECT if value else wrong for value in right]
        episodes.append(make_episode(f"{task}/{number}", grades, level=f"Level {number % 5 + 1}", rng=rng))
    key = RunKey(method=method, task=task, model=model, variant=variant, seed=seed)
    config = {"method": {"name": method}, "task": {"name": task}, "model": {"name": model}}
    with Run.lock(key, results, config) as run:
        for update in range(num_updates if method != "base" else 0):
            stage = "stage1" if update < num_updates // 2 else "stage2"
            grown = update / num_updates
            rates = {"train/accuracy@t1": 0.5 + grown / 4, "train/accuracy@t2": 0.4 + grown / 2}
            run.log(update=update, stage=stage, **rates, **{"train/answer_change_rate": 0.4 - grown / 3})
        if method == "pair_sft":
            run.save_training_data(method, episodes[:30], num_attempts=num_attempts)
            for update in range(0, num_updates + 1, 5):
                values = {f"probe/{name}": 0.4 + place / 10 for place, name in enumerate(PROBES)}
                run.log(update=update, stage=method, **values)
        recorded = {
            "table": merged({"weights": {}, "problems": {"num": num_problems, "digest": "0"}}, table or {}),
            "row": merged({"method": {}, "training": {"alpha": 10, "beta": 1}}, row or {}),
            **(manifest or {}),
        }
        save_evaluation(run, evaluation, episodes, {episode.problem.id: "2 + 2?" for episode in episodes}, recorded)
        return run.folder
