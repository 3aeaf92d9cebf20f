"""What is written down about an episode: a row of facts for tables, and its texts for reading and grading again."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, zip_longest
from typing import Any

import pyarrow as pa
from rapidfuzz.distance import Indel, Levenshtein

from bench.episode import ATTEMPT, Attempt, Episode, Grade

_TEXT, _COUNT, _NUMBER, _FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_OF_EPISODE = {"problem_id": _TEXT, "level": _TEXT, "subject": _TEXT, "sample": _COUNT, "num_attempts": _COUNT}
_OF_ATTEMPT = {
    "grade": _TEXT,
    "answer": _TEXT,
    "tokens": _COUNT,
    "truncated": _FLAG,
    "grading_seconds": _NUMBER,
    "recorded": _FLAG,
}
_OF_CHANGE = {"edit_indel": _NUMBER, "edit_levenshtein": _NUMBER, "changed": _FLAG}  # from the attempt before


def episode_row(episode: Episode, *, num_attempts: int | None = None) -> dict[str, Any]:
    """A row of episodes.parquet: facts per attempt t = 1, 2, ..., and how attempt t differs from t − 1.

    Of a conversation that ended before `num_attempts` attempts the last one stands for those it lacks, at no cost.

    The edit ratio is the edit distance over the total length of both texts for the indel distance, which counts a
    substitution as two (what the paper's axis implies), and over the longer length for Levenshtein's.
    """
    problem = episode.problem
    of_episode = problem.id, problem.level, problem.subject, episode.sample, len(episode.attempts)
    row: dict[str, Any] = dict(zip(_OF_EPISODE, of_episode, strict=True))
    lacking = (num_attempts or 0) - len(episode.attempts)
    attempts = [*episode.attempts, *episode.attempts[-1:] * lacking]
    for t, attempt in enumerate(attempts, start=1):
        is_sampled = t <= len(episode.attempts)
        row[f"grade_{t}"] = attempt.verdict.grade.value
        row[f"answer_{t}"] = attempt.verdict.answer
        row[f"tokens_{t}"] = attempt.completion.num_tokens if is_sampled else 0
        row[f"truncated_{t}"] = attempt.completion.truncated
        row[f"grading_seconds_{t}"] = attempt.verdict.seconds if is_sampled else 0.0
        row[f"recorded_{t}"] = attempt.completion.recorded
        if t > 1:
            before = attempts[t - 2]
            texts = before.completion.text, attempt.completion.text
            row[f"edit_indel_{t}"] = Indel.normalized_distance(*texts)
            row[f"edit_levenshtein_{t}"] = Levenshtein.normalized_distance(*texts)
            row[f"changed_{t}"] = answer_changed(before, attempt)
    return row


def row_schema(num_attempts: int) -> pa.Schema:
    """The columns of `episode_row` and their types, the same whatever the rows hold, so that files can be joined."""
    columns = dict(_OF_EPISODE)
    for t in range(1, num_attempts + 1):
        of_turn = _OF_ATTEMPT if t == 1 else _OF_ATTEMPT | _OF_CHANGE
        columns |= {f"{name}_{t}": kind for name, kind in of_turn.items()}
    return pa.schema(columns)


def rows_of(episodes: Sequence[Episode], *, num_attempts: int) -> pa.Table:
    rows = [episode_row(episode, num_attempts=num_attempts) for episode in episodes]
    return pa.Table.from_pylist(rows, schema=row_schema(num_attempts))


def answer_changed(before: Attempt, after: Attempt) -> bool:
    """Whether two attempts give different answers, white space aside; no answer differs from any answer."""
    return _words(before) != _words(after)


def transcript_row(episode: Episode, prompt: str) -> dict[str, Any]:
    """A line of transcripts.jsonl.gz, `prompt` being the first user message."""
    verdicts = [attempt.verdict for attempt in episode.attempts]
    return {
        "problem_id": episode.problem.id,
        "sample": episode.sample,
        "prompt": prompt,
        "gold": episode.problem.gold,
        "attempts": [attempt.completion.text for attempt in episode.attempts],
        "grades": [verdict.grade.value for verdict in verdicts],
        "failures": [verdict.failure for verdict in verdicts],
        "reflections": [
            {"kind": reply.kind, "place": place, "text": reply.completion.text}
            for place, reply in enumerate(episode.replies)
            if reply.kind != ATTEMPT
        ],
    }


def to_read(transcripts: Iterable[Mapping[str, Any]], *, most: int = 20) -> list[dict[str, str]]:
    """Some transcripts as rows of a table for people, with as many of each kind as there are.

    The kinds: fixed, broken, stayed right, stayed wrong, from the first attempt to the last.
    """
    kinds: dict[str, list[dict[str, str]]] = {kind: [] for kind in _KINDS.values()}
    for transcript in transcripts:
        grades = transcript["grades"]
        kind = _KINDS[grades[0] == Grade.CORRECT.value, grades[-1] == Grade.CORRECT.value]
        if len(kinds[kind]) == most:
            continue
        row = {"kind": kind, **{key: transcript[key] for key in ("problem_id", "prompt", "gold")}}
        for t, (text, grade) in enumerate(zip(transcript["attempts"], grades, strict=True), start=1):
            row |= {f"attempt_{t}": text, f"grade_{t}": grade}
        kinds[kind].append(row)
    in_turns = (row for rows in zip_longest(*kinds.values()) for row in rows if row is not None)
    return list(islice(in_turns, most))


_KINDS = {
    (False, True): "fixed",
    (True, False): "broken",
    (True, True): "stayed right",
    (False, False): "stayed wrong",
}


def _words(attempt: Attempt) -> list[str] | None:
    answer = attempt.verdict.answer
    return None if answer is None else answer.split()
