"""Stored attempts, graded again by another grader of math answers: no model, no GPU, the texts are all there."""

from dataclasses import replace

import pandas as pd

from bench.episode import Problem
from bench.grading.answers.verifier import AnswerVerifier
from bench.grading.verifier import Grading
from bench.metrics.bootstrap import estimate
from bench.reporting.index import MethodResult
from bench.runs.parts import read_transcripts

ANSWER_TASKS = ("math",)  # whose attempts end in an answer; programs have one grader, their tests


def regraded(result: MethodResult, *, grader: str) -> MethodResult:
    """The result with every attempt's grade and answer as `grader` sees them ("math_verify" or "hendrycks").

    Raises ValueError where a run's transcripts and its episodes are not of the same conversations.
    """
    frames = []
    with AnswerVerifier(Grading(), grader=grader) as verifier:
        for run in result.runs:
            folder = run.folder(result.evaluation)
            rows = list(read_transcripts(folder / "transcripts.jsonl.gz"))
            episodes = result.episodes_of(run.key.seed).copy()
            keys = list(zip(episodes["problem_id"], episodes["sample"], strict=True))
            if keys != [(row["problem_id"], row["sample"]) for row in rows]:
                raise ValueError(f"{folder}: transcripts and episodes differ; evaluate the run again")
            waiting = [
                [verifier.submit(Problem(row["problem_id"], "", row["gold"]), text) for text in row["attempts"]]
                for row in rows
            ]
            for t, column in enumerate(zip(*waiting, strict=True), start=1):
                verdicts = [future.result() for future in column]
                episodes[f"grade_{t}"] = [verdict.grade.value for verdict in verdicts]
                episodes[f"answer_{t}"] = [verdict.answer for verdict in verdicts]
            frames.append(episodes)
    frame = pd.concat(frames)
    return replace(result, episodes=frame, estimates=estimate(frame))
