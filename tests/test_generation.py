"""Sampling from a transformers model."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from bench.episode import Request, SamplingParams
from bench.models.policy import TransformersPolicy
from bench.models.sampler import _draw
from bench.models.stopping import completed_stop, cut_after, first_stop

SAMPLED = SamplingParams(temperature=1.0, max_tokens=12)
GREEDY = SamplingParams(temperature=0.0, max_tokens=12)


def requests(learner: TransformersPolicy, prompts: list[str]) -> list[Request]:
    return [
        Request(learner.prompt_ids(prompt), seed=1000 + place, problem_id=prompt, sample=0, turn=0)
        for place, prompt in enumerate(prompts)
    ]


def test_a_reply_depends_on_its_request_alone_and_not_on_its_neighbours(tiny_learner: TransformersPolicy):
    batch = requests(tiny_learner, ["a", "a longer question", "b?", "another one"])
    together = tiny_learner.generate(batch, SAMPLED)
    for request, completion in zip(batch, together, strict=True):
        alone = tiny_learner.generate([request], SAMPLED)[0]
        assert alone.token_ids == completion.token_ids


def test_another_seed_gives_another_reply_and_the_same_seed_the_same(tiny_learner: TransformersPolicy):
    request = requests(tiny_learner, ["say something"])[0]
    replies = {tiny_learner.generate([replace(request, seed=seed)], SAMPLED)[0].token_ids for seed in range(8)}
    assert len(replies) > 1
    assert tiny_learner.generate([request], SAMPLED) == tiny_learner.generate([request], SAMPLED)


def test_greedy_decoding_is_that_of_transformers(tiny_learner: TransformersPolicy):
    batch = requests(tiny_learner, ["a", "a longer question", "why"])
    ours = tiny_learner.generate(batch, GREEDY)
    for request, completion in zip(batch, ours, strict=True):
        prompt = torch.tensor([request.token_ids])
        theirs = tiny_learner.model.generate(  # pyright: ignore[reportCallIssue]
            prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=12
        )
        assert completion.token_ids == tuple(theirs[0, prompt.shape[1] :].tolist())


def test_a_reply_ends_with_the_end_of_turn_or_is_marked_truncated(tiny_learner: TransformersPolicy):
    batch = requests(tiny_learner, [f"question {number}" for number in range(40)])
    replies = tiny_learner.generate(batch, SamplingParams(temperature=2.0, max_tokens=60))
    assert {reply.truncated for reply in replies} == {True, False}
    for reply in replies:
        ends = [place for place, token in enumerate(reply.token_ids) if token in tiny_learner.template.stop_ids]
        assert ends == ([] if reply.truncated else [len(reply.token_ids) - 1])
        assert len(reply.logprobs) == len(reply.token_ids) <= 60


def test_a_reply_ends_at_the_first_stop_string_with_the_ids_it_was_sampled_with(tiny_learner: TransformersPolicy):
    batch = requests(tiny_learner, [f"question {number}" for number in range(12)])
    sampling = SamplingParams(temperature=1.5, max_tokens=40)
    ended = 0
    for request, whole in zip(batch, tiny_learner.generate(batch, sampling), strict=True):
        (stop,) = re.findall(r"[!-~]{2}", whole.text)[1:2] or [""]
        if not stop:
            continue
        (reply,) = tiny_learner.generate([replace(request, stop=("never sampled", stop))], sampling)
        assert (reply.stop, reply.truncated, reply.turn_ended) == (stop, False, False)
        assert reply.text == whole.text[: whole.text.index(stop) + len(stop)]
        assert reply.token_ids == whole.token_ids[: len(reply.token_ids)]
        assert tiny_learner.tokenizer.decode(list(reply.token_ids), skip_special_tokens=True) == reply.text
        assert reply.logprobs == pytest.approx(whole.logprobs[: len(reply.token_ids)], abs=1e-5)
        ended += 1
    assert ended >= 6


@pytest.mark.parametrize(
    ("tokens", "ends_with"),
    [
        (["x", "[D", "ON", "E]", "\n"], 4),  # the stop string spans tokens
        (["x", "\n[DONE]\n\nYou are", "more"], 2),  # a token holds more than the stop string
        (["x[", "D", "O", "N", "E", "]\n\n", "y"], 6),
        (["[DONE", " ]", "[DO", "[DONE", "]"], 5),  # what looks like one before is none
    ],
)
def test_a_stop_string_is_seen_at_the_token_that_completes_it(tokens: list[str], ends_with: int):
    def decode(ids: Sequence[int]) -> str:
        return "".join(tokens[index] for index in ids)

    ids = list(range(len(tokens)))
    seen = [length for length in range(1, len(ids) + 1) if completed_stop(ids[:length], ("[DONE]",), decode)]
    assert seen[0] == ends_with
    assert cut_after(decode(ids[:ends_with]), "[DONE]").endswith("[DONE]")


def test_of_two_stop_strings_the_one_that_is_complete_first_counts():
    assert first_stop("a b c", ("c", "b")) == "b"
    assert first_stop("abcd", ("abcd", "bc")) == "bc"
    assert first_stop("a", ("b",)) == ""


def test_batches_of_any_size_give_the_same_replies(tiny_learner: TransformersPolicy):
    batch = requests(tiny_learner, ["a", "bb", "ccc", "dddd", "eeeee"])
    whole = tiny_learner.generate(batch, SAMPLED)
    tiny_learner._sample_batch_tokens = 40
    assert [reply.token_ids for reply in tiny_learner.generate(batch, SAMPLED)] == [r.token_ids for r in whole]


def test_tokens_are_drawn_with_the_probabilities_of_the_logits():
    logits = torch.tensor([[0.0, math.log(2.0), math.log(5.0)]])
    uniforms = (torch.arange(8000, dtype=torch.float64) + 0.5) / 8000
    drawn, logprobs = _draw(logits.expand(8000, -1), uniforms, SamplingParams(temperature=1.0, max_tokens=1))
    shares = torch.bincount(drawn, minlength=3) / 8000
    torch.testing.assert_close(shares, torch.tensor([1 / 8, 2 / 8, 5 / 8]), atol=1e-3, rtol=0)
    torch.testing.assert_close(logprobs[drawn == 2][0].exp(), torch.tensor(5 / 8))


def test_truncated_sampling_never_leaves_the_nucleus_and_scores_what_it_drew_from():
    logits = torch.tensor([[0.0, math.log(2.0), math.log(5.0)]]).expand(100, -1)
    uniforms = (torch.arange(100, dtype=torch.float64) + 0.5) / 100
    drawn, logprobs = _draw(logits, uniforms, SamplingParams(temperature=1.0, top_p=0.7, max_tokens=1))
    assert set(drawn.tolist()) == {1, 2}
    torch.testing.assert_close(logprobs[drawn == 1][0].exp(), torch.tensor(2 / 7))
    drawn, _ = _draw(logits, uniforms, SamplingParams(temperature=1.0, top_k=1, max_tokens=1))
    assert set(drawn.tolist()) == {2}
