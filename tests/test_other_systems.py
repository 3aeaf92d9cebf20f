"""Elsewhere than on Linux a command works without what Linux alone has, or refuses in one line before any work.

macOS is simulated: the platform has its name, and whatever would read /proc, ask for the allowed cores, fork or call
prctl fails.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.made_results import make_run

MACOS = """
import importlib, os, runpy, sys

importlib.import_module(sys.argv[1])  # so that its libraries load as on Linux

def forbid(event, arguments):
    reads_proc = event == "open" and str(arguments[0]).startswith("/proc")
    if reads_proc or event in ("os.fork", "os.forkpty", "ctypes.dlsym"):
        sys.stderr.write(f"LINUX ONLY: {event} {arguments}\\n")
        sys.stderr.flush()
        os._exit(99)

sys.addaudithook(forbid)
sys.platform = "darwin"
del os.sched_getaffinity
sys.argv = sys.argv[1:]
del sys.modules[sys.argv[0]]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def on_macos(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-c", MACOS, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)


@pytest.mark.parametrize(
    "arguments",
    [
        ["bench.run", "-m", "method=base,score"],
        ["bench.report", "--grader", "math_verify"],
        ["bench.grading.__main__", "math", "in.jsonl", "out.jsonl"],
    ],
    ids=" ".join,
)
def test_what_needs_linux_is_refused_in_one_line(arguments: list[str]):
    result = on_macos(*arguments)
    assert result.returncode in (1, 2)
    (line,) = result.stderr.splitlines()
    assert "this runs on Linux, and this is darwin; use" in line
    assert result.stdout == ""


def test_tables_and_figures_are_made_anywhere(tmp_path: Path):
    for method in ("base", "score"):
        make_run(tmp_path, method, 0)
    result = on_macos("bench.report", "--results", str(tmp_path), "--html")
    assert result.returncode == 0, result.stderr
    assert list(tmp_path.rglob("report.html"))
