"""Sampling from a transformers model."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,  # a bias by position in the attention itself
    Gemma2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedModel,
    Qwen2Config,
)

from bench.episode import Completion, Request, SamplingParams
from bench.models.drawing import _at_cumulative, draw
from bench.models.policy import TransformersPolicy
from bench.models.sampler import check_sampling, generate
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


def test_a_text_is_cut_after_the_first_of_several_stops_and_one_without_any_is_left_whole():
    assert cut_after("a; b; c", ";") == "a;"
    assert cut_after("a b", ";") == "a b"
    assert cut_after("a; b", "") == "a; b"


def test_of_two_stop_strings_the_one_that_is_complete_first_counts():
    assert first_stop("a b c", ("c", "b")) == "b"
    assert first_stop("abcd", ("abcd", "bc")) == "bc"
    assert first_stop("a", ("b",)) == ""


def test_batches_of_any_size_give_the_same_replies(tiny_learner: TransformersPolicy):
    batch = requests(tiny_learner, ["a", "bb", "ccc", "dddd", "eeeee"])
    whole = tiny_learner.generate(batch, SAMPLED)
    tiny_learner.engine.batch_tokens = 40  # pyright: ignore[reportAttributeAccessIssue]
    assert [reply.token_ids for reply in tiny_learner.generate(batch, SAMPLED)] == [r.token_ids for r in whole]


def test_tokens_are_drawn_with_the_probabilities_of_the_logits():
    logits = torch.tensor([[0.0, math.log(2.0), math.log(5.0)]])
    uniforms = (torch.arange(8000, dtype=torch.float64) + 0.5) / 8000
    drawn, logprobs = draw(logits.expand(8000, -1), uniforms, SamplingParams(temperature=1.0, max_tokens=1))
    shares = torch.bincount(drawn, minlength=3) / 8000
    torch.testing.assert_close(shares, torch.tensor([1 / 8, 2 / 8, 5 / 8]), atol=1e-3, rtol=0)
    torch.testing.assert_close(logprobs[drawn == 2][0].exp(), torch.tensor(5 / 8))


def test_truncated_sampling_never_leaves_the_nucleus_and_scores_what_it_drew_from():
    logits = torch.tensor([[0.0, math.log(2.0), math.log(5.0)]]).expand(100, -1)
    uniforms = (torch.arange(100, dtype=torch.float64) + 0.5) / 100
    drawn, logprobs = draw(logits, uniforms, SamplingParams(temperature=1.0, top_p=0.7, max_tokens=1))
    assert set(drawn.tolist()) == {1, 2}
    torch.testing.assert_close(logprobs[drawn == 1][0].exp(), torch.tensor(2 / 7))
    drawn, _ = draw(logits, uniforms, SamplingParams(temperature=1.0, top_k=1, max_tokens=1))
    assert set(drawn.tolist()) == {2}


SHAPE = {
    "vocab_size": 700,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.4,
}
FAMILIES = {
    "llama": LlamaConfig(**SHAPE),
    "qwen2, every head its own keys": Qwen2Config(**{**SHAPE, "num_key_value_heads": 4}),
    "mistral, a window of 8": MistralConfig(**SHAPE, sliding_window=8),
    "gemma2, soft-capped, a window in every other layer": Gemma2Config(**SHAPE, head_dim=8, sliding_window=8),
}


def random_model(config: LlamaConfig | Qwen2Config | MistralConfig | Gemma2Config | BloomConfig) -> PreTrainedModel:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()


def of_lengths(*lengths: int) -> list[Request]:
    stream = torch.Generator().manual_seed(1)
    return [
        Request(
            tuple(torch.randint(700, (length,), generator=stream).tolist()), seed=place, problem_id="", sample=0, turn=0
        )
        for place, length in enumerate(lengths)
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_sampled_logprobs_are_the_models_own_while_rows_come_go_move_and_share_prompts(family: str):
    model = random_model(FAMILIES[family])
    sampled = of_lengths(5, 5, 30, 17, 40, 3, 9, 9, 21, 2)
    sampled += [replace(sampled[place], seed=100 + number) for number, place in enumerate((2, 2, 4, 6, 6, 6))]
    done: dict[int, Completion] = {}  # in the order in which they were
    replies = generate(
        model,
        sampled,
        SamplingParams(temperature=1.0, max_tokens=24),
        stop_ids=frozenset(range(35)),
        pad_id=0,
        batch_tokens=64 * 5,
        decode=lambda ids: " ".join(map(str, ids)),
        on_done=done.__setitem__,
    )
    assert len({len(reply.token_ids) for reply in replies}) >= 4  # rows ended at different times
    assert list(done) != sorted(done)
    assert [done[number] for number in range(len(sampled))] == replies
    for request, reply in zip(sampled, replies, strict=True):
        ids_1T = torch.tensor([request.token_ids + reply.token_ids])
        with torch.no_grad():
            own_TV = model(ids_1T, use_cache=False).logits[0].log_softmax(-1)
        start = len(request.token_ids)
        own_N = own_TV[start - 1 : -1].gather(1, ids_1T[0, start:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(reply.logprobs), own_N, atol=1e-5, rtol=1e-5)


def test_a_model_with_another_attention_is_refused_when_it_is_loaded():
    check_sampling(random_model(FAMILIES["llama"]))
    with pytest.raises(ValueError, match="the transformers sampler cannot run BloomForCausalLM"):
        check_sampling(
            random_model(BloomConfig(vocab_size=700, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.4))
        )


def test_over_a_large_vocabulary_tokens_are_drawn_as_from_the_sum_in_float64():
    probs = torch.randn(64, 5000, generator=torch.Generator().manual_seed(0)).mul(4).softmax(dim=1)
    uniforms = torch.rand(64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    cumulative = probs.double().cumsum(dim=1)
    expected = (cumulative <= uniforms[:, None] * cumulative[:, -1:]).sum(dim=1)
    assert torch.equal(_at_cumulative(probs, uniforms), expected)


@pytest.mark.parametrize("uniform", [0.0, 0.5, math.nextafter(1.0, 0.0)])
def test_a_token_of_probability_zero_is_never_drawn(uniform: float):
    probs = torch.zeros(1, 1000)
    probs[0, [300, 600]] = 0.5
    (drawn,) = _at_cumulative(probs, torch.tensor([uniform], dtype=torch.float64)).tolist()
    assert drawn == (300 if uniform < 0.5 else 600)
