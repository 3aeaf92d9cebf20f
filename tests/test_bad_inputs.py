"""What a user may get wrong: refused with exit code 2, in one line that names it and what works instead."""

import errno
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from bench import run
from bench.launch import catalogue
from bench.launch.catalogue import compose_spec
from bench.launch.command_line import CONF
from bench.launch.failures import sentence
from bench.models.config import Transformers
from bench.models.engine import StaleWeightsError
from bench.runs.finished import find_runs
from bench.runs.folder import Run
from tests.conftest import ROOT
from tests.tiny_model import save_tiny_model

LAUNCHERS = ROOT / "tests" / "launcher_plugin"


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that bench/run.py says to these arguments, which it must refuse."""
    assert run.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("refused: ")
    return line.removeprefix("refused: ")


@pytest.mark.parametrize("sign", ["", "+", "++", "~"])
@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("sede", "did you mean seed?"),
        ("training.rl.num_step", "did you mean training.rl.num_steps?"),
        ("training.alfa", "did you mean training.alpha?"),
        ("num_steps", "did you mean training.rl.num_steps?"),
        ("nothing", "keys of an experiment: method, task"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_one_whatever_sign_it_has(
    sign: str, key: str, meant: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    line = refused(capsys, "method=score", f"{sign}{key}=3" if sign != "~" else f"~{key}", f"results={tmp_path}")
    assert f"there is no key {key}; " in line
    assert meant in line
    assert "+" not in line.partition("there is no key")[2]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("method=scor", "did you mean method=score? method is one of base, multi_turn_rl"),
        (
            "task=maht",
            "did you mean task=math? task is one of humaneval, math, mbpp, mini_humaneval, mini_",
        ),
        ("model=minni", "did you mean model=mini? model is one of gemma-2-2b-it, llama-3.1-8b-instruct, "),
        ("training=papr", "did you mean training=paper? training is one of mini, paper"),
        ("evaluation=[greedi]", "did you mean evaluation=greedy? evaluation is one of dev, greedy, sampled"),
        ("hydra/launcher=nosuch", "hydra/launcher is one of basic"),
        ("method=null", "method is one of base"),
        ("preset=gemma2", "did you mean preset=gemma2_2b_math? preset is one of gemma2_2b_math, none, qwen2.5_"),
        ("~method", "method is one of base"),
        ("evaluation=[]", "evaluation is one of dev"),
        ("seed=x", "seed: Value 'x'"),
        ("training.alpha=much", "training.alpha: Value 'much'"),
        ("~seed", "leave ~seed out"),
        ("+seed=1", "seed=<value>"),
        ("seed", "'seed' is not key=value"),
        ("seed=0,1", "put -m before it"),
        ("tuned=mini", "tuned=mini: tuned/ is read as"),
        ("model=transformers", "set model.path=<value>"),
        ("model.template=[", "stands in quotes"),
        ("hydra/sweeper=basic", "sweeps are written as lists"),
    ],
)
def test_a_wrong_choice_or_value_is_refused_with_what_there_is(
    override: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert said in refused(capsys, "method=score", override, f"results={tmp_path}")


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "..", "", "x" * 300, "α5-ü", "'α5-ü'", "a\\ b", ".hidden"])
@pytest.mark.parametrize("key", ["variant", "model.name"])
def test_a_name_that_is_not_one_safe_part_of_a_path_is_refused(
    key: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    if key == "model.name" and not name:
        pytest.skip("an empty model.name stands for the last part of model.path")
    assert f"set {key}=<name>" in refused(capsys, f"{key}={name}", f"results={tmp_path / 'r'}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("values", ["glob(no*)", "interval(0,1)"])
def test_a_sweep_without_jobs_or_without_end_is_refused(values: str, capsys: pytest.CaptureFixture[str]):
    assert f"method={values}" in refused(capsys, "-m", f"method={values}")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["task=math", "task.source=local"], "task.path"),
        (["task=math", "task.source=local", "task.path=/no/such/folder"], "/no/such/folder"),
        (["model=transformers", "model.path=/no/such/model"], "no such folder"),
        (["model=replay", "model.path=/no/such/file.jsonl"], "no such file"),
        (["method=score", "training.rl.sampling.top_p=0.9"], "top_p=1"),
        (["method=score", "training.rl.group_size=1"], "at least 2"),
        (["method=score", "training.rl.importance_cap=0.5"], "set 1 or more"),
        (["results=/proc/nowhere"], "set results=<another folder>"),
        (["jobs=-1"], "set jobs=0 for one per GPU or core"),
        (["task.num_test=0"], "task.num_test must be positive, not 0"),
        (["task.num_train=-2"], "task.num_train must be positive, not -2"),
        (
            ["task=mini_mbpp"],
            "reads task=mini_math only: python bench/run.py method=base task=mini_mbpp model=",
        ),
        (["task=math", "task.source=nowhere"], "task.source: Invalid value 'nowhere', expected one of [hub, local]"),
        (["task=math"], "method=base task=math model=transformers model.path=<folder or hub id>"),
        (["task=mini_humaneval"], "model=mini reads task=mini_math only"),
        (["task.correction='Σ?'"], "no tokens for 'Σ?'"),
        (["evaluation=[ten_attempts]"], "set evaluations.ten_attempts.sampling.max_tokens=45, or less"),
        (["method=score", "method.num_attempts=12"], "set model.max_tokens=37, or less"),
        (["model.max_tokens=500"], "set evaluations.greedy.sampling.max_tokens="),
        (["evaluations.greedy.num_attempts=200"], "ask for fewer attempts"),
        (["method=score", "training.rl.sampling.max_tokens=300"], "set training.rl.sampling.max_tokens="),
        (["evaluations.greedy.split=exam"], "there is no split 'exam'"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_does(
    overrides: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    where = [] if any(override.startswith("results=") for override in overrides) else [f"results={tmp_path}"]
    assert said in refused(capsys, *overrides, *where, "tracking=none")
    assert find_runs(tmp_path) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("not json", "line 2 is not JSON"),
        ('{"attempts": ["a", "b"]}', "line 2: no 'problem_id'"),
        ('{"problem_id": "none", "attempts": "a"}', "line 2: 'attempts' must be a list of texts"),
        ('{"problem_id": "none", "attempts": ["a", "b"]}', "holds no attempts for 499 of 500 problems"),
    ],
)
def test_a_recording_that_cannot_be_played_is_refused_before_anything_runs(
    line: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    first = compose_spec([]).experiment.task.problems("test")[0].id
    path = tmp_path / "recording.jsonl"
    path.write_text(f'{{"problem_id": "{first}", "attempts": ["a", "b"]}}\n{line}\n')
    assert said in refused(capsys, "model=replay", f"model.path={path}", f"results={tmp_path / 'r'}")


def cut(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda model: cut(model / "model.safetensors", 6000), "model.safetensors is damaged ("),
        (lambda model: cut(model / "model.safetensors", 100), "model.safetensors is damaged ("),
        (lambda model: cut(model / "model.safetensors", 0), "model.safetensors is damaged ("),
        (lambda model: cut(model / "tokenizer.json", 50), "tokenizer.json cannot be read"),
        (lambda model: cut(model / "config.json", 50), "config.json cannot be read"),
        (
            lambda model: (model / "model.safetensors.index.json").write_text(
                '{"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}'
            ),
            "lacks model-00002-of-00002.safetensors, which its model.safetensors.index.json names",
        ),
    ],
)
def test_a_damaged_model_is_refused_before_anything_runs(
    damage: Callable[[Path], object],
    said: str,
    tiny_model_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    model = tmp_path / "model"
    shutil.copytree(tiny_model_folder, model)
    overrides = ["model=transformers", f"model.path={model}", "model.max_tokens=8", f"results={tmp_path / 'r'}"]
    assert compose_spec(overrides).check() is None
    damage(model)
    assert said in refused(capsys, *overrides)


@pytest.mark.parametrize(
    ("device", "said"), [("cuda", "set model.device=auto or cpu"), ("gpu", "is none of auto, cpu")]
)
def test_a_device_that_is_not_there_is_refused(
    device: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert said in refused(capsys, f"model.device={device}", f"results={tmp_path}")


@pytest.mark.parametrize(
    ("arguments", "installed", "said"),
    [
        ([], False, "needs vLLM, which is not installed: pip install -c constraints.txt -e '.[vllm]'"),
        ([], True, "heads have 16 dimensions, and vLLM's engine for CPUs takes 32, 64, "),
        (["model.device=mps"], True, "model.device=mps: the vLLM sampler computes on cuda or cpu"),
        (["model.vllm.tensor_parallel=2"], True, "each experiment sees one GPU; set it to 1"),
        (["model.vllm.memory_share=1.5"], True, "model.vllm.memory_share must lie between 0 and 1, not 1.5"),
        (["model.vllm.checked_within=0"], True, "model.vllm.checked_within must be at least 1, not 0"),
    ],
)
def test_a_vllm_engine_that_cannot_run_is_refused(
    arguments: list[str],
    installed: bool,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: (installed or None) if name == "vllm" else find(name, *more)
    )
    assert said in refused(capsys, "model.sampler=vllm", *arguments, f"results={tmp_path}")


def test_a_folder_that_another_process_works_in_is_refused_with_its_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    spec = compose_spec([f"results={tmp_path}"])
    with Run.lock(spec.key, tmp_path, spec.config):
        assert f"process {os.getpid()} on {socket.gethostname()} is working in " in refused(
            capsys, f"results={tmp_path}"
        )


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x"), "the disk is full: make room"),
        (RuntimeError("[enforce fail] . PytorchStreamWriter failed writing file data/3"), "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), "/a/b may not be read or written"),
        (FileNotFoundError(errno.ENOENT, "No such file", "/a/b"), "/a/b is not there"),
        (torch.OutOfMemoryError("CUDA out of memory."), "set model.train_batch_tokens and model.sample_batch_tokens"),
        (ValueError("one\ntwo"), "one\ntwo"),
        (StaleWeightsError("after push 3 of the weights"), "after push 3 of the weights"),
        (KeyError("x"), None),
    ],
)
def test_what_a_user_can_mend_is_said_in_a_sentence_and_our_own_faults_keep_their_traceback(
    error: Exception, said: str | None
):
    printed = sentence(error)
    assert (printed is None) == (said is None)
    assert (said or "") in (printed or "")


@pytest.mark.parametrize("context", [128, 100_000])
def test_what_the_files_of_a_model_tell_agrees_with_the_loaded_model(tmp_path: Path, context: int):
    folder = save_tiny_model(tmp_path / "model", context=context)
    model = Transformers(path=str(folder), threads=1, device="cpu")
    prompts = {"short": "Why?", "long": "Why, and how, and since when? " * 3}
    outline, learner = model.outline(str), model.build(str)
    assert outline is not None
    answers = []
    for known in (outline, learner):
        for max_tokens in (1, 12, 13, 14, 15, 16, 60_000):
            try:
                known.check_can_sample(prompts, follow_up_turns=["Sure?"], max_tokens=max_tokens, key="k")
                answers.append("")
            except ValueError as error:
                answers.append(str(error).replace(str(folder), ""))
    half = len(answers) // 2
    assert answers[:half] == answers[half:]
    assert any(answers)
    assert not all(answers)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        (
            "method/odd.yaml",
            "alpha: 3\n",
            "conf/method/odd.yaml names no dataclass: begin it with `defaults: [",
        ),
        ("method/odd.yaml", "alpha: [3\nbeta: 2\n", "odd.yaml, line 2 is not YAML: expected ',' or ']'"),
        ("method/odd.yaml", "defaults:\n  - /schema/Scroe@_here_\n", "schema/Scroe"),
        (
            "method/odd.yaml",
            "defaults:\n  - score\n  - _self_\nalhpa: 3\n",
            "In 'method/odd': ConfigKeyError raised while composing config: Key 'alhpa' not in 'Score'",
        ),
        ("experiment.yaml", "defaults:\n\t- Experiment\n", "experiment.yaml, line 2 is not YAML"),
    ],
)
def test_a_file_of_the_configuration_that_is_wrong_is_refused_by_its_name(
    file: str,
    content: str,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    shutil.copytree(CONF, tmp_path / "conf")
    (tmp_path / "conf" / file).write_text(content)
    monkeypatch.setattr(run, "CONF", tmp_path / "conf")
    method = "odd" if file == "method/odd.yaml" else "score"
    assert said in refused(capsys, f"method={method}", f"results={tmp_path / 'r'}")


def test_a_class_that_is_not_named_after_its_module_is_refused_by_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    module = ModuleType("bench.methods.ask_nicely")
    module.__file__ = "bench/methods/ask_nicely.py"
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(catalogue, "METHODS", (*catalogue.METHODS, "ask_nicely"))
    line = refused(capsys, f"results={tmp_path}")
    assert line == "bench/methods/ask_nicely.py has no dataclass of the module's name: call it AskNicely"


@pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="needs the extra [slurm]")
def test_a_launcher_whose_command_is_absent_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    line = refused(capsys, "-m", "hydra/launcher=submitit_slurm", "method=base", f"results={tmp_path / 'r'}")
    assert "there is no srun here" in line


def test_a_sweep_says_a_reason_that_all_its_jobs_share_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    line = refused(capsys, "-m", "method=base,score", "seed=0,1,2", "task.num_test=0", f"results={tmp_path}")
    assert "(refuses 6 jobs, first method=base seed=0 " in line


def test_the_command_itself_refuses_with_exit_code_2_and_no_traceback(tmp_path: Path):
    command = [sys.executable, "bench/run.py", "-m", "method=base,score", "+sede=1", f"results={tmp_path}"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert printed.returncode == 2
    assert printed.stderr.count("refused: ") == 1
    assert "(refuses 2 jobs, first method=base" in printed.stderr
    assert "Traceback" not in printed.stderr


def test_elsewhere_than_on_linux_it_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "this runs on Linux" in refused(capsys)


def test_a_launchers_jobs_are_checked_before_any_is_submitted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(LAUNCHERS)
    importlib.import_module("hydra_plugins.in_turn")
    monkeypatch.setattr(run, "launch", lambda *_, **__: pytest.fail("it was submitted"))
    overrides = [
        "-m",
        "hydra/launcher=in_turn",
        "method=base",
        "task=math",
        "task.source=local",
        "task.path=/no/such/folder",
    ]
    assert "/no/such/folder does not exist" in refused(capsys, *overrides, f"results={tmp_path}")
