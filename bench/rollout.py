"""The one loop that training and evaluation share: play conversations, grade their attempts.

Grading runs beside generation: an attempt is handed to the verifier as soon as it is sampled, and verdicts are
collected when the last turn has been played.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field

from bench.episode import Attempt, Completion, Episode, Problem, Request, SamplingParams, Turn, Verdict
from bench.grading.verifier import Verifier
from bench.models.interface import Sampler
from bench.tasks.interface import Task


@dataclass(slots=True)
class _Conversation:
    """An episode in the making."""

    problem: Problem
    sample: int
    token_ids: tuple[int, ...]
    spans: list[tuple[int, int]] = field(default_factory=list)
    completions: list[Completion] = field(default_factory=list)
    verdicts: list[Future[Verdict]] = field(default_factory=list)
    critiques: list[Completion] = field(default_factory=list)
    given: int = 0
    turn_ended: bool = True

    def hear(self, completion: Completion, verdict: Future[Verdict] | None) -> None:
        start = len(self.token_ids)
        self.token_ids += completion.token_ids
        self.turn_ended = completion.turn_ended
        if verdict is None:
            self.critiques.append(completion)
        else:
            self.spans.append((start, len(self.token_ids)))
            self.completions.append(completion)
            self.verdicts.append(verdict)

    def hear_given(self, attempt: Attempt) -> None:
        verdict: Future[Verdict] = Future()
        verdict.set_result(attempt.verdict)
        self.hear(attempt.completion, verdict)
        self.given += 1

    def finish(self) -> Episode:
        attempts = (
            Attempt(completion, verdict.result())
            for completion, verdict in zip(self.completions, self.verdicts, strict=True)
        )
        return Episode(
            problem=self.problem,
            sample=self.sample,
            token_ids=self.token_ids,
            spans=tuple(self.spans),
            attempts=tuple(attempts),
            critiques=tuple(self.critiques),
            given=self.given,
        )


@dataclass
class Usage:
    """What a run has cost so far: the budget that methods are compared under.

    A conversation counts where its first attempt is sampled: one that goes on from an attempt that is given counts no
    second time, and what is sampled of it is in attempts and tokens.
    """

    sampled_episodes: int = 0
    sampled_attempts: int = 0  # graded replies
    sampled_tokens: int = 0  # of critiques too
    updates: int = 0
    trained_tokens: int = 0  # those that carried any loss

    def add(self, other: Usage) -> None:
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)


class RolloutWorker:
    """Plays a task under one run seed, and enters what it samples in the run's usage."""

    def __init__(self, task: Task, verifier: Verifier, *, seed: int) -> None:
        self.task = task
        self.seed = seed
        self.usage = Usage()
        self._verifier = verifier

    def without_usage(self) -> RolloutWorker:
        """The same with a usage of its own: for measuring while training, which is no part of its budget."""
        return RolloutWorker(self.task, self._verifier, seed=self.seed)

    def play(
        self,
        sampler: Sampler,
        problems: Sequence[Problem],
        *,
        script: Sequence[Turn],
        sampling: SamplingParams,
        num_samples: int = 1,
        label: str,
        prefilled_attempts: Mapping[tuple[str, int], Attempt] | None = None,
        only: Container[tuple[str, int]] | None = None,
    ) -> list[Episode]:
        """`num_samples` episodes per problem, a problem's side by side in the result.

        `script` is what the user says after the first reply. `prefilled_attempts`, by problem id and sample, are played
        instead of sampled; the others are sampled as ever. `only`, by the same keys, leaves the rest out. `label` names
        the occasion ("stage1/17"): together with the run's seed, the problem, the sample and the turn it seeds each
        request, so an episode can be played again alone. A failure of the verifier itself is raised here.
        """
        conversations = [
            _Conversation(problem, sample, opening)
            for problem in problems
            for opening in (sampler.prompt_ids(self.task.prompt(problem)),)
            for sample in range(num_samples)
            if only is None or (problem.id, sample) in only
        ]
        for turn, said in enumerate((None, *script)):
            if said is not None:
                for conversation in conversations:
                    conversation.token_ids += sampler.bridge(said.text, turn_ended=conversation.turn_ended)
            waiting = conversations
            if said is None and prefilled_attempts:
                waiting = [each for each in conversations if (each.problem.id, each.sample) not in prefilled_attempts]
                for conversation in conversations:
                    if given := prefilled_attempts.get((conversation.problem.id, conversation.sample)):
                        conversation.hear_given(given)
            graded = said is None or said.graded
            # A critique may quote a stop string; only an attempt is closed by one.
            stop = tuple(self.task.stop_strings) if graded else ()
            requests = [self._request(conversation, label, turn, stop) for conversation in waiting]
            for conversation, completion in zip(waiting, sampler.generate(requests, sampling), strict=True):
                verdict = self._verifier.submit(conversation.problem, completion.text) if graded else None
                conversation.hear(completion, verdict)
                self.usage.sampled_episodes += said is None
                self.usage.sampled_attempts += graded
                self.usage.sampled_tokens += len(completion.token_ids)
        return [conversation.finish() for conversation in conversations]

    def _request(self, conversation: _Conversation, label: str, turn: int, stop: tuple[str, ...]) -> Request:
        problem, sample = conversation.problem, conversation.sample
        return Request(
            token_ids=conversation.token_ids,
            seed=request_seed(self.seed, label, problem.id, sample, turn),
            problem_id=problem.id,
            sample=sample,
            turn=turn,
            stop=stop,
        )


def stitch(
    sampler: Sampler, problem: Problem, *, prompt: str, attempts: Sequence[Attempt], said: Sequence[Turn]
) -> Episode:
    """A conversation that was never played, made of attempts that were: their ids, joined as play() would join them."""
    conversation = _Conversation(problem, sample=0, token_ids=sampler.prompt_ids(prompt))
    for place, attempt in enumerate(attempts):
        if place:
            conversation.token_ids += sampler.bridge(said[place - 1].text, turn_ended=conversation.turn_ended)
        conversation.hear_given(attempt)
    return conversation.finish()


def request_seed(*parts: str | int) -> int:
    """A 63-bit number from its parts, the same on every machine and in every process."""
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) >> 1
