"""`model=served` against a real server with the miniature's model: the same replies as sampling that model here.

`pip install -c constraints.txt -e '.[served]' 'transformers[serving]'`, then `pytest -m served`.
"""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.conduct import conduct
from bench.launch.catalogue import compose_spec
from bench.runs.finished import find_runs
from tests.conftest import ROOT

pytestmark = pytest.mark.served

MINI = str(ROOT / "bench" / "mini" / "checkpoint")
ON_A_CPU = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
COMMAND = [sys.executable, "-m", "transformers.cli.transformers", "serve", MINI, "--device", "cpu"]


@contextmanager
def serving(command: list[str], log: Path) -> Iterator[str]:
    """The address of a server, until the context ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, **ON_A_CPU},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        while not healthy(port):
            assert server.poll() is None, log.read_text()
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait()


def healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as reply:
            return reply.status == 200
    except (OSError, urllib.error.URLError):
        return False


def attempts(results: Path, *words: str) -> tuple[list[list[str]], Any]:
    conduct(compose_spec([*words, "task.num_test=20", "tracking=none", f"results={results}"]))
    (run,) = find_runs(results)
    transcripts = pd.read_json(run.path / "greedy" / "transcripts.jsonl.gz", lines=True)
    return transcripts["attempts"].tolist(), run.manifest("greedy")


def test_a_real_server_gives_the_replies_and_counts_of_the_same_model_sampled_here(tmp_path: Path):
    pytest.importorskip("uvicorn", reason="transformers[serving] is not installed")
    here, manifest_here = attempts(tmp_path / "here", "model=mini")
    with serving(COMMAND, tmp_path / "log.txt") as url:
        words = ["model=served", f"model.base_url={url}", f"model.name={MINI}", "model.max_tokens=48"]
        there, manifest_there = attempts(tmp_path / "there", *words, "model.concurrency=4")
    assert there == here
    assert manifest_there.prompt_tokens == manifest_here.prompt_tokens
    assert manifest_there.sampled_tokens == pytest.approx(manifest_here.sampled_tokens, abs=40)  # an end may not count
