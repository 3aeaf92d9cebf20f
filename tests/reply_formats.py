"""The formats in which chat and base models answer the prompts of conf/task: one program, written in each of them.

`REPLIES` names functions of an `Answer`. A reply's own program is `answer.code`; whatever else the reply shows (a
quoted first attempt, the task answered once more) holds `answer.other`, whose verdict is the opposite one. So a reader
that takes the wrong program of a reply is found out whichever of the two is right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

TASK = "You are an expert Python programmer, and here is your task: "
INVENTED = (
    f"{TASK}Write a function to find the maximum of two numbers. Your code should pass these tests:\n\n"
    "assert max_of_two(10,20)==20\nassert max_of_two(19,15)==19\n[BEGIN]\n"
    "def max_of_two( x, y ):\n    if x > y:\n        return x\n    return y\n[DONE]\n"
)


@dataclass(frozen=True)
class Answer:
    """`code` ends without a line end; `other` answers the same task and has the opposite verdict."""

    name: str  # the function under test
    question: str  # the task as it was posed
    code: str
    other: str


Reply = Callable[[Answer], str]


def _task(answer: Answer) -> str:
    return f"{TASK}{answer.question}\n[BEGIN]\n"


def _fenced(code: str, tag: str = "python") -> str:
    return f"```{tag}\n{code}\n```"


PROSE = "Sure! Here's a function that does what's asked:\n\n"
AFTER = "\n\nThis function goes through its arguments (once), and returns the result. It doesn't need any import.\n"

# How the program itself is written down.
WRITTEN: dict[str, Reply] = {
    "bare": lambda a: a.code,
    "done": lambda a: f"{a.code}\n[DONE]",
    "done on the last line": lambda a: f"{a.code} [DONE]",
    "done after blank lines": lambda a: f"{a.code}\n\n\n[DONE]\n\n",
    "done, indented": lambda a: f"{a.code}\n    [DONE]",
    "slash done": lambda a: f"{a.code}\n[/DONE]",
    "done as a comment": lambda a: f"{a.code}\n# [DONE]",
    "begin, done": lambda a: f"[BEGIN]\n{a.code}\n[DONE]",
    "begin alone": lambda a: f"[BEGIN]\n{a.code}",
    "task, begin, done": lambda a: f"{_task(a)}{a.code}\n[DONE]",
    "fenced": lambda a: _fenced(a.code),
    "fenced, done": lambda a: f"{_fenced(a.code)}\n[DONE]",
    "done inside the fence": lambda a: _fenced(f"{a.code}\n[DONE]"),
    "begin, fenced, done": lambda a: f"[BEGIN]\n{_fenced(a.code)}\n[DONE]",
    "fence around begin and done": lambda a: _fenced(f"[BEGIN]\n{a.code}\n[DONE]"),
    "fence closed, never opened": lambda a: f"{a.code}\n```",
    "fence closed, never opened, done": lambda a: f"{a.code}\n```\n[DONE]",
    "done, then fence closed": lambda a: f"{a.code}\n[DONE]\n```",
    "fence opened, never closed": lambda a: f"```python\n{a.code}",
    "fence opened, never closed, done": lambda a: f"```python\n{a.code}\n[DONE]",
}

# What models write around it.
SURROUNDED: dict[str, Reply] = {
    "untagged fence": lambda a: _fenced(a.code, ""),
    "tilde fence": lambda a: f"~~~py\n{a.code}\n~~~",
    "done, CRLF": lambda a: f"{a.code}\n[DONE]\n".replace("\n", "\r\n"),
    "prose, fenced, prose": lambda a: PROSE + _fenced(a.code) + AFTER,
    "prose, fenced, prose, done": lambda a: PROSE + _fenced(a.code) + AFTER + "[DONE]",
    "prose, fence opened": lambda a: f"{PROSE}```python\n{a.code}",
    "prose after": lambda a: a.code + AFTER,
    "done, prose": lambda a: f"{a.code}\n[DONE]{AFTER}",
    "prose, begin, done, prose": lambda a: f"{PROSE}[BEGIN]\n{a.code}\n[DONE]{AFTER}",
    "fence closed, prose": lambda a: f"{a.code}\n```{AFTER}",
    "fence closed on the last line": lambda a: f"{a.code}```{AFTER}",
    "fence closed, a fenced demonstration": lambda a: (
        f"{a.code}\n```\nYou can call it like this:\n```python\nprint({a.name}(1, 2, 3, 4, 5, 6, 7))\n```\n"
    ),
    "fence closed, fenced output": lambda a: f"{a.code}\n```\nOutput:\n```\nTrue\n```\n",
    "bare, fenced demonstration": lambda a: f"{a.code}\n\nExample:\n```\n>>> {a.name}()\nTrue\n```\n",
    "bare, fenced call": lambda a: f"{a.code}\n\nExample:\n\n```python\nprint({a.name}(1, 2, 3, 4, 5))\n```\n",
    "bare, doctest": lambda a: f"{a.code}\n\n>>> {a.name}()\nTrue\n",
    "asserts": lambda a: f"{a.code}\n\nassert {a.name}() == 'not so'\nassert not {a.name}\n",
    "calls": lambda a: f"{a.code}\n\nresult = {a.name}()\nprint(result)\n",
    "loop over cases": lambda a: f"{a.code}\n\nfor case in [()]:\n    assert {a.name}(*case) == 'not so'\n",
    "main block": lambda a: (
        f'{a.code}\n\n\nif __name__ == "__main__":\n    print({a.name}())\n    raise SystemExit(1)\n'
    ),
    "main function": lambda a: f"{a.code}\n\ndef main():\n    print({a.name}(input()))\n\nmain()\n[DONE]",
    "input": lambda a: f"{a.code}\n\nn = int(input('n: '))\nprint({a.name}(n))\n",
    "first attempt quoted in a fence": lambda a: (
        f"The code above:\n```python\n{a.other}\n```\nis not right. Here is the corrected code:\n{_fenced(a.code)}\n"
    ),
    "first attempt quoted, then begin": lambda a: (
        f"The error is in this code:\n{_fenced(a.other)}\nThe corrected code:\n[BEGIN]\n{a.code}\n[DONE]"
    ),
    "fenced, the task once more": lambda a: f"{_fenced(a.code)}\n\n{_task(a)}{a.other}\n[DONE]",
    "begin, done, second thoughts": lambda a: f"[BEGIN]\n{a.code}\n[DONE]\n\n[BEGIN]\n{a.other}\n[DONE]\n",
}
# These need a whole function, with its `def` line.
WHOLE: dict[str, Reply] = {
    "prose, bare, prose": lambda a: PROSE + a.code + AFTER,
    "prose, fence closed": lambda a: f"{PROSE}{a.code}\n```{AFTER}",
    "first attempt quoted, unfenced": lambda a: (
        f"The code above is wrong:\n\n{a.other}\n\nHere is the corrected code:\n\n{a.code}\n\nIt now works.\n"
    ),
    "begin on the first line": lambda a: f"[BEGIN] {a.code} [DONE]",
    "interactive session": lambda a: (
        "".join(f"{'...' if line[:1] in ' #' else '>>>'} {line}\n" for line in a.code.split("\n") if line.strip())
        + f">>> {a.name}()\nTrue\n"
    ),
}


def _with_one(reply: Reply) -> Reply:
    return lambda a: f"{reply(a)}\n\n{INVENTED}"


def _with_two(reply: Reply) -> Reply:
    return lambda a: f"{reply(a)}\n\n{INVENTED}\n{_task(a)}{a.other}\n[DONE]\n"


BODIES: dict[str, Reply] = {
    **WRITTEN,
    **{f"{name}; an invented task": _with_one(reply) for name, reply in WRITTEN.items()},
    **{f"{name}; two invented tasks": _with_two(reply) for name, reply in WRITTEN.items()},
    **SURROUNDED,
}
REPLIES: dict[str, Reply] = {**BODIES, **WHOLE}
