"""A generated program in its own process, as the test runner sees it: requests, answered by plain data or a failure."""

import builtins
import select
import signal
import socket
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, NoReturn

from bench.episode import Grade
from bench.grading.sandbox.plain_data import HEADER, MAX_FRAME, NotPlainError, decode, encode, frame, unframe
from bench.grading.sandbox.server import END, GONE, PROCESS, START, STATUS
from bench.grading.sandbox.time_limit import TimeLimit


class Failed(BaseException):
    """The attempt's verdict is clear and is not `correct`. Not an `Exception`: no test may catch it."""

    def __init__(self, grade: Grade, failure: str) -> None:
        super().__init__(failure)
        self.grade = grade


class RaisedError(Exception):
    """The program raised; a test may catch it by its built-in kind."""


class SandboxGoneError(RuntimeError):
    """The sandbox server ended: our fault, never a grade."""


class BrokenTestsError(ValueError):
    """The tests themselves cannot be run, whatever the program."""


@dataclass(frozen=True)
class Module:
    """The program says that a name of its is this module."""

    name: str


class Program:
    """A generated program in its own process, as the test runner sees it."""

    def __init__(self, server: socket.socket, seconds: float) -> None:
        self.server = server
        server.sendall(START)
        process, descriptors, _, _ = socket.recv_fds(server, PROCESS.size, 1)
        if not descriptors:
            raise SandboxGoneError
        self.channel = socket.socket(fileno=descriptors[0])
        self.channel.setblocking(False)
        self.limit = TimeLimit(PROCESS.unpack(process)[0], seconds)
        self.ended: tuple[int, bool] | None = None

    def ask(self, operation: str, *arguments: Any) -> Any:
        """What the program answers, decoded: the value that it returned, and the arguments if they matter."""
        nonce = token_hex(8)
        try:
            self.send(frame([nonce, operation, *arguments]))
            reply = unframe(self.receive(*HEADER.unpack(self.receive(HEADER.size))))
            match reply:
                case [str(echo), "returned", *values] if echo == nonce and 1 <= len(values) <= 2:
                    return [decode(value, self.foreign) for value in values]
                case [str(echo), "raised", str(kind), str(text)] if echo == nonce:
                    self.reraise(kind, text)
            raise NotPlainError("an answer to no question")
        except NotPlainError as error:
            raise Failed(Grade.ERROR, f"the program's process sent {error}") from None

    def reraise(self, kind: str, text: str) -> NoReturn:
        if kind == "MemoryError":
            raise Failed(Grade.MEMORY, text)
        base = getattr(builtins, kind, None)
        if not (isinstance(base, type) and issubclass(base, Exception)) or kind.startswith("Unicode"):
            raise Failed(Grade.ERROR, text) if base in (SystemExit, KeyboardInterrupt) else RaisedError(text)
        raise type("RaisedError", (RaisedError, base), {})(text)

    def foreign(self, tag: str, rest: list[Any]) -> Any:
        match tag, rest:
            case "o", [int(place), str(kind)]:
                return Remote(self, place, kind)
            case "M", [str(name)]:
                return Module(name)
        raise NotPlainError(f"a value with the unknown tag {tag[:10]!r}")

    def send(self, data: bytes) -> None:
        while data:
            self.wait(select.POLLOUT)
            try:
                data = data[self.channel.send(data) :]
            except OSError:
                self.gone()

    def receive(self, size: int) -> bytes:
        if size > MAX_FRAME:
            raise NotPlainError(f"a message of {size} bytes")
        data = bytearray()
        while len(data) < size:
            self.wait(select.POLLIN)
            try:
                chunk = self.channel.recv(min(size - len(data), 1 << 20))
            except OSError:
                chunk = b""
            if not chunk:
                self.gone()
            data += chunk
        return bytes(data)

    def wait(self, event: int) -> None:
        """Until the channel is ready. Raises `Failed` when the program's time is up."""
        if not self.limit.wait_for(self.channel, event):
            raise Failed(Grade.TIMEOUT, f"no result within {self.limit.seconds:g} seconds")

    def gone(self) -> NoReturn:
        status, killed = self.end(GONE)
        if status == -signal.SIGXCPU:
            raise Failed(Grade.TIMEOUT, f"no result within {self.limit.seconds:g} seconds of computing")
        if status == -signal.SIGKILL and not killed:
            raise Failed(Grade.MEMORY, "the kernel killed the program's process")
        if killed:
            raise Failed(Grade.ERROR, "the program closed its channel")
        raise Failed(Grade.ERROR, f"the program left its process with {status} (minus: the signal that ended it)")

    def end(self, command: bytes = END) -> tuple[int, bool]:
        """Kill the process and all it started, and wait until that is gone: exit code or minus signal; was it alive?"""
        if not self.ended:
            self.channel.close()
            self.server.sendall(command)
            reply = self.server.recv(STATUS.size)
            if len(reply) < STATUS.size:
                raise SandboxGoneError
            self.ended = STATUS.unpack(reply)
        return self.ended


class Remote:
    """An object that stays in the program's process: a function to call, or an argument for another call.

    It equals nothing but itself: what the program's own `__eq__` would say is not evidence.
    """

    def __init__(self, program: Program, place: int, kind: str) -> None:
        self._program, self._place, self._kind = program, place, kind

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        positional, named = encode(list(arguments), _place_of), encode(keywords, _place_of)
        returned, *changed = self._program.ask("call", self._place, positional, named)
        if returned is None and changed and isinstance(changed[0], list):
            for argument, after in zip(arguments, changed[0], strict=False):
                _write_back(argument, after)
        return returned

    def __repr__(self) -> str:
        return f"<{self._kind} of the program>"


def _place_of(value: Any) -> list[Any]:
    if isinstance(value, Remote):
        return ["o", value._place, value._kind]
    raise BrokenTestsError(f"a test passes a {type(value).__name__}, which cannot be sent to the program")


def _write_back(argument: Any, after: Any) -> None:
    """Give a test's own list, dict or set the contents that a call which returned None left in it."""
    match argument, after:
        case (list(), list()):
            argument[:] = after
        case (dict(), dict()) | (set(), set()):
            argument.clear()
            argument.update(after)
