"""The paper's claims judged by runs that were made to fulfil them, to break them, or to leave them open."""

from collections.abc import Mapping
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bench.launch.catalogue import CONF
from bench.metrics.bootstrap import Estimate
from bench.reporting.claims import CLAIMS, FAILS, HOLDS, OPEN, Claim, Finding, _margin, claims_table, findings
from bench.reporting.index import read_index
from bench.reporting.paper import paper_tables
from bench.reporting.terminal import print_claims
from tests.made_results import make_run

# Right at first; then fixed if wrong, broken if right.
AS_THE_PAPER = {"score": (0.5, 0.6, 0.02), "base": (0.5, 0.1, 0.3), "score_wo_stage1": (0.5, 0.05, 0.05)}
THE_OTHER_WAY = {"score": (0.5, 0.05, 0.3), "base": (0.5, 0.6, 0.02), "score_wo_stage1": (0.5, 0.6, 0.02)}
ALL_THE_SAME = dict.fromkeys(AS_THE_PAPER, (0.5, 0.1, 0.1))


def judged(
    folder: Path, chances: Mapping[str, tuple[float, float, float]], task: str = "mini_math"
) -> dict[str, Finding]:
    for method in chances:
        for seed in (0, 1):
            make_run(folder, method, seed, task=task, chances=chances, num_problems=150, num_updates=0)
    return {finding.claim.text: finding for finding in findings(read_index(folder, evaluation="greedy").results)}


@pytest.mark.parametrize(
    ("chances", "verdict"), [(AS_THE_PAPER, HOLDS), (THE_OTHER_WAY, FAILS), (ALL_THE_SAME, OPEN)], ids=str
)
def test_a_claim_holds_only_where_the_whole_interval_is_on_its_side(
    chances: Mapping[str, tuple[float, float, float]], verdict: str, tmp_path: Path
) -> None:
    found = judged(tmp_path, chances)
    for text in (
        "SCoRe's Accuracy@t2 is above that of Base",
        "SCoRe w/o Stage I has a smaller Δ than SCoRe",
    ):
        assert found[text].verdict == verdict
        assert found[text].num_seeds == 2


def test_a_claim_about_a_method_that_was_not_run_is_missing_and_not_guessed(tmp_path: Path) -> None:
    found = judged(tmp_path, AS_THE_PAPER)
    single = found["Single-turn RL does not teach self-correction"]
    assert (single.verdict, single.estimate) == ("missing", None)
    table = claims_table(list(found.values()))
    assert len(table.shown) == 20
    assert (table.numbers["verdict"] == "missing").sum() == 16
    assert ": 4 intervals, not corrected for their number." in table.caption


def test_code_is_judged_by_the_claims_of_the_papers_code_table_alone(tmp_path: Path) -> None:
    found = judged(tmp_path, {**AS_THE_PAPER, "self_refine": (0.5, 0.1, 0.3)}, task="humaneval")
    assert {text: finding.verdict for text, finding in found.items()} == {
        "SCoRe's second attempts are better than its first": HOLDS,
        "SCoRe's Accuracy@t2 is above that of Base": HOLDS,
        "SCoRe's Accuracy@t2 is above that of Self-Refine": HOLDS,
        "SCoRe's Accuracy@t2 is above that of Pair-SFT (D)": "missing",
    }
    assert {finding.claim.source for finding in found.values()} == {"Table 3"}
    assert judged(tmp_path / "mbpp", AS_THE_PAPER, task="mbpp") == {}


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim.task}: {claim.text}")
def test_a_claims_methods_stand_in_the_table_it_names_and_in_none_if_it_names_a_figure(claim: Claim) -> None:
    tables = {table.number: table for table in paper_tables()}
    assert claim.source.startswith(("Table ", "Figure "))
    if claim.source.startswith("Figure"):
        without_table = set(claim.terms) - {method for table in tables.values() for method in table.rows}
        assert without_table & {"multi_turn_rl", "score_stage1"}
        return
    table = tables[int(claim.source[len("Table ")])]
    elsewhere = {"score"} if claim.source.endswith("(SCoRe: Table 2)") else set()
    assert claim.task == table.task
    assert set(claim.terms) - elsewhere <= set(table.rows)
    assert elsewhere <= set(tables[2].rows)


def test_the_bounds_that_the_paper_does_not_print_are_said_to_be_ours() -> None:
    bounded = [claim for claim in CLAIMS if claim.within is not None or 0.5 in claim.terms.values()]
    assert len(bounded) == 2
    assert all(claim.source.endswith(("is ours", "are ours")) for claim in bounded)


def test_nothing_is_judged_where_no_claim_can_be(tmp_path: Path) -> None:
    assert findings([]) == []
    assert judged(tmp_path, {"my_idea": (0.5, 0.1, 0.1)}) == {}


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        ((0.05, 0.02, 0.08), (0.07, 0.04, 0.10)),
        ((-0.2, -0.3, -0.1), (-0.08, -0.18, 0.02)),
        ((0, -0.01, 0.02), (0.12, 0.1, 0.12)),
    ],
)
def test_closeness_is_judged_by_the_end_of_the_interval_that_lies_farther_off(
    difference: tuple[float, float, float], expected: tuple[float, float, float]
) -> None:
    margin = _margin(Estimate(*difference), 0.12)
    assert (margin.value, margin.low, margin.high) == pytest.approx(expected)


def test_every_method_that_a_claim_names_is_in_the_catalogue() -> None:
    named = {method for claim in CLAIMS for method in claim.terms}
    assert named <= {path.stem for path in (CONF / "method").glob("*.yaml")}


def test_the_terminal_shows_the_verdict_beside_its_interval(tmp_path: Path) -> None:
    found = list(judged(tmp_path, AS_THE_PAPER).values())
    shown = StringIO()
    print_claims(claims_table(found), Console(file=shown, width=100))
    text = shown.getvalue()
    assert "holds" in text
    assert "Single-turn RL" not in text
