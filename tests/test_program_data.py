"""Plain data between processes: what travels arrives, and nothing that arrives can surprise the receiver."""

import collections
import datetime
import enum
import json
from decimal import Decimal
from fractions import Fraction
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.grading.sandbox.plain_data import MAX_FRAME, NotPlainError, decode, encode, frame, unframe


def refuse(*_: object) -> NoReturn:
    raise NotPlainError("foreign")


def travel(value: Any) -> Any:
    return decode(json.loads(json.dumps(encode(value, refuse))), refuse)


hashable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**40), max_value=10**40)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.fractions()
    | st.decimals(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.datetimes()
    | st.dates()
    | st.times()
    | st.timedeltas(),
    lambda inner: st.lists(inner).map(tuple) | st.frozensets(inner),
    max_leaves=8,
)
values = st.recursive(
    hashable,
    lambda inner: st.lists(inner) | st.sets(hashable) | st.dictionaries(hashable, inner) | st.lists(inner).map(tuple),
    max_leaves=12,
)
messages = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([*"ilt sfdqbacrnkvmDFTyoM", "date", "time", "datetime"])
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=15,
)


@settings(deadline=None)
@given(values)
def test_a_plain_value_arrives_equal_and_of_the_same_type(value: Any) -> None:
    arrived = travel(value)
    assert arrived == value
    assert type(arrived) is type(value)


@settings(deadline=None)
@given(messages)
def test_a_forged_message_is_a_value_or_is_refused(message: Any) -> None:
    try:
        decode(message, refuse)
    except NotPlainError:
        return


@settings(deadline=None)
@given(st.binary())
def test_bytes_that_are_no_message_are_refused(payload: bytes) -> None:
    try:
        unframe(payload)
    except NotPlainError:
        return


def test_a_subclass_arrives_as_the_builtin_part_of_it() -> None:
    class Colour(enum.IntEnum):
        RED = 1

    class Sly(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            return True

        def __str__(self) -> str:
            return "other"

    point = collections.namedtuple("point", "x y")(1, 2)
    for value, plain in (
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (collections.OrderedDict(a=1), {"a": 1}),
        (point, (1, 2)),
        (Colour.RED, 1),
        (Sly("x"), "x"),
    ):
        arrived = travel(value)
        assert arrived == plain
        assert type(arrived) is type(plain)


def test_views_and_iterators_stay_what_they_are() -> None:
    assert travel({"a": 1}.keys()) == {"a"}
    assert travel({"a": 1}.items()) == {("a", 1)}
    assert travel({"a": 1}.keys()) != ["a"]
    assert travel(i for i in range(3)) != [0, 1, 2]
    assert list(travel(i for i in range(3))) == [0, 1, 2]
    assert travel(range(0, 10, 2)) == range(0, 10, 2)
    assert travel(collections.deque([1])) == collections.deque([1])
    assert travel(int) is int


def test_what_has_no_end_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    for value in (endless, iter(int, 1)):
        with pytest.raises(NotPlainError):
            encode(value, refuse)
    with pytest.raises(NotPlainError, match="more than"):
        frame("x" * MAX_FRAME)
    with pytest.raises(NotPlainError):
        unframe(b"[" * 100_000)


def test_time_with_a_zone_and_odd_numbers_keep_their_meaning() -> None:
    assert repr(travel(float("nan"))) == "nan"
    assert repr(travel(-0.0)) == "-0.0"
    assert travel(Decimal("0.10")) == Decimal("0.1")
    assert travel(Fraction(1, 3)) == Fraction(1, 3)
    with pytest.raises(NotPlainError):
        encode(datetime.datetime.now(datetime.UTC), refuse)
