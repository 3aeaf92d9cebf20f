"""Sampling from a transformers model."""

import math
from dataclasses import replace

import torch

from bench.episode import Request, Sampling
from bench.policies.generation import _draw
from bench.policies.learner import Learner

SAMPLED = Sampling(temperature=1.0, max_tokens=12)
GREEDY = Sampling(temperature=0.0, max_tokens=12)


def requests(learner: Learner, prompts: list[str]) -> list[Request]:
    return [
        Request(learner.opening(prompt), seed=1000 + place, problem_id=prompt, sample=0, turn=0)
        for place, prompt in enumerate(prompts)
    ]


def test_a_reply_depends_on_its_request_alone_and_not_on_its_neighbours(tiny_learner: Learner):
    asked = requests(tiny_learner, ["a", "a longer question", "b?", "another one"])
    together = tiny_learner.generate(asked, SAMPLED)
    for request, completion in zip(asked, together, strict=True):
        alone = tiny_learner.generate([request], SAMPLED)[0]
        assert alone.token_ids == completion.token_ids


def test_another_seed_gives_another_reply_and_the_same_seed_the_same(tiny_learner: Learner):
    request = requests(tiny_learner, ["say something"])[0]
    replies = {tiny_learner.generate([replace(request, seed=seed)], SAMPLED)[0].token_ids for seed in range(8)}
    assert len(replies) > 1
    assert tiny_learner.generate([request], SAMPLED) == tiny_learner.generate([request], SAMPLED)


def test_greedy_decoding_is_that_of_transformers(tiny_learner: Learner):
    asked = requests(tiny_learner, ["a", "a longer question", "why"])
    ours = tiny_learner.generate(asked, GREEDY)
    for request, completion in zip(asked, ours, strict=True):
        prompt = torch.tensor([request.token_ids])
        theirs = tiny_learner.model.generate(  # pyright: ignore[reportCallIssue]
            prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=12
        )
        assert completion.token_ids == tuple(theirs[0, prompt.shape[1] :].tolist())


def test_a_reply_ends_with_the_end_of_turn_or_is_marked_truncated(tiny_learner: Learner):
    asked = requests(tiny_learner, [f"question {number}" for number in range(40)])
    replies = tiny_learner.generate(asked, Sampling(temperature=2.0, max_tokens=60))
    assert {reply.truncated for reply in replies} == {True, False}
    for reply in replies:
        ends = [place for place, token in enumerate(reply.token_ids) if token in tiny_learner.template.stop_ids]
        assert ends == ([] if reply.truncated else [len(reply.token_ids) - 1])
        assert len(reply.logprobs) == len(reply.token_ids) <= 60


def test_batches_of_any_size_give_the_same_replies(tiny_learner: Learner):
    asked = requests(tiny_learner, ["a", "bb", "ccc", "dddd", "eeeee"])
    whole = tiny_learner.generate(asked, SAMPLED)
    tiny_learner._sample_batch_tokens = 40
    assert [reply.token_ids for reply in tiny_learner.generate(asked, SAMPLED)] == [r.token_ids for r in whole]


def test_tokens_are_drawn_with_the_probabilities_of_the_logits():
    logits = torch.tensor([[0.0, math.log(2.0), math.log(5.0)]])
    uniforms = (torch.arange(8000, dtype=torch.float64) + 0.5) / 8000
    drawn, logprobs = _draw(logits.expand(8000, -1), uniforms, Sampling(temperature=1.0, max_tokens=1))
    shares = torch.bincount(drawn, minlength=3) / 8000
    torch.testing.assert_close(shares, torch.tensor([1 / 8, 2 / 8, 5 / 8]), atol=1e-3, rtol=0)
    torch.testing.assert_close(logprobs[drawn == 2][0].exp(), torch.tensor(5 / 8))


def test_truncated_sampling_never_leaves_the_nucleus_and_scores_what_it_drew_from():
    logits = torch.tensor([[0.0, math.log(2.0), math.log(5.0)]]).expand(100, -1)
    uniforms = (torch.arange(100, dtype=torch.float64) + 0.5) / 100
    drawn, logprobs = _draw(logits, uniforms, Sampling(temperature=1.0, top_p=0.7, max_tokens=1))
    assert set(drawn.tolist()) == {1, 2}
    torch.testing.assert_close(logprobs[drawn == 1][0].exp(), torch.tensor(2 / 7))
    drawn, _ = _draw(logits, uniforms, Sampling(temperature=1.0, top_k=1, max_tokens=1))
    assert set(drawn.tolist()) == {2}
