"""The process that knows the tests. It extracts the program, has it called in another process, and compares.

HumanEval's `check` runs here against a proxy; MBPP's asserts are split, so that only the call's source travels. What
comes back is plain data in exact built-in types, so `==` here is Python's own. Names in a test that the program has to
provide are read from it; the prompt's helpers (`poly`, `encode_shift`) come from the prompt, never from the program.
"""

import ast
import importlib
import json
import random
import signal
import socket
import sys
from dataclasses import asdict
from typing import Any

from bench.episode import Grade, UnitTests, Verdict
from bench.grading.programs.assertions import CALL, call_split, free_names
from bench.grading.programs.extraction import assemble, closed, extract_program
from bench.grading.programs.proxy import BrokenTestsError, Failed, Module, Program, RaisedError, SandboxGoneError
from bench.grading.programs.python_source import NOT_PYTHON, compile_quietly
from bench.grading.sandbox import confinement
from bench.grading.sandbox.plain_data import frame, frames

MAX_FAILURE = 500  # characters


def main(
    server_descriptor: int,
    parent_descriptor: int,
    *,
    parent: int,
    seconds: float,
    memory_mb: int,
    without: tuple[str, ...],
) -> None:
    """Grade one job after the other until the parent closes its end.

    A job is a JSON frame with `text` and `tests`, the reply one with the fields of a `Verdict`, or with `broken`: why
    the tests cannot be run.
    """
    confinement.die_with_parent(parent)
    confinement.confine(memory_mb=memory_mb, without=without)
    server, channel = socket.socket(fileno=server_descriptor), socket.socket(fileno=parent_descriptor)
    channel.sendall(frame({"layers": json.loads(server.recv(1 << 12))}))
    for payload in frames(channel.makefile("rb")):
        job = json.loads(payload)
        # Comparing hostile values may take for ever inside one bytecode: SIGPROF then ends this process.
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            reply = asdict(grade(job["text"], UnitTests(**job["tests"]), server, seconds))
        except BrokenTestsError as error:
            reply = {"broken": str(error)}
        signal.setitimer(signal.ITIMER_PROF, 0)
        channel.sendall(frame(reply))


def grade(text: str, tests: UnitTests, server: socket.socket, seconds: float) -> Verdict:
    """The verdict on a reply. Raises `BrokenTestsError` if the tests cannot be run."""
    random.seed(0)  # HumanEval 38, 50 and 53 draw their cases: the same ones for every attempt
    try:
        code = extract_program(text, tests)
    except SyntaxError as error:  # of the tests: those of the reply are dealt with in there
        raise BrokenTestsError(f"SyntaxError: {error}") from error
    if code is None:
        return _verdict(Grade.NO_ANSWER, None, "the reply holds no code")
    source = assemble(tests, code)
    try:
        compile_quietly(source)
    except NOT_PYTHON as error:
        return _verdict(Grade.UNPARSEABLE, code, f"{type(error).__name__}: {error}")
    program = Program(server, seconds)
    try:
        program.ask("load", source)
        (_run_check if tests.check else _run_asserts)(tests, program)
    except Failed as failed:
        return _verdict(failed.grade, code, str(failed))
    except RaisedError as raised:
        return _verdict(Grade.ERROR, code, str(raised))
    except (BrokenTestsError, SandboxGoneError):
        raise
    except AssertionError as error:
        return _verdict(Grade.WRONG, code, str(error) or "an assertion does not hold")
    except MemoryError:
        return _verdict(Grade.MEMORY, code, "comparing the result takes too much memory")
    except Exception as error:  # a test that cannot digest the result (abs(None - 1)) does not hold
        return _verdict(Grade.WRONG, code, f"the test raised {type(error).__name__}: {error}")
    finally:
        program.end()
    return _verdict(Grade.CORRECT, code, "")


def _verdict(grade: Grade, code: str | None, failure: str) -> Verdict:
    return Verdict(grade, code, failure[:MAX_FAILURE])


def _run_check(tests: UnitTests, program: Program) -> None:
    namespace = _trusted(tests.imports, closed(tests.preamble))
    own = set(namespace) - {tests.entry_point}
    try:
        tree = ast.parse(tests.check)
    except SyntaxError as error:
        raise BrokenTestsError(f"SyntaxError: {error}") from error
    _provide(namespace, free_names(tree) - own | {tests.entry_point}, program)
    _define(tree, namespace)
    namespace["check"](namespace[tests.entry_point])


def _run_asserts(tests: UnitTests, program: Program) -> None:
    namespace = _trusted(tests.imports, "")
    namespace[CALL] = lambda source: program.ask("evaluate", source)[0]
    for test in tests.asserts:
        tree = call_split(test, set(namespace))
        _provide(namespace, free_names(tree) - set(namespace), program)
        try:
            exec(compile(tree, "<test>", "exec", dont_inherit=True), namespace)
        except AssertionError as error:
            if isinstance(error, RaisedError):
                raise
            raise AssertionError(f"{test.strip()} does not hold {error}".strip()) from None


def _trusted(imports: tuple[str, ...], preamble: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "tests"}
    _define("\n".join(imports) + "\n" + preamble, namespace)
    return namespace


def _define(source: str | ast.Module, namespace: dict[str, Any]) -> None:
    try:
        exec(compile(source, "<tests>", "exec", dont_inherit=True), namespace)
    except Exception as error:  # whatever the data's code raises, it is the data that is at fault
        raise BrokenTestsError(f"{type(error).__name__}: {error}") from error


def _provide(namespace: dict[str, Any], names: set[str], program: Program) -> None:
    """Bind the names that tests use and the program has to define; a standard module of that name is our own."""
    for name in sorted(names):
        value = program.ask("name", name)[0]
        if isinstance(value, Module):
            if value.name != name or name not in sys.stdlib_module_names:
                raise Failed(Grade.ERROR, f"{name} is the module {value.name[:40]!r}, not a function")
            value = importlib.import_module(name)
        namespace[name] = value
