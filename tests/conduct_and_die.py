"""An experiment that gets SIGKILL inside a chosen call: what tests/test_kill.py runs in processes of its own.

Importing it loads what an experiment loads, so that a fork server that has imported it starts one at once.
"""

from __future__ import annotations

import importlib
import os
import signal
from functools import reduce
from typing import Any

import torch
import transformers.models.auto.modeling_auto
import transformers.models.llama.modeling_llama  # noqa: F401  the miniature's

import bench.evaluation as evaluation_module
import bench.training.collection as collection_module
from bench.conduct import conduct
from bench.launch.catalogue import compose_spec

SETTINGS = ["tracking=none", "task.num_train=40", "task.num_test=10", "training.sft.batch_size=4"]
SETTINGS += ["training.sft.checkpoint_every=2", "training.sft.probe_every=3", "training.sft.probe_problems=4"]
SETTINGS += ["training.sft.samples_per_problem=3", "training.rl.num_steps=4", "training.rl.problems_per_step=2"]


def conduct_and_die(folder: str, method: str, module: str = "", attribute: str = "", call: int = 0) -> None:
    """The call of number `call` (from 1) of `module`.`attribute` ends the process; without them it runs to its end."""
    torch.set_num_threads(1)
    collection_module.CONVERSATIONS_AT_ONCE = 20
    evaluation_module._PROBLEMS_AT_ONCE = 3
    if module:
        die_in(module, attribute, at=call)
    conduct(compose_spec([f"method={method}", f"results={folder}", *SETTINGS]))


def die_in(module: str, attribute: str, *, at: int) -> None:
    *owners, name = attribute.split(".")
    owner: Any = reduce(getattr, owners, importlib.import_module(module))
    real, calls = getattr(owner, name), 0

    def dying(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **named)

    setattr(owner, name, dying)
