"""How conversations become token ids."""

import pytest
from transformers import AutoTokenizer

from bench.policies.learner import Learner
from bench.policies.template import TemplateKind, make_template
from tests.tiny_model import save_tiny_model


def test_opening_and_bridge_together_are_the_rendered_conversation(tiny_learner: Learner):
    whole = tiny_learner.tokenizer.apply_chat_template(
        [
            {"role": "user", "content": "2 + 2?"},
            {"role": "assistant", "content": "It is 5."},
            {"role": "user", "content": "Sure?"},
        ],
        add_generation_prompt=True,
        return_dict=False,
    )
    answer = tuple(tiny_learner.tokenizer.encode("It is 5.", add_special_tokens=False))
    joined = tiny_learner.opening("2 + 2?") + answer + tiny_learner.bridge("Sure?", turn_ended=False)
    assert list(joined) == whole


def test_a_reply_cut_at_the_limit_gets_the_end_of_its_turn_from_the_bridge(tiny_learner: Learner):
    end = tiny_learner.tokenizer.convert_tokens_to_ids("<|end|>")
    whole = tiny_learner.bridge("Sure?", turn_ended=False)
    assert whole == (end, *tiny_learner.bridge("Sure?", turn_ended=True))


def test_a_tokenizer_without_chat_template_is_refused_with_the_cure(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(save_tiny_model(tmp_path, chat=False))
    with pytest.raises(ValueError, match=r"model\.template=plain"):
        make_template(tokenizer, TemplateKind.auto, stop_ids=frozenset())


def test_the_plain_template_separates_turns_by_blank_lines(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(save_tiny_model(tmp_path, chat=False))
    template = make_template(tokenizer, TemplateKind.plain, stop_ids=frozenset())
    ids = [*template.opening("Two?"), *tokenizer.encode("2"), *template.bridge("Sure?", turn_ended=False)]
    assert tokenizer.decode(ids) == "<|bos|>Two?\n\n2<|end|>\n\nSure?\n\n"


def test_a_template_that_rewrites_earlier_turns_is_refused(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(save_tiny_model(tmp_path))
    tokenizer.chat_template = (
        "{% for message in messages %}{% if message.role == 'user' or not loop.last %}"
        "{{ message.content if message.role == 'user' else '(earlier answer)' }}<|end|>{% endif %}{% endfor %}"
    )
    with pytest.raises(ValueError, match=r"model\.template=plain"):
        make_template(tokenizer, TemplateKind.chat, stop_ids=frozenset())
