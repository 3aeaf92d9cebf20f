"""Plain values over a pipe between a program under test and what tests it.

JSON carries the values that JSON has; every other one is a list that starts with a tag. Nothing is ever looked up,
imported or called because a message says so: what `decode` returns is made of exact built-in types and of a few from
the standard library, so no `__eq__`, `__hash__` or `__bool__` of the sender's comes with it.

Tags: i int beyond 64 bits, l list, t tuple, s set, f frozenset, d dict, q deque, b bytes, a bytearray, c complex,
r range, n iterator, k / v / m keys, values and items of a dict, D Decimal, F Fraction, T timedelta, y built-in type,
o an object that stays with its owner, M module; dates and times have their type's name.
"""

import builtins
import datetime
import json
import struct
from collections import deque
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from typing import Any, BinaryIO

MAX_FRAME = 16 << 20  # bytes of one message
MAX_ITEMS = 1_000_000  # drawn from one iterator
MAX_DEPTH = 150
HEADER = struct.Struct("!I")
TYPES = {name: value for name, value in vars(builtins).items() if isinstance(value, type)}
TYPE_NAMES = {value: name for name, value in TYPES.items()}
BYTES = {"b": bytes, "a": bytearray}
TIMES: dict[str, Any] = {kind.__name__: kind for kind in (datetime.datetime, datetime.date, datetime.time)}
CONTAINERS: dict[str, type] = {
    "l": list, "t": tuple, "s": set, "f": frozenset, "q": deque,
    "k": type({}.keys()), "v": type({}.values()), "m": type({}.items()),
}  # fmt: skip
# What makes a value of its decoded items again.
MAKERS: dict[str, Callable[[list[Any]], Any]] = {
    **CONTAINERS,
    "k": lambda keys: dict.fromkeys(keys).keys(),
    "v": lambda values: dict(enumerate(values)).values(),
    "m": lambda items: dict(items).items(),
    "n": iter,
    "r": lambda bounds: range(*bounds),
    "T": lambda parts: datetime.timedelta(*parts),
}


class NotPlainError(ValueError):
    """A value, or a message that claims to be one, that cannot travel."""


def frame(message: object) -> bytes:
    """`message`, which JSON can hold, with its length in front."""
    payload = json.dumps(message, separators=(",", ":")).encode()
    if len(payload) > MAX_FRAME:
        raise NotPlainError(f"{len(payload)} bytes are more than the {MAX_FRAME} of one message")
    return HEADER.pack(len(payload)) + payload


def read_frame(stream: BinaryIO) -> bytes:
    """The next message; b"" where the other end is closed, be it within a message, or sends one that is too long."""
    header = stream.read(HEADER.size)
    size = HEADER.unpack(header)[0] if len(header) == HEADER.size else 0
    payload = stream.read(size) if size <= MAX_FRAME else b""
    return payload if len(payload) == size else b""


def frames(stream: BinaryIO) -> Iterator[bytes]:
    """The messages that arrive on a stream until its other end is closed."""
    return iter(lambda: read_frame(stream), b"")


def unframe(payload: bytes) -> Any:
    """The message in `payload`. Whatever the bytes are, the only exception is `NotPlainError`."""
    try:
        return json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise NotPlainError(f"a message that is not JSON ({type(error).__name__})") from None


def encode(value: Any, foreign: Callable[[Any], list[Any]], depth: int = 0) -> Any:
    """`value` as JSON can hold it; `foreign` encodes what is not plain, or raises `NotPlainError`.

    Of an instance of a subclass (a Counter, a named tuple, an IntEnum) the built-in part travels. An iterator is drawn
    to its end, which the receiver gets as an iterator again.
    """
    if value is None or isinstance(value, bool):
        return value
    if depth > MAX_DEPTH:
        raise NotPlainError(f"a value that is nested deeper than {MAX_DEPTH}")
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        number = int.__pos__(value)
        return number if -(2**63) <= number < 2**63 else ["i", hex(number)]
    if isinstance(value, float):
        return float.__pos__(value)

    def several(values: Iterator[Any]) -> list[Any]:
        items = [encode(item, foreign, depth + 1) for item in islice(values, MAX_ITEMS + 1)]
        if len(items) > MAX_ITEMS:
            raise NotPlainError(f"more than {MAX_ITEMS} items")
        return items

    for tag, kind in CONTAINERS.items():
        if isinstance(value, kind):
            return [tag, several(kind.__iter__(value))]
    match value:
        case dict():
            return ["d", [several(iter(pair)) for pair in dict.items(value)]]
        case bytes():
            return ["b", value.hex()]
        case bytearray():
            return ["a", value.hex()]
        case complex():
            return ["c", value.real, value.imag]
        case range():
            return ["r", several(iter((value.start, value.stop, value.step)))]
        case Decimal():
            return ["D", str(value)]
        case Fraction():
            return ["F", *several(iter((value.numerator, value.denominator)))]
        case datetime.timedelta():
            return ["T", [value.days, value.seconds, value.microseconds]]
        case datetime.date() | datetime.time() if getattr(value, "tzinfo", None) is None:
            kind = next(kind for kind in TIMES.values() if isinstance(value, kind))
            return [kind.__name__, kind.isoformat(value)]
        case type() if value in TYPE_NAMES:
            return ["y", TYPE_NAMES[value]]
        case Iterator():
            return ["n", several(value)]
    return foreign(value)


def decode(message: Any, foreign: Callable[[str, list[Any]], Any], depth: int = 0) -> Any:
    """The value that `message` encodes, in exact types; `foreign` is given the tag and the rest of what is not plain.

    Raises `NotPlainError`, and nothing else, for a message that `encode` cannot have made.
    """
    if message is None or isinstance(message, (bool, int, float, str)):
        return message
    if depth > 2 * MAX_DEPTH:
        raise NotPlainError(f"a message that is nested deeper than {2 * MAX_DEPTH}")

    def several(messages: Any) -> list[Any]:
        if not isinstance(messages, list):
            raise NotPlainError(f"items that are no list but {type(messages).__name__}")
        return [decode(item, foreign, depth + 1) for item in messages]

    def pairs(messages: Any) -> dict[Any, Any]:
        if not isinstance(messages, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in messages):
            raise NotPlainError("a dict whose items are no pairs")
        return dict(map(several, messages))

    try:
        match message:
            case [str(tag), items] if tag in MAKERS:
                return MAKERS[tag](several(items))
            case ["d", items]:
                return pairs(items)
            case ["i", str(digits)]:
                return int(digits, 16)
            case ["b" | "a" as tag, str(digits)]:
                return BYTES[tag].fromhex(digits)
            case ["c", float(real), float(imaginary)]:
                return complex(real, imaginary)
            case ["F", above, below]:
                return Fraction(*several([above, below]))
            case ["D", str(digits)]:
                return Decimal(digits)
            case [str(kind), str(text)] if kind in TIMES:
                return TIMES[kind].fromisoformat(text)
            case ["y", str(name)] if name in TYPES:
                return TYPES[name]
            case [str(tag), *rest]:
                return foreign(tag, rest)
    except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise NotPlainError(f"a value that cannot be ({type(error).__name__}: {error})") from None
    raise NotPlainError(f"a message of no known form ({type(message).__name__})")
