"""The data types that every package uses: problems, turns, replies, verdicts, episodes, training samples.

All of it is data: frozen, slotted, comparable, picklable. Configuration is the one exception (`SamplingParams`),
because Hydra's schemas cannot be frozen.
"""

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """The verdict on one attempt. A crash of *our* grader is not among them: it raises."""

    CORRECT = "correct"
    WRONG = "wrong"
    NO_ANSWER = "no_answer"  # the attempt's text holds nothing to grade
    UNPARSEABLE = "unparseable"  # there is an answer or a program, and it cannot be read
    TIMEOUT = "timeout"  # the answer or the program exceeded its time
    MEMORY = "memory"  # ... or its memory
    ERROR = "error"  # the program raised, exited, or tried what the sandbox forbids


@dataclass(frozen=True, slots=True)
class UnitTests:
    """What a program must pass. Either `asserts` (MBPP) or `check` with `entry_point` (HumanEval) is filled.

    A program is `imports`, then `preamble` (HumanEval: the prompt, whose helpers and imports the tests need), then the
    candidate's code, then `setup`: MBPP's setup code runs *after* the solution.
    """

    asserts: tuple[str, ...] = ()
    check: str = ""  # source that defines check(candidate)
    entry_point: str = ""
    imports: tuple[str, ...] = ()
    preamble: str = ""
    setup: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """`id` is stable across runs and sources ("math/test/algebra/2584"); only grading reads `gold` and `tests`."""

    id: str
    question: str
    gold: str  # the reference answer (math) or the reference program (code)
    level: str = ""
    subject: str = ""
    tests: UnitTests | None = None


ATTEMPT = "attempt"  # the kind of reply that is graded


@dataclass(frozen=True, slots=True)
class Turn:
    """What the user says next, and the kind of reply that it asks for.

    Any kind but `ATTEMPT` (a critique, a verification) is a `Reflection`: sampled, and never graded.
    """

    text: str
    asks_for: str = ATTEMPT


@dataclass(frozen=True, slots=True)
class Dialogue:
    """The conversation so far, as a method sees it when it chooses the next turn (`Method.next_turn`).

    It holds no verdict: the protocol never tells a model whether an attempt was right.
    """

    question: str
    kinds: tuple[str, ...] = ()  # of each reply
    texts: tuple[str, ...] = ()  # of each reply

    @property
    def num_attempts(self) -> int:
        return self.kinds.count(ATTEMPT)


@dataclass
class SamplingParams:
    """How tokens are drawn: `temperature` 0 is greedy; `top_k` 0 and `top_p` 1 are the full distribution."""

    temperature: float = 1.0  # 0: greedy
    top_p: float = 1.0  # of the most likely tokens, as many as have this probability together; 1: all
    top_k: int = 0  # this many of the most likely tokens; 0: all
    max_tokens: int = 0  # per reply; 0: model.max_tokens

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ValueError(f"sampling temperature must be 0 (greedy) or positive, not {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must lie in (0, 1], not {self.top_p}; 1 switches it off")
        if self.top_k < 0:
            raise ValueError(f"top_k must be 0 (off) or positive, not {self.top_k}")
        if self.max_tokens < 0:
            raise ValueError(f"max_tokens must be at least 1 (or 0 for model.max_tokens), not {self.max_tokens}")

    @property
    def is_full_distribution(self) -> bool:
        """Whether a log-probability under the model is the probability it was sampled with, up to temperature."""
        return self.top_p == 1 and self.top_k == 0 and self.temperature > 0


@dataclass(frozen=True, slots=True)
class Request:
    """A conversation, as token ids, that waits for a reply; with its `seed` the reply is a function of the request."""

    token_ids: tuple[int, ...]
    seed: int
    problem_id: str
    sample: int
    turn: int
    stop: tuple[str, ...] = ()  # the reply ends as soon as its text holds one of these


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """What a server says that a reply cost; its conversations reach us as text, so ids are no tokens."""

    prompt: int  # of all messages before the reply
    reply: int  # with those that are not shown, such as hidden reasoning


@dataclass(frozen=True, slots=True)
class Completion:
    """One reply as it was sampled. It ended in one of three ways: with the model's end-of-turn id, the last of
    `token_ids` and never in `text`; at a stop string; or `truncated` at the length limit.

    A reply that ended at a stop string keeps the ids up to the token that completes it; `text` ends with the stop
    string, though that token may hold more.
    """

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]  # of each token under the sampling distribution, same length as token_ids
    truncated: bool
    recorded: bool | None = None  # whether a recording says that it was right, where it says anything
    stop: str = ""  # the stop string that ended it
    counts: TokenCounts | None = None  # None: the ids are the tokens

    @property
    def num_tokens(self) -> int:
        return len(self.token_ids) if self.counts is None else self.counts.reply

    @property
    def turn_ended(self) -> bool:
        """Whether its last id is the model's own end of turn; otherwise the bridge to the next turn brings it."""
        return not self.truncated and not self.stop


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of grading one attempt: the grade, the extracted answer or program, and why it was not correct."""

    grade: Grade
    answer: str | None = None  # None: nothing could be extracted
    failure: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """A graded reply."""

    completion: Completion
    verdict: Verdict

    @property
    def kind(self) -> str:
        return ATTEMPT

    @property
    def correct(self) -> bool:
        return self.verdict.grade is Grade.CORRECT


@dataclass(frozen=True, slots=True)
class Reflection:
    """A reply between attempts, such as a critique or a verification. Not graded; it may be trained on."""

    completion: Completion
    kind: str


Reply = Attempt | Reflection


@dataclass(frozen=True, slots=True)
class Episode:
    """One whole conversation: every token from the first prompt to the last reply, and where the replies lie in it.

    `spans[i]` is the half-open range of reply i's sampled tokens in `token_ids`; prompts and bridges lie outside every
    span.
    """

    problem: Problem
    sample: int
    token_ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    replies: tuple[Reply, ...]
    num_prefilled: int = 0  # how many of the first replies were not sampled from the policy in this conversation

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        return tuple(reply for reply in self.replies if isinstance(reply, Attempt))

    @property
    def rewards(self) -> tuple[float, ...]:
        """1 for a correct attempt, 0 for any other: the paper's r."""
        return tuple(float(attempt.correct) for attempt in self.attempts)

    @property
    def labels(self) -> tuple[str, ...]:
        """What each reply is called in logs and tables: t1, critique1, t2, ..."""
        kinds = [reply.kind for reply in self.replies]
        numbers = [kinds[: place + 1].count(kind) for place, kind in enumerate(kinds)]
        return tuple(f"{'t' if kind == ATTEMPT else kind}{n}" for kind, n in zip(kinds, numbers, strict=True))


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """An episode and what each reply's tokens are to learn from it.

    `advantages[i]` multiplies the log-probability of reply i (in imitation 1 or 0); `kl_coefs[i]` is the coefficient of
    reply i's KL divergence from the reference model.
    """

    episode: Episode
    advantages: tuple[float, ...]
    kl_coefs: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.advantages) == len(self.kl_coefs) == len(self.episode.spans):
            raise ValueError(
                f"{len(self.advantages)} advantages and {len(self.kl_coefs)} KL coefficients for "
                f"{len(self.episode.spans)} replies"
            )
