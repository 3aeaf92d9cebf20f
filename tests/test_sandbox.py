"""The sandbox: what a confined process can still do, what a weak host is told, and that nobody outlives anybody."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import bench
from bench.episode import Problem, UnitTests
from bench.grading.programs.verifier import ProgramVerifier
from bench.grading.sandbox import confinement, syscalls
from bench.grading.sandbox.time_limit import TimeLimit
from bench.grading.verifier import Grading

ATTEMPTS = {
    "write": "open('/tmp/confined', 'w')",
    "read": "open('/etc/passwd')",
    "list": "os.listdir('/proc/1')",
    "socket": "socket.socket()",
    "fork": "os.fork()",
    "execute": "os.execv('/bin/true', ['true'])",
    "signal": "os.kill(os.getppid(), 0)",
    "rights": "os.chmod(os.__file__, 0o777)",
    "memory": "bytearray(1 << 30)",
    "root": "os.setuid(0)",
    "null": "open(os.devnull, 'w')",
    "thread": "threading.Thread(target=len, args=('',)).start()",
    "pair": "socket.socketpair()",
    "own signal": "os.kill(os.getpid(), 0)",
    "library": "__import__('sqlite3')",
}
HARMLESS = {"null", "thread", "pair", "own signal", "library"}
SCRIPT = f"""
import json, os, socket, sys, threading
sys.path.append({str(Path(confinement.__file__).parents[3])!r})
from bench.grading.sandbox import confinement
layers = confinement.confine(memory_mb=512, readable=confinement.program_files(), without=sys.argv[1:])
outcomes = {{}}
for name, code in json.loads({json.dumps(json.dumps(ATTEMPTS))}).items():
    try:
        eval(code)
        outcomes[name] = "done"
    except (OSError, MemoryError) as error:
        outcomes[name] = type(error).__name__
print(json.dumps([layers, outcomes]))
"""


def confined(*without: str) -> tuple[list[str], dict[str, str]]:
    command = [sys.executable, "-I", "-c", SCRIPT, *without]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(finished.stdout)


@pytest.mark.parametrize(
    "without", [(), ("namespaces",), ("landlock",)], ids=["all layers", "-namespaces", "-landlock"]
)
def test_a_confined_process_keeps_what_is_harmless_and_nothing_else(without: tuple[str, ...]) -> None:
    layers, outcomes = confined(*without)
    if not confinement.is_safe(layers):
        pytest.skip(f"this host offers only {', '.join(layers)}")
    assert {name for name, outcome in outcomes.items() if outcome == "done"} == HARMLESS
    assert not Path("/tmp/confined").exists()


def test_the_layers_of_the_host_are_known_without_confining_this_process() -> None:
    assert "rlimits" in confinement.isolation()
    assert confinement.isolation().endswith("(unsafe)") != confinement.is_safe(confinement.probe(()))
    subprocess.run([sys.executable, "-c", ""], check=True)  # we may still start programs


def test_bubblewrap_and_the_child_that_tries_the_layers_see_the_folder_that_holds_this_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = str(Path(bench.__file__).parents[1])
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    command = confinement.bubblewrap()
    assert command[command.index(root) - 1 : command.index(root) + 2] == ("--ro-bind", root, root)
    monkeypatch.setattr("subprocess.run", lambda command, **_: subprocess.CompletedProcess(command, 1, "", command[-1]))
    with pytest.raises(RuntimeError, match=re.escape(f"sys.path.append({root!r})")):
        confinement._layers_of_child((), ())


def test_a_host_without_isolation_is_refused_unless_that_is_allowed() -> None:
    weak = ("landlock", "namespaces", "private root", "bubblewrap")
    problem = Problem("p", "", "", tests=UnitTests(asserts=("assert f() == 1",)))
    with ProgramVerifier(Grading(workers=1), without=weak) as verifier:
        future = verifier.submit(problem, "def f(): return 1")
        with pytest.raises(confinement.UnsafeHostError, match=r"set grading\.allow_unsafe=true"):
            future.result()
    with ProgramVerifier(Grading(workers=1, allow_unsafe=True), without=(*weak, "seccomp")) as verifier:
        assert verifier.submit(problem, "def f(): return 1").result().grade == "correct"


def test_without_seccomp_a_program_may_fork_and_its_children_end_with_it() -> None:
    loop = "    for _ in range(3):\n        if os.fork() == 0:\n            os.setsid()\n            os.fork()\n"
    program = f"import os, time\ndef f():\n{loop}            time.sleep(600)\n    return 1"
    problem = Problem("p", "", "", tests=UnitTests(asserts=("assert f() == 1",)))
    with ProgramVerifier(Grading(workers=1, allow_unsafe=True), without=("seccomp",)) as verifier:
        assert verifier.submit(problem, program).result().grade == "correct"
        (worker,) = verifier._workers.started
        children = Path(f"/proc/{worker.processes[1].pid}/task/{worker.processes[1].pid}/children")
        if children.exists():
            assert children.read_text() == ""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends the test runners on Linux only")
def test_everything_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = f"""
import sys, time
sys.path.insert(0, {str(Path(confinement.__file__).parents[3])!r})
import bench
from bench.episode import Problem, UnitTests
from bench.grading.programs.verifier import ProgramVerifier
from bench.grading.verifier import Grading
verifier = ProgramVerifier(Grading(workers=1, program_seconds=300))
tests = UnitTests(asserts=("assert f() == 1",))
verifier.submit(Problem("p", "", "", tests=tests), "def f(): return 1").result()
verifier.submit(Problem("p", "", "", tests=tests), "def f():\\n    while True: pass")
(worker,) = verifier._workers.started
children = f"/proc/{{worker.processes[1].pid}}/task/{{worker.processes[1].pid}}/children"
while not (running := open(children).read().split()):
    time.sleep(0.01)
print(worker.processes[0].pid, worker.processes[1].pid, *running, flush=True)
time.sleep(300)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=tmp_path) as parent:
        assert parent.stdout is not None
        processes = [int(word) for word in parent.stdout.readline().split()]
        assert len(processes) == 3
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while (alive := [process for process in processes if running(process)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive == []


def running(process: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


@pytest.mark.slow
def test_ten_thousand_programs_leak_no_process_descriptor_or_memory() -> None:
    programs = [
        *("def f(x): return 2 * x", "def f(x): return x", "def f(x): raise ValueError", "def f(x: return", "nothing"),
        *("import os\nos._exit(0)", "import os\ndef f(x): os.closerange(0, 64)", "import os\ndef f(x): os.fork()"),
    ]
    tests = UnitTests(asserts=("assert f(2) == 4", "assert f(3) == 6"))

    def state(verifier: ProgramVerifier) -> tuple[int, int]:
        """Open descriptors of all processes, and processes."""
        pids = [
            os.getpid(),
            *(process.pid for worker in verifier._workers.started for process in worker.processes),
        ]
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids), len(pids)

    with ProgramVerifier(Grading(workers=2)) as verifier:

        def grade(count: int) -> None:
            problem = Problem("p", "", "", tests=tests)
            for future in [verifier.submit(problem, programs[n % len(programs)]) for n in range(count)]:
                future.result()

        grade(100)
        before, workers = state(verifier), set(verifier._workers.started)
        grade(10_000)
        assert state(verifier) == before
        assert verifier._workers.started == workers
        for worker in workers:
            assert Path(f"/proc/{worker.processes[1].pid}/task/{worker.processes[1].pid}/children").read_text() == ""


def test_the_filter_fits_the_kernels_limit_and_both_architectures(monkeypatch: pytest.MonkeyPatch) -> None:
    for machine in syscalls.ARCHITECTURES:
        monkeypatch.setattr("platform.machine", lambda machine=machine: machine)
        syscalls._common.cache_clear()
        program = syscalls._filter(1, processes=False, writes=False)
        assert len(program) % 8 == 0
        assert len(program) // 8 < 4096
    syscalls._common.cache_clear()


def test_a_limit_grows_by_the_time_spent_waiting_for_a_core_up_to_ten_times(monkeypatch: pytest.MonkeyPatch) -> None:
    now, waited = 100.0, 7.0  # seconds; what the process waited before the limit began does not count
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr(TimeLimit, "_waited", lambda _: waited)
    limit = TimeLimit(os.getpid(), seconds=2)
    now += 1.5
    assert limit.left() == 0.5
    now, waited = now + 1.5, waited + 1.5
    assert limit.left() == 0.5
    now, waited = now + 20, waited + 20
    assert limit.left() == 10 * 2 - 23
