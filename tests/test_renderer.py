"""How conversations become token ids."""

from pathlib import Path

import pytest
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from bench.models.policy import TransformersPolicy
from bench.models.renderer import DATE, TemplateKind, _user, make_renderer
from tests.chat_templates import SUPPORTED, THINKING, tokenizer_with
from tests.tiny_model import save_tiny_model


def rendered(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]]) -> list[int]:
    """The whole conversation as transformers makes it ids, on the day that is fixed."""
    ids = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_dict=False, strftime_now=DATE.strftime
    )
    return list(ids)  # pyright: ignore[reportReturnType]  ids, because tokenize is left on


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False)


def test_opening_and_bridge_together_are_the_rendered_conversation(tiny_learner: TransformersPolicy):
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
    joined = tiny_learner.prompt_ids("2 + 2?") + answer + tiny_learner.bridge("Sure?", turn_ended=False)
    assert list(joined) == whole


def test_a_reply_cut_at_the_limit_gets_the_end_of_its_turn_from_the_bridge(tiny_learner: TransformersPolicy):
    end = tiny_learner.tokenizer.convert_tokens_to_ids("<|end|>")
    whole = tiny_learner.bridge("Sure?", turn_ended=False)
    assert whole == (end, *tiny_learner.bridge("Sure?", turn_ended=True))


def test_a_tokenizer_without_chat_template_is_refused_with_the_cure(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(save_tiny_model(tmp_path, chat=False))
    with pytest.raises(ValueError, match=r"model\.template=plain"):
        make_renderer(tokenizer, TemplateKind.auto, stop_ids=frozenset())


def test_the_plain_template_separates_turns_by_blank_lines(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(save_tiny_model(tmp_path, chat=False))
    renderer = make_renderer(tokenizer, TemplateKind.plain, stop_ids=frozenset())
    ids = [*renderer.prompt_ids("Two?"), *tokenizer.encode("2"), *renderer.bridge("Sure?", turn_ended=False)]
    assert tokenizer.decode(ids) == "<|bos|>Two?\n\n2<|end|>\n\nSure?\n\n"


def test_a_tokenizer_that_opens_every_text_with_its_own_token_does_so_once_in_a_plain_conversation(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(save_tiny_model(tmp_path, chat=False))
    opening = [("<|bos|>", tokenizer.bos_token_id)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<|bos|> $A", special_tokens=opening)
    assert tokenizer.encode("x")[0] == tokenizer.bos_token_id
    renderer = make_renderer(tokenizer, TemplateKind.plain, stop_ids=frozenset())
    ids = [*renderer.prompt_ids("Two?"), *renderer.bridge("Sure?", turn_ended=True)]
    assert tokenizer.decode(ids) == "<|bos|>Two?\n\n\n\nSure?\n\n"


def test_a_template_that_rewrites_earlier_turns_is_refused(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(save_tiny_model(tmp_path))
    tokenizer.chat_template = (
        "{% for message in messages %}{% if message.role == 'user' or not loop.last %}"
        "{{ message.content if message.role == 'user' else '(earlier answer)' }}<|end|>{% endif %}{% endfor %}"
    )
    with pytest.raises(ValueError, match=r"model\.template=plain"):
        make_renderer(tokenizer, TemplateKind.chat, stop_ids=frozenset())


@pytest.mark.parametrize("kind", SUPPORTED)
def test_a_conversation_is_to_the_token_what_each_familys_template_renders(kind: str):
    tokenizer = tokenizer_with(SUPPORTED[kind])
    renderer = make_renderer(tokenizer, TemplateKind.auto, stop_ids=frozenset())
    messages, ids = [{"role": "user", "content": "2 + 2?"}], renderer.prompt_ids("2 + 2?")
    for reply in ("It is 5.", "No: 4.", "<b>4</b>\n```python\n4\n```"):
        ids += (*encode(tokenizer, reply), *renderer.bridge("Sure?", turn_ended=False))
        messages += [{"role": "assistant", "content": reply}, {"role": "user", "content": "Sure?"}]
    assert list(ids) == rendered(tokenizer, messages)


@pytest.mark.parametrize("kind", THINKING)
def test_a_template_that_takes_thinking_out_of_earlier_turns_is_refused(kind: str):
    with pytest.raises(ValueError, match=r"earlier turns.*model\.template=plain"):
        make_renderer(tokenizer_with(THINKING[kind]), TemplateKind.auto, stop_ids=frozenset())


def test_the_refusal_of_a_thinking_template_names_the_thinking():
    with pytest.raises(ValueError, match=r"<think>.*out of earlier turns"):
        make_renderer(tokenizer_with(THINKING["Qwen3"]), TemplateKind.auto, stop_ids=frozenset())


@pytest.mark.parametrize(
    "rewritten",
    [
        "m.content | replace('<b>', '')",
        "m.content | replace('```', '')",
        "m.content.split('[DONE]')[0]",
        "m.content if loop.index0 < 3 else 'later'",
        "m.content | truncate(20)",
    ],
)
def test_whatever_else_a_template_does_to_a_reply_is_refused(rewritten: str):
    changed = SUPPORTED["Qwen2.5"].replace(
        "{{ m.content }}", "{{ m.content if m.role == 'user' else " + rewritten + " }}"
    )
    assert changed != SUPPORTED["Qwen2.5"]
    with pytest.raises(ValueError, match=r"model\.template=plain"):
        make_renderer(tokenizer_with(changed), TemplateKind.auto, stop_ids=frozenset())


@pytest.mark.parametrize("kind", ["Llama-3.2", "Gemma-2"])
def test_white_space_that_a_template_trims_stays_as_it_was_sampled_and_moves_no_bridge(kind: str):
    tokenizer = tokenizer_with(SUPPORTED[kind])
    renderer = make_renderer(tokenizer, TemplateKind.auto, stop_ids=frozenset())
    ids = (*renderer.prompt_ids("2?"), *encode(tokenizer, "\n 2 \n\n"), *renderer.bridge("Sure?", turn_ended=False))
    messages = [_user("2?"), {"role": "assistant", "content": "\n 2 \n\n"}, _user("Sure?")]
    trimmed = str(tokenizer.decode(rendered(tokenizer, messages)))
    assert str(tokenizer.decode(list(ids))).replace("\n 2 \n\n", "2") == trimmed


def test_a_template_that_inserts_todays_date_gets_a_fixed_one_that_is_recorded():
    tokenizer = tokenizer_with(SUPPORTED["Llama-3.2"])
    renderer = make_renderer(tokenizer, TemplateKind.auto, stop_ids=frozenset())
    assert "Today is 26 Jul 2024." in str(tokenizer.decode(list(renderer.prompt_ids("2?"))))
    assert renderer.description["date"] == "2024-07-26"
    undated = make_renderer(tokenizer_with(SUPPORTED["Qwen2.5"]), TemplateKind.auto, stop_ids=frozenset())
    assert "date" not in undated.description
    assert undated.description["sha256"] != renderer.description["sha256"]


def test_a_template_that_ends_replies_with_ordinary_text_is_refused():
    chat = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: "
    with pytest.raises(ValueError, match="ordinary text"):
        make_renderer(tokenizer_with(chat), TemplateKind.auto, stop_ids=frozenset())


def test_a_template_that_raises_is_refused_with_what_it_said():
    chat = "{{ raise_exception('only a system turn may come first') }}"
    with pytest.raises(ValueError, match=r"only a system turn may come first.*model\.template=plain"):
        make_renderer(tokenizer_with(chat), TemplateKind.auto, stop_ids=frozenset())


# Of the templates that TRL ships: families whose turns stay as they were sampled, and some that rewrite earlier ones.
GROWING = {"cohere", "cohere2", "gemma", "gemma3", "gemma4", "lfm2", "llama3", "llama3_1", "llama3_2", "phi3", "phi3_5"}
GROWING |= {"qwen2_5", "qwen2_5_vl", "qwen3_instruct_2507", "qwen3_vl"}
REWRITING = {"deepseek_r1_distill", "deepseekv3", "glm4moe", "gptoss", "nemotron_3_nano", "qwen3", "qwen3_6"}


def test_templates_that_trl_ships_are_played_to_the_token_or_refused():
    shipped = pytest.importorskip("trl.chat_template_utils")
    supported, refused = set(), {}
    for file in sorted((Path(shipped.__file__).parent / "chat_templates").glob("*.jinja")):
        tokenizer = tokenizer_with(file.read_text(encoding="utf-8"))
        try:
            renderer = make_renderer(tokenizer, TemplateKind.auto, stop_ids=frozenset())
        except ValueError as error:
            refused[file.stem] = str(error)
            continue
        messages = [_user("2?")]
        ids = list(renderer.prompt_ids("2?"))
        for reply in ("4", "It is 5."):
            messages += [{"role": "assistant", "content": reply}, _user("Sure?")]
            ids += [*encode(tokenizer, reply), *renderer.bridge("Sure?", turn_ended=False)]
        assert ids == rendered(tokenizer, messages), file.name
        supported.add(file.stem)
    assert not GROWING & refused.keys()
    assert not REWRITING & supported
    assert supported
    assert all("model.template=plain" in reason for reason in refused.values())
