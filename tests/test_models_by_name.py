"""conf/model/ names the open models that people compare, each with what it needs."""

import re

import pytest

from bench.launch.catalogue import compose_spec
from bench.models.renderer import TemplateKind
from tests.conftest import ROOT

FILES = {path.stem: path for path in (ROOT / "conf" / "model").glob("*.yaml")}
# Layers, heads of keys and values, and width of a head, from each model's config.json.
SHAPES = {
    "qwen2.5-0.5b-instruct": (24, 2, 64),
    "qwen2.5-1.5b-instruct": (28, 2, 128),
    "qwen2.5-7b-instruct": (28, 4, 128),
    "qwen2.5-math-1.5b-instruct": (28, 2, 128),
    "llama-3.2-1b-instruct": (16, 8, 64),
    "llama-3.2-3b-instruct": (28, 8, 128),
    "llama-3.1-8b-instruct": (32, 8, 128),
    "gemma-2-2b-it": (26, 4, 256),
    "smollm2-135m-instruct": (30, 3, 64),
    "smollm2-1.7b-instruct": (24, 32, 64),
}
GIB = 2**30


def test_what_has_no_shape_here_is_no_model_by_name():
    assert FILES.keys() - SHAPES.keys() == {"mini", "replay", "scripted", "served", "transformers"}


@pytest.mark.parametrize("name", SHAPES)
def test_a_model_is_named_as_its_repository_is_and_loads_without_a_plus(name: str):
    spec = compose_spec([f"model={name}", "task=math"])
    model = spec.experiment.model
    assert re.fullmatch(r"[\w-]+/[\w.-]+", model.path)
    assert model.path.rpartition("/")[2].lower() == name
    assert spec.key.model == model.path.rpartition("/")[2]
    assert (model.template, model.revision, model.dtype.value) == (TemplateKind.auto, None, "bfloat16")
    assert model.attention == ("eager" if "gemma-2" in name else "sdpa")


@pytest.mark.parametrize("name", SHAPES)
def test_two_attempts_fit_into_the_positions_that_a_models_file_states(name: str):
    (positions,) = re.findall(r"([\d,]+) positions", FILES[name].read_text().replace("\n# ", " "))
    model = compose_spec([f"model={name}"]).experiment.model
    assert 1000 + 2 * model.max_tokens <= int(positions.replace(",", ""))
    assert model.train_batch_tokens >= 1000 + 2 * model.max_tokens


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_sampled_at_once_keeps_its_keys_and_values_in_five_gib(name: str):
    layers, heads, width = SHAPES[name]
    per_token = layers * heads * width * 2 * 2  # keys and values, two bytes each
    at_once = compose_spec([f"model={name}"]).experiment.model.sample_batch_tokens
    assert GIB / 2 < per_token * at_once < 5 * GIB


def test_gemmas_preset_is_the_printed_table_three_attempts_trained_and_tested():
    for method, stages in (("score", ["stage1a", "stage1b", "stage2"]), ("base", [])):
        spec = compose_spec(["preset=gemma2_2b_math", f"method={method}"])
        assert (spec.key.task, spec.key.model, spec.key.variant) == ("math", "gemma-2-2b-it", "main")
        assert {name: each.num_attempts for name, each in spec.experiment.evaluations.items()} == {"three_attempts": 3}
        assert [stage.name for stage in spec.stages] == stages


def test_qwens_preset_is_the_base_on_math_in_two_greedy_attempts():
    spec = compose_spec(["preset=qwen2.5_1.5b_math"])
    assert (spec.key.method, spec.key.task, spec.key.model) == ("base", "math", "Qwen2.5-1.5B-Instruct")
    assert list(spec.experiment.evaluations) == ["greedy"]
