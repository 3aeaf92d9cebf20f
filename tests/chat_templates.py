"""Chat templates of the kinds that model families ship, in a short form of our own, on a tokenizer of bytes."""

from __future__ import annotations

import re

from transformers import PreTrainedTokenizerFast

from tests.tiny_model import byte_tokenizer

# Header and end around every turn, a system turn that is always there.
QWEN25 = """{%- if messages[0].role != 'system' -%}<|im_start|>system
Be helpful.<|im_end|>
{% endif -%}
{%- for m in messages -%}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant
{% endif -%}"""

# Thinking is kept after the user's last question only.
QWEN3 = """{%- set ns = namespace(last=0) -%}
{%- for m in messages -%}{%- if m.role == 'user' -%}{%- set ns.last = loop.index0 -%}{%- endif -%}{%- endfor -%}
{%- for m in messages -%}
{%- set text = m.content -%}
{%- if m.role == 'assistant' and '</think>' in text and loop.index0 < ns.last -%}
{%- set text = text.split('</think>')[-1].lstrip('\\n') -%}{%- endif -%}<|im_start|>{{ m.role }}
{{ text }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant
{% endif -%}"""

# The prompt for the next reply holds an empty thought, which the reply does not hold once it is an earlier turn.
QWEN3_WITHOUT_THINKING = QWEN3.replace(
    "{%- if add_generation_prompt -%}<|im_start|>assistant\n",
    "{%- if add_generation_prompt -%}<|im_start|>assistant\n<think>\n\n</think>\n\n",
)

# Today's date in the system turn; every text trimmed.
LLAMA32 = """{{- bos_token -}}
{%- if not date_string is defined -%}{%- if strftime_now is defined -%}
{%- set date_string = strftime_now("%d %b %Y") -%}
{%- else -%}{%- set date_string = "26 Jul 2024" -%}{%- endif -%}{%- endif -%}
<|start_header_id|>system<|end_header_id|>

Today is {{ date_string }}.<|eot_id|>
{%- for m in messages -%}<|start_header_id|>{{ m.role }}<|end_header_id|>

{{ m.content | trim }}<|eot_id|>{%- endfor -%}
{%- if add_generation_prompt -%}<|start_header_id|>assistant<|end_header_id|>

{% endif -%}"""

# The assistant is called model; roles must alternate; every text trimmed.
GEMMA2 = """{{- bos_token -}}
{%- for m in messages -%}
{%- if (m.role == 'user') != (loop.index0 % 2 == 0) -%}{{ raise_exception('roles must alternate') }}{%- endif -%}
<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}
{{ m.content | trim }}<end_of_turn>
{% endfor -%}
{%- if add_generation_prompt -%}<start_of_turn>model
{% endif -%}"""

# The same for content that may be a list of parts.
GEMMA3 = GEMMA2.replace(
    "\n{{ m.content | trim }}",
    "{{ '\\n' }}{%- if m.content is string -%}{{ m.content | trim }}{%- else -%}"
    "{%- for part in m.content -%}{{ part.text | trim }}{%- endfor -%}{%- endif -%}",
)

SMOLLM2 = QWEN25.replace("Be helpful.", "You were made to be small.")

SUPPORTED = {
    "Qwen2.5": QWEN25,
    "Llama-3.2": LLAMA32,
    "Gemma-2": GEMMA2,
    "Gemma-3": GEMMA3,
    "SmolLM2": SMOLLM2,
}
THINKING = {"Qwen3": QWEN3, "Qwen3, told not to think": QWEN3_WITHOUT_THINKING}

# `<|im_end|>`, `<turn|>`, `<end_of_turn>`: what model families add to their vocabulary to mark turns.
_SPECIAL = re.compile(r"<[|\uff5c][^<>\s{}'\"]+>|<[^<>\s{}'\"]+[|\uff5c]>|<(?:start|end)_of_\w+>")


def tokenizer_with(chat_template: str) -> PreTrainedTokenizerFast:
    """A tokenizer of bytes whose vocabulary holds the tokens that the template marks turns with."""
    tokenizer = byte_tokenizer(chat=False)
    tokenizer.add_special_tokens({"extra_special_tokens": sorted(set(_SPECIAL.findall(chat_template)))})
    tokenizer.chat_template = chat_template
    return tokenizer
