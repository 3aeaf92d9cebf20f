"""`python -m bench.grading math`."""

import json

import pytest

from bench.grading.__main__ import main


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_rows_are_copied_in_order_with_their_verdicts(tmp_path, capsys):
    rows = [
        {"gold": "1/2", "attempt": r"so \boxed{0.5}", "model": "a"},
        {"gold": "1/2", "attempt": "so 0.5", "model": "b"},
        {"gold": "1/2", "prediction": "0.5"},
        {"gold": 3, "prediction": 4},
        {"gold": "(x+1)^2", "prediction": "x^2+2x+1"},
        {"gold": "", "prediction": ""},
    ]
    main(["math", write(tmp_path / "in.jsonl", *rows), str(tmp_path / "out.jsonl")])
    graded = read(tmp_path / "out.jsonl")
    assert [row["grade"] for row in graded] == ["correct", "no_answer", "correct", "wrong", "correct", "no_answer"]
    assert [row["answer"] for row in graded] == ["0.5", None, "0.5", "4", "x^2+2x+1", None]
    assert all(row["seconds"] >= 0 for row in graded)
    assert [{key: row[key] for key in before} for row, before in zip(graded, rows, strict=True)] == rows
    assert "6 rows: 3 correct" in capsys.readouterr().out


def test_gsm8k_rows_are_read_in_their_own_style_and_others_only_when_asked(tmp_path):
    rows = [{"gold": "3", "attempt": "A: 3", "dataset": "GSM8K"}, {"gold": "3", "attempt": "A: 3"}]
    source, target = write(tmp_path / "in.jsonl", *rows), tmp_path / "out.jsonl"
    main(["math", source, str(target)])
    assert [row["grade"] for row in read(target)] == ["correct", "no_answer"]
    main(["math", source, str(target), "--style", "gsm8k"])
    assert [row["grade"] for row in read(target)] == ["correct", "correct"]


def test_the_string_match_can_be_chosen(tmp_path):
    source, target = write(tmp_path / "in.jsonl", {"gold": "1/4", "prediction": "0.25"}), tmp_path / "out.jsonl"
    main(["math", source, str(target), "--grader", "hendrycks"])
    assert read(target)[0]["grade"] == "wrong"


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        ("{", "line 2"),
        ("[1]", "line 2: a record is a JSON object, not"),
        ('{"attempt": "5"}', "line 2: the column 'gold' is missing"),
        ('{"gold": "5"}', "line 2: the column 'prediction' is missing"),
        ('{"gold": " ", "prediction": "5"}', "line 2: the column 'gold' is empty"),
    ],
)
def test_a_bad_row_is_refused_by_file_and_line_and_nothing_is_written(tmp_path, bad, complaint):
    source = tmp_path / "in.jsonl"
    source.write_text('{"gold": "1", "prediction": "1"}\n' + bad + "\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=complaint) as refusal:
        main(["math", str(source), str(tmp_path / "out.jsonl")])
    assert str(source) in str(refusal.value)
    assert list(tmp_path.iterdir()) == [source]


def test_programs_need_their_tests(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["mbpp", write(tmp_path / "in.jsonl"), str(tmp_path / "out.jsonl")])
    assert "needs --data" in capsys.readouterr().err


def test_programs_are_graded_by_the_published_tests(tmp_path):
    tests = {"task_id": 2, "text": "", "code": "", "test_list": ["assert double(2) == 4"], "test_setup_code": ""}
    data = write(tmp_path / "mbpp.jsonl", tests)
    rows = [{"task_id": 2, "attempt": f"def double(x):\n    return {body}"} for body in ("x * 2", "x")]
    main(["mbpp", write(tmp_path / "in.jsonl", *rows), str(tmp_path / "out.jsonl"), "--data", data])
    graded = read(tmp_path / "out.jsonl")
    assert [row["grade"] for row in graded] == ["correct", "wrong"]
    assert graded[0].keys() == {"task_id", "attempt", "grade", "failure", "seconds"}


def test_an_attempt_at_an_unknown_task_is_refused_by_line(tmp_path):
    tests = {"task_id": 2, "text": "", "code": "", "test_list": ["assert double(2) == 4"], "test_setup_code": ""}
    data = write(tmp_path / "mbpp.jsonl", tests)
    source = write(tmp_path / "in.jsonl", {"task_id": 3, "attempt": "pass"})
    with pytest.raises(SystemExit, match=r"line 1: .* has no task 3"):
        main(["mbpp", source, str(tmp_path / "out.jsonl"), "--data", data])


def test_a_host_without_isolation_is_refused_in_one_line_unless_that_is_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.grading.sandbox.confinement.probe", lambda _: ("rlimits",))
    tests = {"task_id": 2, "text": "", "code": "", "test_list": ["assert f() == 4"], "test_setup_code": ""}
    data = write(tmp_path / "mbpp.jsonl", tests)
    source = write(tmp_path / "in.jsonl", {"task_id": 2, "attempt": "def f(): return 4"})
    command = ["mbpp", source, str(tmp_path / "out.jsonl"), "--data", data]
    with pytest.raises(SystemExit, match=r"no more than: rlimits.* --allow-unsafe"):
        main(command)
    assert not (tmp_path / "out.jsonl").exists()
    main([*command, "--allow-unsafe"])
    assert read(tmp_path / "out.jsonl")[0]["grade"] == "correct"


def test_elsewhere_than_on_linux_it_says_so_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(SystemExit, match="this runs on Linux, and this is darwin"):
        main(["math", str(tmp_path / "in.jsonl"), str(tmp_path / "out.jsonl")])
