"""The README's main table is what the command makes of figures that are kept in git."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench.report import main
from bench.reporting.readme import BEGIN, CSV, END, readme_table
from tests.conftest import ROOT
from tests.made_results import make_run


def test_the_readmes_main_table_is_made_of_the_committed_figures() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
    assert text.split(BEGIN)[1].split(END)[0] == readme_table(ROOT / CSV)


def test_the_command_replaces_the_table_and_its_figures_and_nothing_else(tmp_path: Path) -> None:
    for method in ("base", "score", "score_stage1"):
        make_run(tmp_path, method, 0, manifest={"provenance": {"commit": "0123456789abcdef+dirty"}})
    make_run(tmp_path, "base", 0, task="humaneval", model="tiny")
    make_run(tmp_path, "score", 0, variant="other")
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}old\n{END}\nafter\n", encoding="utf-8")
    assert main(["--results", str(tmp_path), "--readme", str(readme)]) == 0
    text = readme.read_text(encoding="utf-8")
    assert text == f"before\n{BEGIN}{readme_table(tmp_path / CSV)}{END}\nafter\n"
    labels = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")][2:]
    assert labels == ["Base", "*paper*", "SCoRe", "*paper*", "SCoRe, Stage I alone"]
    assert "Seeds in each row: 1. Measured at commit 0123456+dirty." in text
    report = pd.read_csv(tmp_path / "reports" / "greedy" / "tables" / "main.csv")
    miniature = report[(report["task"] == "mini_math") & (report["variant"] == "main")].reset_index(drop=True)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / CSV), miniature, check_dtype=False)


@pytest.mark.parametrize(
    ("text", "task", "reason"),
    [
        (f"no end\n{BEGIN}old\n", "mini_math", "README.md must have the line"),
        (f"{BEGIN}old\n{END}\n", "math", "--readme takes the miniature"),
    ],
)
def test_a_readme_without_its_markers_and_results_without_the_miniature_are_refused(
    text: str, task: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path, "base", 0, task=task)
    readme = tmp_path / "README.md"
    readme.write_text(text, encoding="utf-8")
    assert main(["--results", str(tmp_path), "--readme", str(readme)]) == 1
    assert reason in capsys.readouterr().err
    assert readme.read_text(encoding="utf-8") == text
    assert not (tmp_path / CSV).exists()
