"""A GPU whose memory is full: the hint that is printed, and that the command in it resumes."""

import shlex
from collections.abc import Sequence
from multiprocessing import Pipe
from pathlib import Path

import pytest
import torch

from bench import run
from bench.experiment import RunSpec
from bench.launch import pool
from bench.launch.slots import Slots
from bench.models import policy as policy_module

SMALL = ["method=score_stage1", "tracking=none", "task.num_train=4", "task.num_test=4", "training.rl.num_steps=2"]
SMALL += ["training.rl.problems_per_step=2", "training.rl.group_size=2", "training.rl.checkpoint_every=1"]


def run_here(specs: Sequence[RunSpec], _: Slots) -> list[RunSpec]:
    """`run_all` without processes, so that a test may break what they call."""
    failed = []
    for spec in specs:
        ours, theirs = Pipe(duplex=False)
        with ours, theirs:
            try:
                pool._conduct(spec, {}, theirs, 0)
            except SystemExit as end:
                if end.code:
                    failed.append(spec)
    return failed


def full(*_: object, **__: object) -> None:
    raise torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has a total capacity of 1 GiB."
    )


@pytest.mark.parametrize(
    ("holder", "name"),
    [
        (policy_module.TransformersPolicy, "generate"),
        (policy_module, "compute_logprobs"),
        (policy_module.TransformersPolicy, "backward"),
    ],
    ids=["in sampling", "in scoring", "in an update"],
)
def test_a_full_gpu_ends_with_one_line_that_names_smaller_batches_in_a_command_that_goes_on(
    holder: object, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run, "run_all", run_here)
    monkeypatch.setattr(pool, "die_with_parent", lambda _: None)
    with monkeypatch.context() as broken:
        broken.setattr(holder, name, full)
        assert run.main([*SMALL, "model.train_batch_tokens=1024", f"results={tmp_path}"]) == 1
    printed = capsys.readouterr().err
    assert "Traceback" not in printed
    (hint,) = [line for line in printed.splitlines() if "memory is full" in line]
    assert "model.train_batch_tokens" in hint
    assert "model.sample_batch_tokens" in hint
    (again,) = [line for line in printed.splitlines() if "bench/run.py" in line and "report" not in line]
    assert again.endswith("model.train_batch_tokens=512 model.sample_batch_tokens=32768")
    command = shlex.split(again.partition("python bench/run.py ")[2])
    assert run.main(command) == 0
    assert "1 of 1 run done" in capsys.readouterr().err
