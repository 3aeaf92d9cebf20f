"""Runs that cannot be compared are kept apart: by the two fingerprints of their manifests.

Methods of one table share its fingerprint, seeds of one row share theirs (bench.runs.fingerprints). Runs that differ in
either, under one name, become parts of their setting: the largest stands under the plain name (of equally large ones
that with the run evaluated last), the others are (b), (c), ..., each with a sentence that names what differs.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json import dumps
from string import ascii_lowercase
from typing import Any

from bench.runs.fingerprints import differences
from bench.runs.finished import RunFolder
from bench.runs.manifest import Manifest

_MAX_NAMED = 4  # differences in one sentence


@dataclass(frozen=True, slots=True)
class Part:
    """`name` is empty for the part that stands under the plain name; `why` says how another differs from it."""

    name: str = ""
    why: str = ""


def parts_of(runs: Sequence[RunFolder], manifests: Sequence[Manifest]) -> list[Part]:
    """The part of each run of one setting. Seeds of one method differ in no row within a part, and no table differs."""
    tables = [dumps(each.table, sort_keys=True) for each in manifests]
    rows = [dumps(each.row, sort_keys=True) for each in manifests]
    methods, ends = [run.key.method for run in runs], [each.end for each in manifests]
    table_ranks = _ranks(list(zip(tables, ends, strict=True)))
    same_table = defaultdict(list)
    for method, table, row, end in zip(methods, tables, rows, ends, strict=True):
        same_table[method, table].append((row, end))
    row_ranks = {key: _ranks(prints) for key, prints in same_table.items()}
    places = [
        (table_ranks[table], row_ranks[method, table][row])
        for method, table, row in zip(methods, tables, rows, strict=True)
    ]
    order = {place: number for number, place in enumerate(sorted(set(places)))}
    table_of = {place[0]: manifest.table for place, manifest in zip(places, manifests, strict=True)}
    row_of = {each: manifest.row for each, manifest in zip(zip(methods, places, strict=True), manifests, strict=True)}
    parts = []
    for method, place in zip(methods, places, strict=True):
        reasons = [_differing(table_of[place[0]], table_of[0])] if place[0] else []
        if place[1]:
            reasons.append(_differing(row_of[method, place], row_of[method, (place[0], 0)]))
        why = f"differs in {', and in '.join(reasons)}"
        parts.append(Part(f"({_letters(order[place])})", why) if order[place] else Part())
    return parts


def _letters(number: int) -> str:
    """1 is b, 25 is z, 26 is aa: no two parts share a name, or they would be averaged."""
    before, last = divmod(number, len(ascii_lowercase))
    return (_letters(before - 1) if before else "") + ascii_lowercase[last]


def _ranks(prints: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Of (fingerprint, end of its evaluation) the most frequent fingerprint first, and of equals the newest.

    An end is a time in UTC as the manifest has it, so that text order is time order; a manifest without one is oldest.
    """
    counted = Counter(text for text, _ in prints)
    newest = dict(sorted(prints, key=lambda each: each[1]))
    ranked = sorted(counted, key=lambda text: (counted[text], newest[text]), reverse=True)
    return {text: rank for rank, text in enumerate(ranked)}


def _differing(these: Mapping[str, Any], plain: Mapping[str, Any]) -> str:
    all_keys = [f"{key}: {_short(one)} instead of {_short(other)}" for key, one, other in differences(these, plain)]
    rest = f" and {len(all_keys) - _MAX_NAMED} more" if len(all_keys) > _MAX_NAMED else ""
    return ", ".join(all_keys[:_MAX_NAMED]) + rest


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."
