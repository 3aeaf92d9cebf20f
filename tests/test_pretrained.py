"""A real pretrained chat model: `python tests/pretrained/fetch.py`, then `pytest -m pretrained`."""

from typing import cast

import pytest
import torch

from bench.episode import Request, Sampling
from bench.policies.learner import Learner
from bench.policies.models import Transformers
from tests.pretrained.fetch import FOLDER

pytestmark = [
    pytest.mark.pretrained,
    pytest.mark.skipif(not (FOLDER / "model.safetensors").is_file(), reason=f"{FOLDER} is absent: run fetch.py"),
]


@pytest.fixture(scope="module")
def learner() -> Learner:
    model = Transformers(path=str(FOLDER), device="cpu")
    model.check()
    return cast(Learner, model.build(str))


def test_opening_and_bridges_are_the_rendered_conversation(learner: Learner):
    messages, ids = [{"role": "user", "content": "What is 2 + 2?"}], learner.opening("What is 2 + 2?")
    for reply in ("It is 5.", "No, it is 4."):
        ids += (*learner.tokenizer.encode(reply, add_special_tokens=False), *learner.bridge("Sure?", turn_ended=False))
        messages += [{"role": "assistant", "content": reply}, {"role": "user", "content": "Sure?"}]
    assert list(ids) == learner.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)


def test_greedy_replies_are_those_of_transformers(learner: Learner):
    asked = [
        Request(learner.opening(prompt), 0, prompt, 0, 0) for prompt in ("What is 2 + 2?", "Name a colour of the sky.")
    ]
    replies = learner.generate(asked, Sampling(temperature=0.0, max_tokens=16))
    for request, reply in zip(asked, replies, strict=True):
        prompt = torch.tensor([request.token_ids])
        theirs = learner.model.generate(  # pyright: ignore[reportCallIssue]
            prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=16
        )
        assert reply.token_ids == tuple(theirs[0, prompt.shape[1] :].tolist())
