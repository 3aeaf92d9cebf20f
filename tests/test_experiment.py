"""Whole experiments, on the scripted model and on an untrained one: every method, every task, every crash."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

import bench.files as files_module
from bench.conduct import conduct
from bench.episode import Problem
from bench.experiment import RunSpec
from bench.launch.catalogue import CONF, compose_spec
from bench.metrics.episode_metrics import summarise
from bench.rollout import RolloutWorker
from bench.runs.finished import find_runs, load_episodes, log_of
from bench.tasks.interface import Task
from bench.tasks.splits import Splits
from bench.training import reinforce as reinforce_module
from bench.training.reinforce import ReinforceLoop

ANSWER = "Final Answer: The final answer is ${}$. I hope it is correct."
QUICK = [
    "training.rl.num_steps=4",
    "training.rl.problems_per_step=2",
    "training.rl.checkpoint_every=2",
    "tracking=none",
]
QUICK += ["training.sft.samples_per_problem=4", "training.sft.batch_size=8", "task.num_test=6"]


def scripted(tmp_path: Path, *overrides: str, task: str = "mini_math") -> RunSpec:
    """A spec whose model gives golds of some problems as answers, so that it is right now and then."""
    asked = [f"task={task}", f"results={tmp_path}", "model=scripted", *QUICK, *overrides]
    spec = compose_spec(asked)
    problems = [*spec.experiment.task.problems("test"), *spec.experiment.task.problems("train")[:12]]
    golds = dict.fromkeys(problem.gold for problem in problems)
    form = ANSWER if task == "mini_math" else "```python\n{}\n```"
    spec.experiment.model.replies = [form.format(gold) for gold in list(golds)[:4]]
    return spec


@pytest.mark.parametrize("method", sorted(path.stem for path in (CONF / "method").glob("*.yaml")))
def test_every_method_runs_end_to_end_and_tells_what_it_cost(method: str, tmp_path: Path):
    spec = scripted(tmp_path, f"method={method}")
    conduct(spec)
    frame = load_episodes(tmp_path)
    assert len(frame) == 6
    told = summarise(frame)
    assert told["delta"] == pytest.approx(told["delta_i_to_c"] - told["delta_c_to_i"])
    manifest = find_runs(tmp_path)[0].manifest("greedy")
    spent = manifest.usage["updates"] > 0 and manifest.usage["sampled_episodes"] > 0
    assert spent == spec.trains


@pytest.mark.parametrize("task", ["mini_math", "mini_mbpp", "mini_humaneval"])
def test_every_task_runs_end_to_end(task: str, tmp_path: Path):
    conduct(scripted(tmp_path, task=task))
    frame = load_episodes(tmp_path)
    assert set(frame["num_attempts"]) == {2}
    assert frame["problem_id"].is_unique


def test_a_finished_run_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    spec = scripted(tmp_path, "method=score")
    conduct(spec)
    monkeypatch.setattr(type(spec.experiment.model), "build", lambda *_: pytest.fail("the model was built again"))
    assert spec.is_finished
    conduct(spec)


def test_an_evaluation_added_later_samples_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    conduct(scripted(tmp_path, "method=score"))
    monkeypatch.setattr("bench.conduct.run_stages", lambda *_: pytest.fail("it was trained again"))
    later = scripted(tmp_path, "method=score", "evaluation=[greedy,ten_attempts]")
    conduct(later)
    assert find_runs(tmp_path)[0].evaluations() == ("greedy", "ten_attempts")
    assert set(load_episodes(tmp_path, "ten_attempts")["num_attempts"]) == {10}


def test_an_evaluation_made_with_other_settings_is_refused(tmp_path: Path):
    conduct(scripted(tmp_path))
    with pytest.raises(ValueError, match="made with other settings"):
        scripted(tmp_path, "evaluations.greedy.num_attempts=3").check()


def test_a_method_that_trains_is_refused_on_recorded_attempts(tmp_path: Path):
    recording = tmp_path / "recording.jsonl"
    recording.write_text('{"problem_id": "one", "attempts": ["a", "b"]}\n')
    spec = compose_spec(["method=score", "model=replay", f"model.path={recording}", f"results={tmp_path}"])
    with pytest.raises(ValueError, match="use method=base"):
        spec.check()


def test_the_miniatures_model_is_refused_on_real_mathematics(tmp_path: Path):
    problems = tmp_path / "problems.jsonl"
    row = {"problem": "Convert (0, 3) to polar coordinates, please.", "answer": "3", "unique_id": "test/x/1.json"}
    problems.write_text(json.dumps({**row, "solution": "", "subject": "Algebra", "level": 1}) + "\n")
    spec = compose_spec(
        ["task=math", "task.source=local", f"task.path={problems}", f"results={tmp_path}", "tracking=none"]
    )
    with pytest.raises(ValueError, match="reads task=mini_math only"):
        conduct(spec)


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it on its way out."""


@pytest.mark.parametrize("die_at", [1, 2, 4, 6, 7, 8, 9])
def test_a_killed_evaluation_goes_on_with_the_next_part_and_ends_with_the_same_rows(
    die_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Two parts of three files each, then the three files of the whole."""
    monkeypatch.setattr("bench.evaluation._PROBLEMS_AT_ONCE", 3)
    conduct(scripted(tmp_path / "whole"))
    writes, sampled, real, rollout = 0, [], files_module.replacing, RolloutWorker.rollout

    def dying(path: Path):
        nonlocal writes
        if "greedy" in path.parts and path.name != "made_from.json":
            writes += 1
            if writes == die_at:
                raise Killed
        return real(path)

    def watched(self: RolloutWorker, sampler, problems, **named):
        sampled.append(len(problems))
        return rollout(self, sampler, problems, **named)

    for module in ("files", "runs.parts"):
        monkeypatch.setattr(f"bench.{module}.replacing", dying)
    monkeypatch.setattr(RolloutWorker, "rollout", watched)
    with pytest.raises(Killed):
        conduct(scripted(tmp_path / "broken"))
    sampled.clear()
    conduct(scripted(tmp_path / "broken"))
    assert len(sampled) == 2 - min(2, (die_at - 1) // 3)
    one, other = (find_runs(tmp_path / name)[0] for name in ("whole", "broken"))
    timeless = [load_episodes(tmp_path / name).filter(regex="^(?!.*seconds)") for name in ("whole", "broken")]
    pd.testing.assert_frame_equal(timeless[0], timeless[1])
    texts = [gzip.decompress((run.path / "greedy" / "transcripts.jsonl.gz").read_bytes()) for run in (one, other)]
    assert texts[0] == texts[1]
    assert one.manifest("greedy").sampled_tokens == other.manifest("greedy").sampled_tokens > 0
    assert not (other.path / "greedy" / "parts").exists()


def test_an_evaluation_with_many_samples_samples_no_more_conversations_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("bench.evaluation._CONVERSATIONS_AT_ONCE", 6)
    sampled, rollout = [], RolloutWorker.rollout

    def watched(self: RolloutWorker, sampler, problems, **named):
        sampled.append(len(problems) * named["num_samples"])
        return rollout(self, sampler, problems, **named)

    monkeypatch.setattr(RolloutWorker, "rollout", watched)
    conduct(scripted(tmp_path, "evaluations.greedy.num_samples=3", "evaluations.greedy.sampling.temperature=1"))
    conduct(
        scripted(
            tmp_path, "evaluations.greedy.num_samples=9", "evaluations.greedy.sampling.temperature=1", "variant=more"
        )
    )
    assert sampled == [6, 6, 6] + [9] * 6  # never less than a problem


def trained_by(folder: Path, model: Path, *overrides: str) -> RunSpec:
    quick = ["training.rl.num_steps=6", "training.rl.problems_per_step=2", "training.rl.group_size=2"]
    quick += [
        "training.rl.checkpoint_every=2",
        "tracking=none",
        "task.num_test=4",
        "model.max_tokens=6",
        "training=mini",
    ]
    where = [f"results={folder}", "model=transformers", f"model.path={model}", "model.threads=1", "model.device=cpu"]
    return compose_spec(["method=score", *where, *quick, *overrides])


@pytest.mark.parametrize(
    ("die_at", "override"),
    [*((step, "method.adaptive_beta2=false") for step in (1, 2, 3, 5)), (3, "method.adaptive_beta2=true")],
)
def test_a_killed_training_ends_with_the_weights_of_one_that_was_not(
    die_at: int, override: str, tmp_path: Path, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """Six steps in two stages, checkpoints every two: it dies between checkpoints, at one, and in either stage."""
    whole = trained_by(tmp_path / "whole", tiny_model_folder, override)
    conduct(whole)
    broken = trained_by(tmp_path / "broken", tiny_model_folder, override)
    steps = 0
    metrics = reinforce_module.step_metrics

    def dying(*arguments, **named):
        nonlocal steps
        steps += 1
        if steps > die_at:
            raise Killed
        return metrics(*arguments, **named)

    monkeypatch.setattr(reinforce_module, "step_metrics", dying)
    with pytest.raises(Killed):
        conduct(broken)
    monkeypatch.setattr(reinforce_module, "step_metrics", metrics)
    conduct(broken)
    one, other = (find_runs(tmp_path / name)[0] for name in ("whole", "broken"))
    weights = [(run.path / "weights" / "model.safetensors").read_bytes() for run in (one, other)]
    assert weights[0] == weights[1]
    timeless = {name: load_episodes(tmp_path / name).filter(regex="^(?!.*seconds)") for name in ("whole", "broken")}
    pd.testing.assert_frame_equal(timeless["whole"], timeless["broken"])
    logs = [log_of(folder).filter(regex="^(?!time$|speed/)") for folder in (one, other)]
    pd.testing.assert_frame_equal(logs[0], logs[1])
    manifests = [run.manifest("greedy") for run in (one, other)]
    assert manifests[0].usage == manifests[1].usage
    assert [len(manifest.training_sessions) for manifest in manifests] == [1, 2]


def test_stage_two_measures_its_divergence_from_the_base_model_and_not_from_stage_one(
    tmp_path: Path, tiny_model_folder: Path
):
    conduct(trained_by(tmp_path, tiny_model_folder, "training.rl.optimizer.learning_rate=0.05"))
    log = log_of(find_runs(tmp_path)[0])
    first = dict(log.groupby("stage")["train/kl@t1"].first())
    assert first["stage1"] == pytest.approx(0, abs=1e-4)
    assert first["stage2"] > 1e-3


def test_the_best_mean_reward_between_checkpoints_decides_which_weights_a_stage_ends_with(
    tmp_path: Path, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    rewards = iter([0.0, 0.0, 1.0, 1.0, 0.0, 0.0])
    seen: list[Sequence[float]] = []

    def select(self: ReinforceLoop) -> dict[str, float]:
        self._mean_rewards[:] = [next(rewards) for _ in self._mean_rewards]
        seen.append(tuple(self._mean_rewards))
        return real_select(self)

    real_select = ReinforceLoop.select
    monkeypatch.setattr(ReinforceLoop, "select", select)
    kept = {}
    for selection in ("best_reward", "last"):
        rewards = iter([0.0, 0.0, 1.0, 1.0, 0.0, 0.0])
        overrides = ["training.stage1_fraction=0", f"training.rl.selection={selection}"]
        conduct(trained_by(tmp_path / selection, tiny_model_folder, *overrides))
        kept[selection] = (find_runs(tmp_path / selection)[0].path / "weights" / "model.safetensors").read_bytes()
    assert seen[:3] == [(0.0, 0.0), (1.0, 1.0), (0.0, 0.0)]
    assert kept["best_reward"] != kept["last"]


def set_dev(task: Task, dev: tuple[Problem, ...]) -> None:
    """Give a task another dev split; an empty one is as MATH's without `num_dev`."""
    others = task.problems

    def problems(split: str) -> tuple[Problem, ...]:
        return (
            Splits(dev=dev).get("dev", hint="set task.num_dev to hold some out of training")
            if split == "dev"
            else others(split)
        )

    task.problems = problems


def test_the_dev_split_may_decide_instead_and_costs_nothing_of_the_budget(tmp_path: Path, tiny_model_folder: Path):
    asked = ["training.stage1_fraction=0", "training.rl.selection=best_dev", "training.rl.num_steps=6"]
    spec = trained_by(tmp_path, tiny_model_folder, *asked)
    set_dev(spec.task, spec.task.problems("train")[:3])
    conduct(spec)
    (run,) = find_runs(tmp_path)
    log = log_of(run)
    assert list(log.loc[log["selection/dev_accuracy"].notna(), "step"]) == [2, 4, 6]
    assert run.manifest("greedy").usage["sampled_episodes"] == 6 * 2 * spec.experiment.training.rl.group_size


def test_a_checkpoint_chosen_on_a_dev_split_that_is_not_there_is_refused_before_training(
    tmp_path: Path, tiny_model_folder: Path
):
    spec = trained_by(tmp_path, tiny_model_folder, "training.rl.selection=best_dev")
    set_dev(spec.task, ())
    with pytest.raises(ValueError, match=r"there are no dev problems: set task.num_dev"):
        conduct(spec)
    assert not (find_runs(tmp_path)[0].path / "train.jsonl").exists()


@pytest.mark.parametrize("method", ["pair_sft", "pair_sft_plus"])
def test_probing_pair_sft_through_the_epoch_changes_neither_its_weights_nor_its_budget(method: str, tmp_path: Path):
    weights, budgets, logs = [], [], []
    for every in (0, 3):
        results = tmp_path / str(every)
        asked = [f"method={method}", f"training.sft.probe_every={every}", "training.sft.probe_problems=5"]
        asked += ["training.sft.samples_per_problem=1", "task.num_train=40", "task.num_test=2", "tracking=none"]
        conduct(compose_spec([*asked, "training.sft.batch_size=2", f"results={results}"]))
        (run,) = find_runs(results)
        weights.append((run.path / "weights" / "model.safetensors").read_bytes())
        budgets.append(run.manifest("greedy").usage)
        logs.append(log_of(run))
    assert weights[0] == weights[1]
    assert budgets[0] == budgets[1]
    without, probed = logs
    assert not any(column.startswith("probe/") for column in without)
    rows = probed[probed["probe/fixed_train"].notna()]
    last = budgets[0]["updates"]
    assert list(rows["update"]) == [*range(0, last, 3), last]
    for curve in ("fixed_train", "fixed_validation", "self_generated_validation"):
        assert rows[f"probe/{curve}"].between(0, 1).all()


def test_without_a_dev_split_pair_sft_is_probed_on_training_problems_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    asked = ["method=pair_sft", "training.sft.samples_per_problem=1", "task.num_train=20", "task.num_test=2"]
    spec = compose_spec([*asked, "training.sft.probe_problems=5", "tracking=none", f"results={tmp_path}"])
    set_dev(spec.task, ())
    conduct(spec)
    assert "Figure 5 will have its training curve alone: " in caplog.text
    assert "set task.num_dev to hold some out of training" in caplog.text
    probed = [column for column in map(str, log_of(find_runs(tmp_path)[0])) if column.startswith("probe/")]
    assert probed == ["probe/fixed_train"]


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("training.rl.group_size=1", "needs at least 2"),
        ("training.rl.sampling.top_p=0.8", "temperature=1 top_p=1 top_k=0"),
        ("training.rl.sampling.top_k=50", "temperature=1 top_p=1 top_k=0"),
        ("training.rl.sampling.temperature=0.7", "temperature=1 top_p=1 top_k=0"),
        ("training.stage1_fraction=1.5", "must lie in"),
        ("training.rl.optimizer.learning_rate=-1", "must be positive"),
    ],
)
def test_values_that_would_make_the_gradient_wrong_are_refused_when_composed(override: str, told: str):
    with pytest.raises(Exception, match=told):
        compose_spec(["method=score", override])


def test_composing_twice_gives_the_same_plan():
    assert compose_spec(["method=score"]).config == compose_spec(["method=score"]).config


def test_an_instruction_that_the_model_cannot_read_is_refused_before_training(tmp_path: Path):
    quick = ["task.num_test=2", "tracking=none", f"results={tmp_path}"]
    with pytest.raises(ValueError, match="has no tokens for 'Try harder"):
        conduct(compose_spec(["method=self_refine", "method.critique=Try harder.", *quick]))
    conduct(compose_spec(["method=self_refine", "variant=readable", *quick]))
