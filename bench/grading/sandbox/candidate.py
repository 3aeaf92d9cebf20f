"""The process in which a generated program runs: it gets requests and answers with plain data.

Nothing in here can be trusted once the program is loaded, and nothing in here needs to be: no expected value, no test
and no verdict ever enters this process. A program that forges an answer has only chosen what to return.
"""

import builtins
import os
import random
import resource
import socket
import sys
import types
from collections.abc import Callable
from typing import Any

from bench.grading.sandbox import confinement, syscalls
from bench.grading.sandbox.plain_data import NotPlainError, decode, encode, frame, frames, unframe

CHANNEL = 3  # the one descriptor besides stdin, stdout and stderr, which are /dev/null
MODULE = "solution"  # not "__main__": a program's command line is not what is tested
MAX_MESSAGE = 500  # characters of an exception's text


def main(channel: socket.socket, *, server: int, seconds: float, seccomp: bool) -> None:
    """Confine this freshly forked process further, then answer requests until it is killed."""
    os.setsid()
    confinement.die_with_parent(server)
    os.dup2(channel.detach(), CHANNEL)
    os.closerange(CHANNEL + 1, confinement.MAX_DESCRIPTORS)
    os.dup2(0, 2)  # the server's own stdin and stdout are /dev/null already
    cpu = int(seconds) + 2  # the caller's clock comes first, unless threads share the work
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
    random.seed(0)  # a program that draws random numbers gets the same ones each time
    if seccomp:
        syscalls.restrict(processes=False, writes=True)
    _Program().answer(socket.socket(fileno=CHANNEL))


class _Program:
    def __init__(self) -> None:
        self.module = types.ModuleType(MODULE)
        sys.modules[MODULE] = self.module  # dataclasses, typing and pickle look a class's module up
        self.objects: list[Any] = []  # objects that are no plain data; the caller refers to them by their places

    def answer(self, channel: socket.socket) -> None:
        operations: dict[str, Callable[..., Any]] = {
            "load": self.load,
            "name": self.name,
            "evaluate": self.evaluate,
            "call": self.call,
        }
        for payload in frames(channel.makefile("rb")):
            nonce, operation, *arguments = unframe(payload)
            try:
                reply = [nonce, "returned", *operations[operation](*arguments)]
            except BaseException as error:  # SystemExit and whatever else the program raises is its answer
                reply = [nonce, "raised", *_describe(error)]
            channel.sendall(_framed(nonce, reply))

    def load(self, source: str) -> tuple[Any]:
        exec(compile(source, "<program>", "exec", dont_inherit=True), vars(self.module))
        return (None,)

    def name(self, name: str) -> tuple[Any]:
        if name in vars(self.module):
            return (self.encode(vars(self.module)[name]),)
        raise NameError(f"name {name!r} is not defined")

    def evaluate(self, source: str) -> tuple[Any]:
        return (self.encode(eval(compile(source, "<test>", "eval", dont_inherit=True), vars(self.module))),)

    def call(self, place: int, arguments: Any, keywords: Any) -> tuple[Any, Any]:
        """What the call returns and, if that is None, the arguments as it left them: it may have worked in place."""
        positional, named = decode(arguments, self.find), decode(keywords, self.find)
        returned = self.objects[place](*positional, **named)
        return self.encode(returned), self.encode(positional) if returned is None else None

    def encode(self, value: Any) -> Any:
        return encode(value, self.keep)

    def keep(self, value: Any) -> list[Any]:
        if isinstance(value, types.ModuleType):
            return ["M", value.__name__]
        if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
            plain = value.tolist()
            return self.encode(iter(plain) if isinstance(plain, list) else plain)
        self.objects.append(value)
        return ["o", len(self.objects) - 1, type(value).__name__]

    def find(self, tag: str, rest: list[Any]) -> Any:
        if tag == "o":
            return self.objects[rest[0]]
        raise NotPlainError(f"no value has the tag {tag}")


def _describe(error: BaseException) -> tuple[str, str]:
    """The built-in kind of the exception (what a test may catch), and its own name and text."""
    kind = next(kind for kind in type(error).__mro__ if vars(builtins).get(kind.__name__) is kind)
    try:
        text = str(error)[:MAX_MESSAGE]
    except BaseException:  # the program's own __str__ may do anything
        text = ""
    return kind.__name__, f"{type(error).__name__}: {text}"


def _framed(nonce: str, reply: list[Any]) -> bytes:
    try:
        return frame(reply)
    except (NotPlainError, MemoryError, RecursionError, ValueError) as error:
        return frame([nonce, "raised", *_describe(error)])
