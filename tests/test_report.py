"""The report from a made-up results folder: what is written, and what is refused."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from bench.episode import Episode
from bench.metrics.bootstrap import estimate
from bench.metrics.episode_metrics import summarise
from bench.report import main
from bench.reporting.index import read_index
from bench.reporting.paper import paper_row, paper_tables, tables_of_open_models
from bench.reporting.regrade import regraded
from bench.reporting.style import METRICS, show_number
from bench.reporting.tables import main_table
from bench.reporting.terminal import print_main_table
from bench.runs.finished import load_episodes
from bench.runs.folder import Run, RunKey
from tests.made_episodes import episode
from tests.made_results import CHANCES, make_run, save_evaluation

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ("overview", "edit_distance", "edit_distance_training", "levels", "attempts")
FIGURES += ("training_accuracy", "answer_changes", "generalisation")
FIVE = ("accuracy_t1", "accuracy_t2", "delta", "delta_i_to_c", "delta_c_to_i")


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three methods on the miniature, two seeds each but for one; and a method of somebody's own on code."""
    results = tmp_path_factory.mktemp("results")
    for method, seed in product(CHANCES, (0, 1)):
        if (method, seed) != ("pair_sft", 1):
            make_run(results, method, seed)
    make_run(results, "my_idea", 0, task="humaneval", model="tiny", num_attempts=3)
    assert main(["--results", str(results), "--html"]) == 0
    return results


def table(results: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(results / "reports" / "greedy" / "tables" / f"{name}.csv", keep_default_na=False)


def test_the_main_table_has_a_row_per_method_and_setting_with_intervals(reported: Path) -> None:
    main_table = table(reported, "main")
    bounds = [f"{metric}{suffix}" for metric in FIVE for suffix in ("", "_low", "_high")]
    assert list(main_table)[:21] == ["method", "task", "model", "variant", "part", "num_seeds", *bounds]
    assert list(main_table["method"]) == ["my_idea", "base", "pair_sft", "score"]
    episodes = load_episodes(reported)
    ours = episodes[episodes["method"] == "score"]
    row = main_table.to_dict("records")[-1]
    found = estimate(ours)["delta"]
    assert [row["delta"], row["delta_low"], row["delta_high"]] == pytest.approx(
        [100 * found.value, 100 * found.low, 100 * found.high], rel=1e-5
    )
    assert row["accuracy_t2"] == pytest.approx(100 * (ours["grade_2"] == "correct").mean(), rel=1e-5)


def test_every_table_is_also_there_to_be_read(reported: Path) -> None:
    names = ["main", "claims", "against_base", "seeds", "behaviour", "budget", "table1", "table2", "table3", "table4"]
    for name, suffix in product(names, ("csv", "md", "tex")):
        assert (reported / "reports" / "greedy" / "tables" / f"{name}.{suffix}").stat().st_size > 0
    markdown = (reported / "reports" / "greedy" / "tables" / "main.md").read_text(encoding="utf-8")
    assert "60.0 / 64.4 / 4.4 / 5.8 / 1.4" in markdown
    assert r"$\Delta$" in (reported / "reports" / "greedy" / "tables" / "main.tex").read_text(encoding="utf-8")


def test_a_table_of_ours_never_stands_beside_the_papers_without_naming_both_settings(reported: Path) -> None:
    for name in ("main", "table1", "table2", "table4"):
        text = (reported / "reports" / "greedy" / "tables" / f"{name}.md").read_text(encoding="utf-8")
        assert "Gemini 1.5 Flash, MATH500 (500 problems)" in text
        assert "not the paper's setting" in text


def test_a_missing_seed_is_named_in_both_tables(reported: Path) -> None:
    rows = table(reported, "completeness").set_index(["task", "method"])
    assert tuple(rows.loc[("mini_math", "pair_sft"), ["num_expected", "num_done", "done", "missing"]]) == (
        2,
        1,
        "0",
        "1",
    )
    assert tuple(rows.loc[("mini_math", "score"), ["num_done", "missing"]]) == (2, "")
    row = table(reported, "main").set_index("method").loc["pair_sft"]
    assert (row["num_seeds"], str(row["missing_seeds"])) == (1, "1")


def test_a_printed_row_without_a_run_of_ours_says_missing(reported: Path) -> None:
    lines = (reported / "reports" / "greedy" / "tables" / "table2.md").read_text(encoding="utf-8").splitlines()
    star = next(line for line in lines if "| STaR (D+) |" in line)
    assert "missing" in star
    assert "54.0" in star
    assert table(reported, "table2").set_index("method").loc["star_plus", "num_seeds"] == 0


def test_each_seed_is_compared_with_the_same_seed_of_the_base(reported: Path) -> None:
    rows = table(reported, "against_base")
    assert [tuple(row) for row in rows[["method", "seed"]].astype(str).to_numpy()] == [
        ("pair_sft", "all"),
        ("pair_sft", "0"),
        ("score", "all"),
        ("score", "0"),
        ("score", "1"),
    ]
    episodes = load_episodes(reported)
    first = episodes[(episodes["task"] == "mini_math") & (episodes["seed"] == 0)]
    score, base = (summarise(first[first["method"] == method]) for method in ("score", "base"))
    row = rows[(rows["method"] == "score") & (rows["seed"] == "0")].iloc[0]
    assert row["delta_minus_base"] == pytest.approx(100 * (score["delta"] - base["delta"]), rel=1e-5)


def test_the_variant_main_comes_before_the_others(tmp_path: Path) -> None:
    for variant in ("alpha5", "main"):
        make_run(tmp_path, "score", 0, variant=variant, num_problems=10)
    results = read_index(tmp_path, evaluation="greedy").results
    assert [each.setting.variant for each in results] == ["main", "alpha5"]


def test_every_figure_with_data_is_drawn_and_embedded(reported: Path) -> None:
    page = (reported / "reports" / "greedy" / "report.html").read_text(encoding="utf-8")
    for name in FIGURES:
        assert (reported / "reports" / "greedy" / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (reported / "reports" / "greedy" / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    assert page.count("data:image/png;base64,") == len(FIGURES)
    assert "SCoRe" in page


def test_the_terminal_shows_each_of_the_papers_tables_that_we_have_a_row_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path, "star_plus", 0)
    make_run(tmp_path, "score", 0, variant="another")
    assert main(["--results", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "Table 1 of the paper" in shown
    assert "Table 2 of the paper" in shown
    assert "Table 3 of the paper" not in shown  # is of HumanEval
    assert "Table 4 of the paper" not in shown  # another variant is no row of the paper's
    second = shown[shown.index("Table 2 of the paper") :]
    row = second[second.index("SCoRe") :].splitlines()
    assert row[0].split() == ["SCoRe", "missing"]
    assert row[1].split() == ["paper", "60.0", "64.4", "4.4", "5.8", "1.4"]


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    made = []
    for name in ("one", "other"):
        make_run(tmp_path / name, "score", 0, num_problems=20)
        assert main(["--results", str(tmp_path / name)]) == 0
        files = [
            path for kind in ("tables", "figures") for path in (tmp_path / name / "reports" / "greedy" / kind).iterdir()
        ]
        made.append({path.name: path.read_bytes() for path in files})
    assert made[0] == made[1]


def test_the_figure_says_which_distance_it_shows(tmp_path: Path) -> None:
    make_run(tmp_path, "base", 0)
    drawn = {}
    for distance in ("indel", "levenshtein"):
        assert main(["--results", str(tmp_path), "--distance", distance]) == 0
        drawn[distance] = (tmp_path / "reports" / "greedy" / "figures" / "edit_distance.png").read_bytes()
    assert drawn["indel"] != drawn["levenshtein"]


def test_an_empty_results_folder_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--results", str(tmp_path)]) == 1
    assert "make some with python bench/run.py" in capsys.readouterr().err


def test_runs_of_which_none_has_finished_are_listed_and_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (make_run(tmp_path, "base", 0) / "greedy" / "manifest.json").unlink()
    assert main(["--results", str(tmp_path)]) == 1
    assert "has finished its greedy evaluation" in capsys.readouterr().err
    assert str(table(tmp_path, "completeness").loc[0, "unfinished"]) == "0"


def test_a_seed_with_other_problems_ends_no_report_and_is_a_row_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path, "base", 0, num_problems=10)
    make_run(tmp_path, "base", 1, num_problems=11)
    assert main(["--results", str(tmp_path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "mini_math · mini (b) is kept apart: Base differs in problems.num" in said


@pytest.mark.parametrize("name", ["greedy/manifest.json", "greedy/episodes.parquet", "config.json"])
def test_a_damaged_run_is_left_out_and_named_in_the_reports_own_files(name: str, tmp_path: Path) -> None:
    make_run(tmp_path, "base", 0)
    broken = make_run(tmp_path, "base", 1) / name
    broken.write_bytes(b"{")
    assert main(["--results", str(tmp_path), "--html"]) == 0
    folder = tmp_path / "reports" / "greedy"
    for written in (folder / "report.html", folder / "tables" / "completeness.md"):
        assert f"Left out, and counted as unfinished: {broken} cannot be read" in written.read_text(encoding="utf-8")
    row = table(tmp_path, "completeness").loc[0]
    assert (str(row["done"]), str(row["unfinished"])) == ("0", "1")


def test_damaged_training_data_is_named_on_stderr_and_left_out_of_its_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (0, 1):
        broken = next((make_run(tmp_path, "pair_sft", seed) / "training_data").glob("*.parquet"))
    broken.write_bytes(b"{")
    assert main(["--results", str(tmp_path)]) == 0
    assert f"left out of the figure of training data: {broken} cannot be read" in capsys.readouterr().err
    assert (tmp_path / "reports" / "greedy" / "figures" / "edit_distance_training.png").exists()


def test_a_planned_run_that_never_began_is_missing(tmp_path: Path) -> None:
    make_run(tmp_path, "base", 0)
    planned = [
        {"method": method, "task": "mini_math", "model": "mini", "variant": "main", "seed": 0}
        for method in ("base", "score")
    ]
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "first.json").write_text(json.dumps({"runs": planned}), encoding="utf-8")
    assert main(["--results", str(tmp_path)]) == 0
    rows = table(tmp_path, "completeness").set_index("method")
    assert str(rows.loc["score", "missing"]) == "0"


def test_a_broken_record_of_a_sweep_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "torn.json").write_text('{"runs": [{"method"', encoding="utf-8")
    assert main(["--results", str(tmp_path)]) == 1
    assert "torn.json is no record of a sweep" in capsys.readouterr().err


def test_the_table_at_the_end_of_a_sweep_shows_its_runs_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for method in ("base", "score"):
        make_run(tmp_path, method, 0)
    print_main_table(tmp_path, {RunKey(method="score", task="mini_math", model="mini", variant="main", seed=0)})
    shown = capsys.readouterr().out
    assert "SCoRe" in shown
    assert "Base" not in shown
    assert " of " not in shown[shown.index("SCoRe") :].splitlines()[0]
    print_main_table(tmp_path / "nothing")
    assert "has finished" in " ".join(capsys.readouterr().out.split())


def test_a_sweep_counts_its_own_runs_and_a_report_all_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path, "base", 0)
    make_run(tmp_path, "score", 1)
    print_main_table(tmp_path, {RunKey(method="base", task="mini_math", model="mini", variant="main", seed=0)})
    assert row_of("Base", capsys.readouterr().out).split()[1:3] != ["1", "of"]
    assert main(["--results", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert row_of("Base", shown[shown.index("percent, with") :]).split()[1:4] == ["1", "of", "2"]
    assert "Seeds\ndone" not in shown
    written = (tmp_path / "reports/greedy/tables/completeness.md").read_text(encoding="utf-8")
    assert written.startswith("| Setting | Method | Runs | Seeds done | Unfinished | Missing |")


def row_of(method: str, shown: str) -> str:
    return next(line for line in shown.splitlines() if line.strip().startswith(method))


def test_each_evaluation_has_a_folder_of_its_own(tmp_path: Path) -> None:
    make_run(tmp_path, "base", 0)
    make_run(tmp_path, "score", 0, evaluation="ten_attempts", num_attempts=10)
    for evaluation in ("greedy", "ten_attempts"):
        assert main(["--results", str(tmp_path), "--html", "--evaluation", evaluation]) == 0
    methods = {
        evaluation: list(pd.read_csv(tmp_path / "reports" / evaluation / "tables" / "main.csv")["method"])
        for evaluation in ("greedy", "ten_attempts")
    }
    assert methods == {"greedy": ["base"], "ten_attempts": ["score"]}
    for name in ("report.html", "figures/overview.png"):
        one, other = ((tmp_path / "reports" / evaluation / name).read_bytes() for evaluation in methods)
        assert one != other


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_no_digit_is_cut_however_narrow_the_terminal(
    columns: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for method in ("base", "pair_sft", "score", "single_turn_rl"):
        make_run(tmp_path, method, 0, model="Qwen2.5-1.5B-Instruct", manifest={"usage": USAGE_OF_MILLIONS})
    make_run(tmp_path, "base", 1, model="Qwen2.5-1.5B-Instruct")
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["--results", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert columns < 60 or max(map(len, shown.splitlines())) <= columns
    words = shown.split()
    for result in read_index(tmp_path, evaluation="greedy").results:
        for metric in METRICS.values():
            found = result.estimates[metric]
            low, value, high = (show_number(100 * number) for number in (found.low, found.value, found.high))
            assert f"{low}…{high}" in words
            assert value in words
    assert {f"{number:,}" for number in USAGE_OF_MILLIONS.values()} <= set(words)


USAGE_OF_MILLIONS = {
    "sampled_episodes": 1_234_567,
    "sampled_attempts": 2_469_134,
    "sampled_tokens": 9_876_543_210,
    "updates": 12_345,
    "trained_tokens": 8_765_432_109,
}


@pytest.mark.parametrize(
    ("made", "label"),
    [
        ({"task": "math", "num_problems": 50}, "math (50 of MATH500's 500 problems) · m"),
        ({"task": "mbpp", "num_problems": 50}, "mbpp (50 of MBPP's 500 test problems) · m"),
        (
            {"task": "humaneval", "num_problems": 20},
            "humaneval (20 of HumanEval's 164 problems) · m",
        ),
        ({"task": "humaneval", "num_problems": 164}, "humaneval · m"),
        ({"task": "mini_math", "num_problems": 20}, "mini_math · m"),
        (
            {"task": "math", "num_problems": 20, "manifest": {"evaluation_config": {"split": "dev"}}},
            "math (20 problems of the dev split) · m",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_problems_other_than_the_papers_are_named_wherever_a_table_is_written(
    made: dict, label: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path, "base", 0, model="m", **made)
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["--results", str(tmp_path), "--html"]) == 0
    folder = tmp_path / "reports" / "greedy"
    assert f"{label}: greedy evaluation" in capsys.readouterr().out
    for name in ("main.md", "completeness.md", "seeds.md", "behaviour.md", "budget.md"):
        assert f"| {label} |" in (folder / "tables" / name).read_text(encoding="utf-8")
    in_latex = label.replace("_", r"\_")
    assert f"{in_latex} &" in (folder / "tables" / "main.tex").read_text(encoding="utf-8").replace(r"$\cdot$", "·")
    page = html.unescape((folder / "report.html").read_text(encoding="utf-8"))
    assert f'text" >{label}</td>' in page


def test_the_budget_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path, "score", 0)
    print_main_table(tmp_path)
    shown = " ".join(capsys.readouterr().out.split())
    assert "what training cost" in shown
    assert "100 200 2,000 10 1,500" in shown
    assert "attempts, tokens and updates are not equalised" in shown


def test_every_number_of_the_paper_is_copied_truly(shared_data: Path) -> None:
    source = json.loads((shared_data.parent / "paper" / "paper_numbers.json").read_text(encoding="utf-8"))
    keys = ["table1_sft_math", "table2_math", "table3_humaneval", "table4_ablations_math"]
    ours_of = {
        "star_D": "star",
        "star_Dplus": "star_plus",
        "pair_sft_D": "pair_sft",
        "pair_sft_Dplus": "pair_sft_plus",
        "wo_multi_turn": "single_turn_rl",
        "wo_stage1": "score_wo_stage1",
        "wo_reward_shaping": "score_wo_reward_shaping",
        "star_in_stage2": "score_star_stage2",
        "wo_online_turn1_samples_ICLR": "score_wo_online_turn1",
    }
    columns = dict(zip(("acc_t1", "acc_t2", "delta", "i_to_c", "c_to_i"), FIVE, strict=True))
    for printed, key in zip(paper_tables(), keys, strict=True):
        expected = {
            ours_of.get(name, name): {columns[column]: row[column] for column in row if column in columns}
            for name, row in source[key]["rows"].items()
        }
        assert printed.rows == expected
        assert printed.num_problems == source[key]["n"]
        assert printed.model == source[key].get("model", "Gemini 1.5 Flash")


def test_printed_gains_are_the_differences_of_printed_accuracies() -> None:
    for printed in paper_tables():
        for row in printed.rows.values():
            assert row["delta"] == pytest.approx(row["accuracy_t2"] - row["accuracy_t1"], abs=0.11)


def test_every_number_of_an_open_model_is_copied_truly(shared_data: Path) -> None:
    folder = shared_data.parent / "paper"
    source = json.loads((folder / "paper_numbers.json").read_text(encoding="utf-8"))["iclr_gemma2_2b"]["math"]
    gemma, qwen = tables_of_open_models()
    printed = {"base": "base", "score_stage1": "stage1b", "score": "stage2"}
    keys = [f"accuracy_t{t}" for t in (1, 2, 3)]
    expected = {ours: dict(zip(keys, source[theirs].values(), strict=True)) for ours, theirs in printed.items()}
    assert gemma.rows == expected
    text = " ".join((folder / "paper.md").read_text(encoding="utf-8").split())
    names = ("base ", "single-turn RL ", "plain multi-turn RL ", "SCoRe ")
    for name, row in zip(names, qwen.rows.values(), strict=True):
        assert f"{name}{row['accuracy_t1']}→{row['accuracy_t2']}" in text


def test_a_model_of_which_numbers_are_printed_stands_beside_those_and_not_beside_geminis(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path, "base", 0, model="gemma-2-2b-it", task="math", num_problems=500, num_attempts=3)
    make_run(tmp_path, "base", 0, model="another", task="math", num_problems=500)
    index = read_index(tmp_path, evaluation="greedy")
    other, gemma = main_table(index.results, []).rows
    assert (gemma["paper_accuracy_t1"], other["paper_accuracy_t1"]) == (16.8, 52.6)
    assert gemma["paper_model"] == "Gemma 2 2B"
    print_main_table(tmp_path)
    shown = " ".join(capsys.readouterr().out.split())
    assert "math · gemma-2-2b-it: the printed numbers are of the same model (Gemma 2 2B, MATH500" in shown
    assert re.search(r"Accuracy@t3 of Base: [\d.]+ \[[\d.]+, [\d.]+\], printed 17\.0\.", shown)


def test_the_paper_has_no_row_for_what_it_did_not_measure() -> None:
    assert paper_row(method="score", task="mbpp", variant="main") is None
    assert paper_row(method="multi_turn_rl", task="math", variant="main") is None
    assert paper_row(method="score", task="math", variant="long") is None
    single = paper_row(method="single_turn_rl", task="math", variant="main")
    assert single is not None
    assert single.numbers["accuracy_t1"] == 61.8


def test_reporting_loads_no_model_library_and_no_hydra() -> None:
    heavy = ["torch", "transformers", "vllm", "hydra", "omegaconf", "bench.models", "bench.methods"]
    code = f"import sys, bench.report; sys.exit(', '.join(set({heavy}) & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_door_opens_as_a_script(tmp_path: Path) -> None:
    command = [sys.executable, "bench/report.py", "--results", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "there is no run" in done.stderr


def test_a_recordings_labels_are_told_beside_our_verdicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    played = [replayed("p0", grades=(0, 1), labels=(False, True)), replayed("p1", grades=(0, 1), labels=(False, False))]
    save_recording(tmp_path, played)
    print_main_table(tmp_path)
    told = " ".join(capsys.readouterr().out.split())
    assert "would be 0.0 / 50.0 / 50.0 / 50.0 / 0.0" in told
    assert "1 of 4 verdicts: p1 attempt 2" in told


def save_recording(results: Path, played: list[Episode]) -> None:
    key = RunKey(method="base", task="math", model="recording", variant="main", seed=0)
    manifest = {"token_unit": "characters", "table": {"weights": {"recording": "0"}}, "row": {}}
    with Run.lock(key, results, {"task": {"source": "local"}}) as run:
        save_evaluation(run, "greedy", played, {episode.problem.id: "?" for episode in played}, manifest)


def test_a_recording_is_called_so_and_has_no_tokens_and_no_row_of_the_papers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    save_recording(tmp_path, [replayed(f"p{n}", grades=(0, 1), labels=(False, True)) for n in range(2)])
    make_run(tmp_path, "base", 0)
    assert main(["--results", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "math (2 of MATH500's 500 problems) · recording | Recording |" in (
        tmp_path / "reports/greedy/tables/completeness.md"
    ).read_text(encoding="utf-8")
    ours = shown[shown.index("math (2 of MATH500's 500 problems) · recording: greedy evaluation") :]
    assert row_of("Recording", ours)
    assert "paper" not in ours[: ours.index("recorded attempts")]
    assert set(table(tmp_path, "table2")["model"]) == {"mini"}
    behaviour = table(tmp_path, "behaviour").set_index("model")
    assert [behaviour.loc[model, "tokens_t1"] != "" for model in ("mini", "recording")] == [True, False]
    lines = (tmp_path / "reports/greedy/tables/behaviour.md").read_text(encoding="utf-8").splitlines()
    row = next(line for line in lines if "Recording" in line)
    assert [cell.strip() for cell in row.split("|")[-3:-1]] == ["", ""]


def replayed(problem: str, *, grades: tuple[int, int], labels: tuple[bool, bool]) -> Episode:
    whole = episode(grades, problem=problem)
    attempts = tuple(
        replace(attempt, completion=replace(attempt.completion, recorded=label))
        for attempt, label in zip(whole.attempts, labels, strict=True)
    )
    return replace(whole, replies=attempts)


def test_stored_answers_are_graded_again_by_another_grader(tmp_path: Path):
    said = "Final Answer: The final answer is ${}$. I hope it is correct."
    whole = episode((1, 1), problem="p")
    texts = [said.format("\\frac{2}{4}"), said.format("\\frac{1}{2}")]
    attempts = tuple(
        replace(attempt, completion=replace(attempt.completion, text=text))
        for attempt, text in zip(whole.attempts, texts, strict=True)
    )
    problem = replace(whole.problem, gold="\\frac{1}{2}")
    key = RunKey(method="base", task="math", model="m", variant="main", seed=0)
    with Run.lock(key, tmp_path, {"task": {"source": "local"}}) as run:
        save_evaluation(run, "greedy", [replace(whole, problem=problem, replies=attempts)], {"p": "?"}, {})
    (result,) = read_index(tmp_path, evaluation="greedy").results
    by_meaning = regraded(result, grader="math_verify").estimates
    by_string = regraded(result, grader="hendrycks").estimates
    assert [by_meaning[f"accuracy@t{t}"].value for t in (1, 2)] == [1.0, 1.0]
    assert [by_string[f"accuracy@t{t}"].value for t in (1, 2)] == [0.0, 1.0]


def test_a_report_with_a_second_grader_has_a_second_main_table(reported: Path):
    assert main(["--results", str(reported), "--grader", "hendrycks"]) == 0
    assert (reported / "reports" / "greedy" / "tables" / "main_hendrycks.csv").is_file()
