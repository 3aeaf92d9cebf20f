"""Runs that cannot be compared are kept apart: by the two fingerprints of their manifests.

Methods of one table share its fingerprint, seeds of one row share theirs (bench.fingerprints). Runs that differ in
either, under one name, become parts of their setting: the largest stands under the plain name, the others are (b),
(c), ..., each with a sentence that names what differs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json import dumps
from string import ascii_lowercase
from typing import Any

from bench.fingerprints import differences
from bench.results import RunFolder

_MOST_NAMED = 4  # differences in one sentence


@dataclass(frozen=True, slots=True)
class Part:
    """`name` is empty for the part that stands under the plain name; `why` says how another differs from it."""

    name: str = ""
    why: str = ""


def parts_of(runs: Sequence[RunFolder], manifests: Sequence[Mapping[str, Any]]) -> list[Part]:
    """The part of each run of one setting. Seeds of one method differ in no row within a part, and no table differs."""
    tables = [dumps(each.get("table"), sort_keys=True) for each in manifests]
    rows = [dumps(each.get("row"), sort_keys=True) for each in manifests]
    by_table = _ranks(tables)
    by_row: dict[tuple[str, str], dict[str, int]] = {}
    for run, table in zip(runs, tables, strict=True):
        alike = [
            row
            for other, t, row in zip(runs, tables, rows, strict=True)
            if (other.key.method, t) == (run.key.method, table)
        ]
        by_row[run.key.method, table] = _ranks(alike)
    places = [
        (by_table[table], by_row[run.key.method, table][row])
        for run, table, row in zip(runs, tables, rows, strict=True)
    ]
    order = {place: number for number, place in enumerate(sorted(set(places)))}
    plain = [manifests[number] for number, place in enumerate(places) if place == (0, 0)]
    methods = {runs[number].key.method: manifests[number] for number, place in enumerate(places) if place == (0, 0)}
    found = []
    for run, manifest, place in zip(runs, manifests, places, strict=True):
        if order[place] == 0:
            found.append(Part())
            continue
        name = f"({ascii_lowercase[min(order[place], 25)]})"
        if place[0]:
            told = _differing(manifest.get("table"), plain[0].get("table"))
        else:
            told = _differing(manifest.get("row"), methods[run.key.method].get("row"))
        found.append(Part(name, f"differs in {told}"))
    return found


def _ranks(prints: Sequence[str]) -> dict[str, int]:
    """The most frequent first; of equals the one that was met first: the lowest seed."""
    counted = Counter(prints)
    ranked = sorted(counted, key=lambda text: (-counted[text], prints.index(text)))
    return {text: rank for rank, text in enumerate(ranked)}


def _differing(mine: Mapping[str, Any] | None, plain: Mapping[str, Any] | None) -> str:
    if mine is None or plain is None:
        return "the time that it was made: one of the two has no record of what it compares with; run it again"
    told = [f"{key}: {_short(one)} instead of {_short(other)}" for key, one, other in differences(mine, plain)]
    more = f" and {len(told) - _MOST_NAMED} more" if len(told) > _MOST_NAMED else ""
    return ", ".join(told[:_MOST_NAMED]) + more


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."
