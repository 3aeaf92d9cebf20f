"""Plain values over a pipe between a program under test and its judge.

JSON carries the values that JSON has; every other one is a list that starts with a tag. Nothing is ever looked up,
imported or called because a message says so: what `decode` returns is made of exact built-in types and of a few from
the standard library, so no `__eq__`, `__hash__` or `__bool__` of the sender's comes with it.

Tags: i int beyond 64 bits, l list, t tuple, s set, f frozenset, d dict, q deque, b bytes, a bytearray, c complex,
r range, n iterator, k / v / m keys, values and items of a dict, D Decimal, F Fraction, T date and time, y built-in
type, o an object that stays with its owner, M module.
"""

from __future__ import annotations

import builtins
import datetime
import json
import struct
from collections import deque
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from typing import Any

MAX_FRAME = 16 << 20  # bytes of one message
MAX_ITEMS = 1_000_000  # drawn from one iterator
MAX_DEPTH = 150
HEADER = struct.Struct("!I")
TYPES = {name: value for name, value in vars(builtins).items() if isinstance(value, type)}
TYPE_NAMES = {value: name for name, value in TYPES.items()}
TIMES = {kind.__name__: kind for kind in (datetime.date, datetime.time, datetime.datetime, datetime.timedelta)}
VIEWS = {"k": type({}.keys()), "v": type({}.values()), "m": type({}.items())}


class NotPlainError(ValueError):
    """A value, or a message that claims to be one, that cannot travel."""


def frame(message: object) -> bytes:
    """`message`, which JSON can hold, with its length in front."""
    payload = json.dumps(message, separators=(",", ":")).encode()
    if len(payload) > MAX_FRAME:
        raise NotPlainError(f"{len(payload)} bytes are more than the {MAX_FRAME} of one message")
    return HEADER.pack(len(payload)) + payload


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

    def pairs(mapping: Any) -> list[Any]:
        return [several(iter(pair)) for pair in dict.items(mapping)]

    match value:
        case list():
            return ["l", several(list.__iter__(value))]
        case tuple():
            return ["t", several(tuple.__iter__(value))]
        case dict():
            return ["d", pairs(value)]
        case set():
            return ["s", several(set.__iter__(value))]
        case frozenset():
            return ["f", several(frozenset.__iter__(value))]
        case deque():
            return ["q", several(iter(value))]
        case bytes():
            return ["b", value.hex()]
        case bytearray():
            return ["a", value.hex()]
        case complex():
            return ["c", value.real, value.imag]
        case range():
            return ["r", *(encode(bound, foreign) for bound in (value.start, value.stop, value.step))]
        case Decimal():
            return ["D", str(value)]
        case Fraction():
            return ["F", encode(value.numerator, foreign), encode(value.denominator, foreign)]
        case datetime.date() | datetime.time() | datetime.timedelta():
            return _encode_time(value, foreign)
        case type() if value in TYPE_NAMES:
            return ["y", TYPE_NAMES[value]]
        case Iterator():
            return ["n", several(value)]
    for tag, view in VIEWS.items():
        if isinstance(value, view):
            return [tag, several(iter(value))]
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
            case ["l", items]:
                return several(items)
            case ["t", items]:
                return tuple(several(items))
            case ["d", items]:
                return pairs(items)
            case ["s", items]:
                return set(several(items))
            case ["f", items]:
                return frozenset(several(items))
            case ["q", items]:
                return deque(several(items))
            case ["i", str(digits)]:
                return int(digits, 16)
            case ["b", str(digits)]:
                return bytes.fromhex(digits)
            case ["a", str(digits)]:
                return bytearray.fromhex(digits)
            case ["c", float(real), float(imaginary)]:
                return complex(real, imaginary)
            case ["r", *bounds] if len(bounds) == 3:
                return range(*several(bounds))
            case ["n", items]:
                return iter(several(items))
            case ["k", items]:
                return dict.fromkeys(several(items)).keys()
            case ["v", items]:
                return dict(enumerate(several(items))).values()
            case ["m", items]:
                return dict(several(items)).items()
            case ["D", str(digits)]:
                return Decimal(digits)
            case ["F", *parts] if len(parts) == 2:
                return Fraction(*several(parts))
            case ["T", str(kind), fields] if kind in TIMES:
                return TIMES[kind](*several(fields))
            case ["y", str(name)] if name in TYPES:
                return TYPES[name]
            case [str(tag), *rest]:
                return foreign(tag, rest)
    except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise NotPlainError(f"a value that cannot be ({type(error).__name__}: {error})") from None
    raise NotPlainError(f"a message of no known form ({type(message).__name__})")


def _encode_time(value: Any, foreign: Callable[[Any], list[Any]]) -> list[Any]:
    if isinstance(value, datetime.timedelta):
        return ["T", "timedelta", [value.days, value.seconds, value.microseconds]]
    if getattr(value, "tzinfo", None) is not None:
        return foreign(value)
    fields = [getattr(value, name) for name in ("year", "month", "day") if hasattr(value, name)]
    clock = [getattr(value, name) for name in ("hour", "minute", "second", "microsecond") if hasattr(value, name)]
    kind = "datetime" if fields and clock else "date" if fields else "time"
    return ["T", kind, fields + clock]
