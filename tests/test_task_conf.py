"""conf/task: the paper's words to the letter, and one dataclass per YAML."""

import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue

from bench.episode import Problem
from bench.mini.tasks import MiniHumanEval, MiniMath, MiniMbpp
from bench.tasks.humaneval import HumanEval
from bench.tasks.interface import Source, Task
from bench.tasks.math import Math
from bench.tasks.mbpp import Mbpp
from tests import tasks_in_conf as conf
from tests.conftest import ROOT

REAL = {"math": Math, "mbpp": Mbpp, "humaneval": HumanEval}
TASKS = REAL | {"mini_math": MiniMath, "mini_mbpp": MiniMbpp, "mini_humaneval": MiniHumanEval}


@pytest.fixture(scope="module")
def paper(shared_data: Path) -> str:
    file = shared_data.parent / "paper" / "paper.md"
    if not file.is_file():
        pytest.skip(f"the notes on the paper are not here ({file} is absent)")
    return file.read_text()


@pytest.fixture(scope="module")
def composed():
    """task=<name> composed by Hydra itself, the schemas registered as the catalogue does."""
    for schema in TASKS.values():
        ConfigStore.instance().store(group="schema", name=schema.__name__, node=schema)

    def compose_task(name: str, *overrides: str) -> Task:
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            return OmegaConf.to_object(compose(overrides=[f"+task={name}", *overrides]).task)  # pyright: ignore

    return compose_task


def test_math_and_correction_prompts_are_the_papers_to_the_letter(paper: str) -> None:
    quotes = re.findall(r"^> (.+)$", paper, re.MULTILINE)
    math_instruction, math_correction, code_correction = quotes
    assert conf.math().prompt_template == f"{math_instruction}\n\nProblem: {{question}}"
    assert conf.math().correction == math_correction
    assert conf.mbpp().correction == code_correction
    assert conf.humaneval().correction == code_correction


def test_code_stops_where_the_shots_do_and_math_where_the_model_does() -> None:
    assert conf.mbpp().stop_strings == conf.humaneval(**{"stop_strings": ["[DONE]"]}).stop_strings == ["[DONE]"]
    assert all(text in conf.mbpp().shot_template for text in conf.mbpp().stop_strings)
    assert conf.math().stop_strings == []
    with pytest.raises(ValueError, match=r"task\.stop_strings"):
        conf.mbpp(stop_strings=[""])


def test_mbpp_shots_are_posed_in_the_papers_format_to_the_letter(paper: str) -> None:
    quoted = re.search(r'each "(You are an expert Python programmer.+?)" \(Austin', paper, re.DOTALL)
    assert quoted
    one_line = " ".join(quoted[1].split())  # the notes are wrapped; line ends of the format are written \n
    mbpp = conf.mbpp()
    prompt = mbpp.prompt_template.replace("{question}", mbpp.question_template)
    shot = mbpp.shot_template.replace("{prompt}", prompt)
    assert shot.rstrip("\n") == one_line.replace("\\n", "\n")


@pytest.mark.parametrize("name", TASKS)
def test_every_task_composes_by_its_name_and_only_the_real_ones_have_a_source(composed, name: str) -> None:
    task = composed(name)
    assert type(task) is TASKS[name]
    assert task.name == name
    assert getattr(task, "source", None) == (Source.hub if name in REAL else None)


@pytest.mark.parametrize("name", TASKS)
def test_the_request_for_a_correction_never_says_whether_the_attempt_was_right(composed, name: str) -> None:
    assert "There might be an error in the" in composed(name).correction


def test_a_source_that_does_not_exist_is_refused_when_composed(composed) -> None:
    with pytest.raises(ConfigCompositionException):
        composed("math", "task.source=internet")


def test_a_misspelt_field_is_refused_when_composed(composed) -> None:
    with pytest.raises(ConfigCompositionException):
        composed("mbpp", "task.num_shwon_tests=1")


def test_humaneval_takes_its_training_problems_from_the_same_source_unless_told(composed) -> None:
    task = composed("humaneval", "task.source=local", "task.path=x", "task.training.path=y")
    assert task.training.source is Source.local
    assert composed("humaneval", "task.training.source=hub").training.source is Source.hub


@pytest.mark.parametrize("schema", TASKS.values())
def test_what_the_yaml_must_say_has_no_default_in_code(schema: type) -> None:
    with pytest.raises(MissingMandatoryValue):
        OmegaConf.to_object(OmegaConf.structured(schema))


@pytest.mark.parametrize("load", [conf.math, conf.mbpp, conf.humaneval])
def test_a_prompt_template_without_the_question_is_refused(load) -> None:
    with pytest.raises(ValueError, match=r"prompt_template must contain \{question\} exactly once"):
        load(prompt_template="Solve the problem.")


def test_what_a_problem_says_is_never_taken_for_a_slot() -> None:
    problem = Problem("math/test/x/1", question=r"Find {question} and {text} in $\{x\}$.", gold="1")
    assert conf.math().prompt(problem).endswith(r"Problem: Find {question} and {text} in $\{x\}$.")


@pytest.mark.parametrize("load", [conf.math, conf.mbpp, conf.humaneval])
def test_a_local_source_without_a_path_or_with_an_absent_one_names_the_cure(load) -> None:
    with pytest.raises(ValueError, match=r"needs task\.path="):
        load(source="local").check()
    with pytest.raises(ValueError, match=r"task\.path=/no/such/place does not exist"):
        load(source="local", path="/no/such/place").check()


@pytest.mark.parametrize("load", [conf.math, conf.mbpp, conf.humaneval])
def test_a_path_that_the_source_does_not_read_is_refused(load) -> None:
    with pytest.raises(ValueError, match=r"task\.path=x is read only with task\.source=local, and .* is hub"):
        load(path="x")


@pytest.mark.parametrize("load", [conf.math, conf.mbpp, conf.humaneval])
def test_a_split_that_does_not_exist_is_refused(load) -> None:
    with pytest.raises(ValueError, match="the splits are train, dev, test"):
        load().problems("validation")


@pytest.mark.parametrize("load", [conf.math, conf.mbpp, conf.humaneval])
def test_an_unreachable_hub_names_the_other_sources(load, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr("datasets.load_dataset_builder", offline)
    task = load(source="hub")
    task.check()  # downloads nothing, so it cannot know
    with pytest.raises(ValueError, match=r"check the network, or use task\.source=local"):
        task.problems("test")
