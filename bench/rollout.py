"""The one loop that training and evaluation share: sample conversations, grade their attempts.

Grading runs beside generation: an attempt is handed to the verifier as soon as it is complete, while others are still
sampled, and verdicts are collected when the last turn has been sampled.
"""

import hashlib
import time
from collections.abc import Callable, Container, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field

from bench.episode import (
    ATTEMPT,
    Attempt,
    Completion,
    Dialogue,
    Episode,
    Problem,
    Reflection,
    Reply,
    Request,
    SamplingParams,
    Turn,
    Verdict,
)
from bench.grading.verifier import Verifier
from bench.models.interface import Sampler
from bench.tasks.interface import Task

NextTurn = Callable[[Dialogue], Turn | None]  # None ends the conversation


@dataclass(slots=True)
class _Conversation:
    """An episode in the making."""

    problem: Problem
    sample: int
    token_ids: tuple[int, ...]
    asks_for: str = ATTEMPT
    spans: list[tuple[int, int]] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    completions: list[Completion] = field(default_factory=list)
    verdicts: list[Future[Verdict] | None] = field(default_factory=list)
    num_prefilled: int = 0

    def add_reply(self, completion: Completion, verdict: Future[Verdict] | None) -> None:
        start = len(self.token_ids)
        self.token_ids += completion.token_ids
        self.spans.append((start, len(self.token_ids)))
        self.kinds.append(self.asks_for)
        self.completions.append(completion)
        self.verdicts.append(verdict)

    def prefill(self, attempt: Attempt) -> None:
        verdict: Future[Verdict] = Future()
        verdict.set_result(attempt.verdict)
        self.add_reply(attempt.completion, verdict)
        self.num_prefilled += 1

    def say_next(self, next_turn: NextTurn, sampler: Sampler, *, num_attempts: int) -> bool:
        """Add what the user says next; False where the conversation is over."""
        if self.kinds.count(ATTEMPT) == num_attempts:
            return False
        texts = tuple(completion.text for completion in self.completions)
        turn = next_turn(Dialogue(self.problem.question, tuple(self.kinds), texts))
        if turn is None:
            return False
        self.token_ids += sampler.bridge(turn.text, turn_ended=self.completions[-1].turn_ended)
        self.asks_for = turn.asks_for
        return True

    def episode(self) -> Episode:
        columns = zip(self.kinds, self.completions, self.verdicts, strict=True)
        replies: list[Reply] = [
            Reflection(completion, kind) if verdict is None else Attempt(completion, verdict.result())
            for kind, completion, verdict in columns
        ]
        return Episode(
            problem=self.problem,
            sample=self.sample,
            token_ids=self.token_ids,
            spans=tuple(self.spans),
            replies=tuple(replies),
            num_prefilled=self.num_prefilled,
        )


@dataclass
class Usage:
    """What a run has sampled and learned from so far: the budget that methods are compared under.

    A conversation counts where its first attempt is sampled: one that continues a prefilled attempt is not
    counted again, and what is sampled of it is in attempts and tokens.
    """

    sampled_episodes: int = 0
    sampled_attempts: int = 0  # graded replies
    sampled_tokens: int = 0  # of all replies
    prompt_tokens: int = 0  # of all that stood before a reply, counted again for each reply
    updates: int = 0
    trained_tokens: int = 0  # those that carried any loss

    def add(self, other: "Usage") -> None:
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass
class RolloutTimes:
    """Seconds that sampling has taken so far. Grading runs beside it: what overlaps is work less wait."""

    generate: float = 0.0
    grade_work: float = 0.0  # of all graders together, from an attempt's submission to its verdict
    grade_wait: float = 0.0  # for the last verdicts, when all replies had been sampled


class RolloutWorker:
    """Samples conversations on a task under one run seed, and counts what it samples in `usage`."""

    def __init__(self, task: Task, verifier: Verifier, *, seed: int) -> None:
        self.task = task
        self.seed = seed
        self.usage = Usage()
        self.times = RolloutTimes()
        self.verifier = verifier

    def without_usage(self) -> "RolloutWorker":
        """The same with a count of its own: for measuring while training, which is no part of its budget."""
        return RolloutWorker(self.task, self.verifier, seed=self.seed)

    def rollout(
        self,
        sampler: Sampler,
        problems: Sequence[Problem],
        *,
        next_turn: NextTurn,
        num_attempts: int,
        sampling: SamplingParams,
        num_samples: int = 1,
        seed_key: str,
        prefilled_attempts: Mapping[tuple[str, int], Attempt] | None = None,
        only: Container[tuple[str, int]] | None = None,
    ) -> list[Episode]:
        """`num_samples` episodes per problem, a problem's side by side in the result.

        A conversation ends after `num_attempts` attempts, or where `next_turn` says nothing more. `prefilled_attempts`,
        by problem id and sample, take the place of sampled first attempts; the others are sampled as usual.
        `only`, by the same keys, leaves the rest out. `seed_key` names the occasion ("stage1/17"): together with the
        run's seed, the problem, the sample and the number of the turn it seeds each request, so an episode can be
        sampled again alone.
        A failure of the verifier itself is raised here.
        """
        assert sampling.max_tokens, "0 stands for the model's limit, which is filled in when an experiment is composed"
        conversations = []
        for problem in problems:
            prompt_ids = sampler.prompt_ids(self.task.prompt(problem))
            for sample in range(num_samples):
                if only is None or (problem.id, sample) in only:
                    conversations.append(_Conversation(problem, sample, prompt_ids))
        for conversation in conversations:
            if attempt := (prefilled_attempts or {}).get((conversation.problem.id, conversation.sample)):
                conversation.prefill(attempt)
        self._sample([each for each in conversations if not each.num_prefilled], sampler, sampling, seed_key)
        active = conversations
        while active := [each for each in active if each.say_next(next_turn, sampler, num_attempts=num_attempts)]:
            self._sample(active, sampler, sampling, seed_key)
        began = time.perf_counter()
        episodes = [conversation.episode() for conversation in conversations]
        self.times.grade_wait += time.perf_counter() - began
        for episode in episodes:
            self.times.grade_work += sum(attempt.verdict.seconds for attempt in episode.attempts)
        return episodes

    def _sample(
        self, conversations: Sequence[_Conversation], sampler: Sampler, sampling: SamplingParams, seed_key: str
    ) -> None:
        """One more reply in each conversation."""
        requests = [self._request(conversation, seed_key) for conversation in conversations]
        verdicts: dict[int, Future[Verdict]] = {}

        def grade(index: int, completion: Completion) -> None:
            if conversations[index].asks_for == ATTEMPT and index not in verdicts:
                verdicts[index] = self.verifier.submit(conversations[index].problem, completion.text)

        began = time.perf_counter()
        completions = sampler.generate(requests, sampling, on_done=grade)
        self.times.generate += time.perf_counter() - began
        for index, (conversation, completion) in enumerate(zip(conversations, completions, strict=True)):
            grade(index, completion)
            self.usage.sampled_episodes += not conversation.kinds
            self.usage.sampled_attempts += conversation.asks_for == ATTEMPT
            self.usage.sampled_tokens += completion.num_tokens
            self.usage.prompt_tokens += completion.counts.prompt if completion.counts else len(conversation.token_ids)
            conversation.add_reply(completion, verdicts.get(index))

    def _request(self, conversation: _Conversation, seed_key: str) -> Request:
        problem, sample, turn = conversation.problem, conversation.sample, len(conversation.kinds)
        return Request(
            token_ids=conversation.token_ids,
            seed=request_seed(self.seed, seed_key, problem.id, sample, turn),
            problem_id=problem.id,
            sample=sample,
            turn=turn,
            # A reflection may quote a stop string; only an attempt is closed by one.
            stop=tuple(self.task.stop_strings) if conversation.asks_for == ATTEMPT else (),
        )


def request_seed(*parts: str | int) -> int:
    """A 63-bit number from its parts, the same on every machine and in every process."""
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) >> 1
