"""The corpus of cheating programs: none is graded correct, nothing survives its verdict, nothing is written."""

import os
import secrets
import site
import socket
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.episode import Grade, Problem, UnitTests
from bench.grading.programs.verifier import ProgramVerifier
from bench.grading.sandbox.confinement import UnsafeHostError, require_isolation
from bench.grading.verifier import Grading

CHEATS = sorted((Path(__file__).parent / "cheats").glob("*.py"))
MARK = "cheat_was_here"
PLACES = ("/tmp", "/var/tmp", "/dev/shm", "/etc", "/run", "/", ".", str(Path.home()))
PORT = 48765  # where the cheating programs that talk look for a listener
EXPECTED = {n: secrets.token_hex(6) for n in range(1, 5)}  # what no program can know
ASSERTS = UnitTests(asserts=tuple(f"assert secret({n}) == '{value}'" for n, value in EXPECTED.items()))
CHECK = UnitTests(
    check="def check(candidate):\n" + "".join(f"    assert candidate({n}) == '{v}'\n" for n, v in EXPECTED.items()),
    entry_point="secret",
    preamble='def secret(n):\n    """What is the secret of n?"""\n',
)
KNOWN = f"def secret(n):\n    return {EXPECTED!r}[n]"


@pytest.fixture(scope="module")
def verifier() -> Iterator[ProgramVerifier]:
    with ProgramVerifier(Grading(workers=2, program_seconds=0.5, memory_mb=512)) as verifier:
        yield verifier


def verdicts(verifier: ProgramVerifier, tests: UnitTests) -> dict[str, Grade]:
    """The grade of each cheating program, fenced as a model would write it."""
    replies = {cheat.stem: f"Here it is.\n```python\n{cheat.read_text()}\n```\n" for cheat in CHEATS}
    waiting = {name: verifier.submit(Problem(name, "", "", tests=tests), reply) for name, reply in replies.items()}
    return {name: future.result().grade for name, future in waiting.items()}


def traces() -> set[str]:
    folders = [*PLACES, *site.getsitepackages(), sysconfig.get_path("purelib"), sysconfig.get_path("stdlib")]
    found = {str(path) for folder in folders for path in Path(folder).glob(f"*{MARK}*")}
    return found | {str(path) for folder in folders for path in Path(folder).glob("sitecustomize.py")}


def descendants(process: int) -> list[int]:
    """The ids of all processes below `process`, whatever they call themselves."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(status.parent.name)] = int(fields[1])
    found = [child for child, parent in parents.items() if parent == process]
    return found + [below for child in found for below in descendants(child)]


def graders(verifier: ProgramVerifier) -> set[int]:
    return {process.pid for worker in verifier._workers.started for process in worker.processes}


@pytest.mark.parametrize("tests", [ASSERTS, pytest.param(CHECK, marks=pytest.mark.slow)], ids=["asserts", "check"])
def test_no_cheating_program_passes_survives_or_leaves_a_trace(verifier: ProgramVerifier, tests: UnitTests) -> None:
    before, elsewhere = traces(), set(descendants(os.getpid())) - graders(verifier)
    with socket.create_server(("127.0.0.1", PORT), reuse_port=True) as listener:
        grades = verdicts(verifier, tests)
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert len(grades) >= 40
    assert {name: grade for name, grade in grades.items() if grade is Grade.CORRECT} == {}
    assert set(descendants(os.getpid())) - graders(verifier) <= elsewhere
    assert traces() == before
    assert verifier.submit(Problem("known", "", "", tests=tests), KNOWN).result().grade is Grade.CORRECT


def test_cheating_programs_get_the_grade_of_what_they_did(verifier: ProgramVerifier) -> None:
    grades = {
        "os_exit_zero_on_load": Grade.ERROR,
        "system_exit_in_the_call": Grade.ERROR,
        "equal_to_everything": Grade.WRONG,
        "sleeps_past_the_limit": Grade.TIMEOUT,
        "stops_itself": Grade.TIMEOUT,
        "sockets": Grade.ERROR,
        "list_in_itself": Grade.ERROR,
        "nested_brackets": Grade.UNPARSEABLE,
    }
    for name, grade in grades.items():
        program = (Path(__file__).parent / "cheats" / f"{name}.py").read_text()
        assert verifier.submit(Problem(name, "", "", tests=ASSERTS), program).result().grade is grade, name


def test_a_memory_bomb_meets_its_limit_however_long_it_may_run() -> None:
    program = (Path(__file__).parent / "cheats" / "memory_bomb.py").read_text()
    with ProgramVerifier(Grading(workers=1, program_seconds=60, memory_mb=512)) as patient:
        assert patient.submit(Problem("bomb", "", "", tests=ASSERTS), program).result().grade is Grade.MEMORY


@pytest.mark.slow
@pytest.mark.parametrize("without", [("landlock",), ("namespaces",)], ids=" ".join)
def test_no_cheating_program_passes_where_a_layer_is_missing(without: tuple[str, ...]) -> None:
    try:
        require_isolation(allow_unsafe=False, without=without)
    except UnsafeHostError:
        pytest.skip(f"this host cannot isolate programs without {without[0]}")
    before = traces()
    with ProgramVerifier(Grading(workers=2, program_seconds=1, memory_mb=512), without=without) as verifier:
        assert Grade.CORRECT not in verdicts(verifier, ASSERTS).values()
    assert traces() == before
