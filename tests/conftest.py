"""Fixtures that several test files share."""

import sys
from pathlib import Path
from typing import cast

import hypothesis
import pytest
import torch

from bench.models.config import Transformers
from bench.models.policy import TransformersPolicy
from tests.tiny_model import save_tiny_model

if not sys.platform.startswith("linux"):
    pytest.exit(f"the tests run on Linux, and this is {sys.platform}; use WSL2 or a container", returncode=2)

# No test fails on time: machines are shared.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data files beside the repository; never shipped, so a test that needs it may skip."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real data files are not here ({folder} is absent)")
    return folder


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Tiny models run fastest on one thread, and pytest-xdist has a process per core already."""
    torch.set_num_threads(1)


@pytest.fixture
def tiny_learner(tiny_model_folder: Path) -> TransformersPolicy:
    """An untrained byte-level model with a chat template."""
    model = Transformers(path=str(tiny_model_folder), max_tokens=8, threads=1, device="cpu")
    return cast(TransformersPolicy, model.build(str))
