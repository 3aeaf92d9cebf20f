"""Lines about progress while a model samples. The clock is the test's own."""

import threading

from bench.episode import Request, SamplingParams
from bench.models import sampler as generation
from bench.models.pace import Pace, shown
from bench.models.policy import TransformersPolicy


def test_a_line_shows_replies_tokens_pace_and_time_left():
    pace = Pace(num_rows=8, max_tokens=100, rows_done=2, tokens_done=60, tokens=140)
    assert pace.line(10.0) == "sampling  2/8 replies  140 tokens  14 tokens/s  up to 37 s left"
    assert Pace(num_rows=1, max_tokens=50, tokens=10).line(2.0).endswith("5 tokens/s  up to 8 s left")
    assert Pace(num_rows=1, max_tokens=50).line(6.0).endswith("reading the prompts")


def test_the_first_line_comes_after_five_seconds_and_then_one_every_ten():
    lines: list[str] = []
    waited: list[float] = []
    enough = threading.Event()

    def wait(over: threading.Event, seconds: float) -> bool:
        waited.append(seconds)
        if len(waited) < 4:
            return False
        enough.set()
        return over.wait()

    with shown(Pace(num_rows=1, max_tokens=5), wait=wait, clock=lambda: sum(waited), say=lines.append):
        enough.wait()
    assert waited == [5, 10, 10, 10]
    assert len(lines) == 3


def test_sampling_counts_what_it_draws(tiny_learner: TransformersPolicy, monkeypatch):
    paces: list[Pace] = []

    def listen(pace: Pace):
        paces.append(pace)
        return shown(pace)

    monkeypatch.setattr(generation, "shown", listen)
    requests = [Request(tiny_learner.prompt_ids(str(seed)), seed, "p", 0, 0) for seed in range(6)]
    replies = tiny_learner.generate(requests, SamplingParams(max_tokens=12))
    (pace,) = paces
    assert (pace.num_rows, pace.rows_done) == (6, 6)
    assert pace.tokens == pace.tokens_done == sum(len(reply.token_ids) for reply in replies)
