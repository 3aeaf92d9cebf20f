"""`model=served` against a server of this test: what it is sent, how its answers are read, and what a crash costs."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import run
from bench.conduct import conduct
from bench.episode import Request, SamplingParams, TokenCounts
from bench.launch.catalogue import compose_spec
from bench.models.messages import messages_of
from bench.models.served import Served
from bench.runs.finished import find_runs, load_episodes
from tests.chat_server import ChatServer, chat_server, reply
from tests.conftest import ROOT

pytest.importorskip("openai", reason="the extra `served` is not installed")
from bench.models.served_sampler import ServedSampler

PRICES = ("model.concurrency=3", "model.input_price=1", "model.output_price=2")
GREEDY = SamplingParams(temperature=0.0, max_tokens=50)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server(lambda _: "four") as state:
        yield state


@pytest.fixture
def sampler(server: ChatServer, tmp_path: Path) -> Callable[..., ServedSampler]:
    def made(**values: Any) -> ServedSampler:
        asked = {"base_url": server.url, "name": "served-model", "cache": str(tmp_path / "replies.sqlite"), **values}
        return ServedSampler(Served(**asked))

    return made


def request(sampler: ServedSampler, text: str = "2 + 2?", *, seed: int = 5, stop: tuple[str, ...] = ()) -> Request:
    return Request(sampler.prompt_ids(text), seed=seed, problem_id=text, sample=0, turn=0, stop=stop)


def test_the_server_sees_the_conversation_as_messages(sampler: Callable[..., ServedSampler], server: ChatServer):
    one = sampler(system="Be brief.")
    ids = one.prompt_ids("2 + 2?")
    (first,) = one.generate([Request(ids, seed=1, problem_id="a", sample=0, turn=0)], GREEDY)
    ids += (*first.token_ids, *one.bridge("Sure?\n🙂", turn_ended=first.turn_ended))
    one.generate([Request(ids, seed=2, problem_id="a", sample=0, turn=1)], GREEDY)
    assert server.asked[1]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "2 + 2?"},
        {"role": "assistant", "content": "four"},
        {"role": "user", "content": "Sure?\n🙂"},
    ]


def test_an_empty_reply_stays_a_message(sampler: Callable[..., ServedSampler]):
    one = sampler()
    ids = (*one.prompt_ids("2 + 2?"), *one.bridge("Sure?", turn_ended=True))
    assert [message["content"] for message in messages_of(ids)] == ["2 + 2?", "", "Sure?"]


def test_sampling_values_seed_and_stop_strings_are_sent(sampler: Callable[..., ServedSampler], server: ChatServer):
    one = sampler(extra_body={"repetition_penalty": 1.0})
    sampling = SamplingParams(temperature=0.6, top_p=0.9, top_k=20, max_tokens=11)
    one.generate([request(one, seed=2**40 + 3, stop=("[DONE]",))], sampling)
    (body,) = server.asked
    del body["messages"]
    assert body == {
        "model": "served-model",
        "temperature": 0.6,
        "top_p": 0.9,
        "top_k": 20,
        "max_tokens": 11,
        "seed": 3,
        "stop": ["[DONE]"],
        "repetition_penalty": 1.0,
    }


def test_what_a_server_refuses_is_left_out_and_samples_of_a_problem_still_differ(
    sampler: Callable[..., ServedSampler], server: ChatServer
):
    one = sampler(leave_out=["seed", "top_p"])
    one.generate([request(one, seed=1), request(one, seed=2)], GREEDY)
    assert [{"seed", "top_p"} & body.keys() for body in server.asked] == [set(), set()]


@pytest.mark.parametrize(
    ("said", "text", "truncated", "stop"),
    [
        (reply("x = 1\n[DONE]\nmore"), "x = 1\n[DONE]", False, "[DONE]"),  # a server that knows no stop strings
        (reply("x = 1\n", stop_reason="[DONE]"), "x = 1\n[DONE]", False, "[DONE]"),  # vLLM's
        (reply("x = 1\n", stop_reason=None), "x = 1\n", False, ""),
        (reply("x = 1\n", stop_reason=151643), "x = 1\n", False, ""),  # vLLM's for a token
        (reply("x = ", finish_reason="length"), "x = ", True, ""),
        (reply("x[DONE]y", finish_reason="length"), "x[DONE]", False, "[DONE]"),
        (reply("x", message={"role": "assistant", "content": None}), "", False, ""),
    ],
)
def test_a_reply_ends_where_the_task_says(
    said: dict, text: str, truncated: bool, stop: str, sampler: Callable[..., ServedSampler], server: ChatServer
):
    server.answer = lambda _: said
    one = sampler()
    (completion,) = one.generate([request(one, stop=("[DONE]",))], GREEDY)
    assert (completion.text, completion.truncated, completion.stop) == (text, truncated, stop)


def test_tokens_are_counted_as_the_server_counts_them(sampler: Callable[..., ServedSampler]):
    one = sampler()
    (completion,) = one.generate([request(one)], GREEDY)
    assert completion.counts == TokenCounts(prompt=100, reply=7)
    assert (completion.num_tokens, one.token_unit) == (7, "tokens")


def test_without_the_servers_counts_they_are_of_characters(sampler: Callable[..., ServedSampler], server: ChatServer):
    server.answer = lambda _: reply("four", usage=None)
    one = sampler()
    (completion,) = one.generate([request(one)], GREEDY)
    assert (completion.num_tokens, one.token_unit) == (4, "characters")


def test_requests_are_sent_side_by_side_and_replies_stay_in_order(
    sampler: Callable[..., ServedSampler], server: ChatServer
):
    together = threading.Barrier(4)

    def answer(body: dict) -> str:
        together.wait(timeout=60)  # nobody is answered before four are there
        return body["messages"][0]["content"]

    server.answer = answer
    one = sampler(concurrency=4)
    texts = [f"problem {number}" for number in range(8)]
    assert [each.text for each in one.generate([request(one, text) for text in texts], GREEDY)] == texts
    assert server.most_at_once == 4


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again_after_the_time_that_it_names(
    status: int, sampler: Callable[..., ServedSampler], server: ChatServer
):
    server.headers = {"retry-after-ms": "1"}
    server.answer = lambda _: status if len(server.asked) < 4 else "four"
    one = sampler(retries=3)
    assert [each.text for each in one.generate([request(one)], GREEDY)] == ["four"]
    assert len(server.asked) == 4


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "refused the key (401): KEY_OF_TEST holds a key that it does not take"),
        (404, "has no model served-mdel; it has served-model; set model.name"),
        (
            429,
            "too many after 1 retries (Error code: 429 - status 429); set model.concurrency lower or model.re",
        ),
        (500, "fails (Error code: 500 - status 500)"),
        (
            400,
            "refused a request (Error code: 400 - status 400): model.leave_out and model.extra_body change",
        ),
    ],
)
def test_what_the_server_refuses_is_said_in_one_line_without_the_key(
    status: int,
    said: str,
    sampler: Callable[..., ServedSampler],
    server: ChatServer,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("KEY_OF_TEST", "sk-secret")
    server.headers = {"retry-after-ms": "1"}
    server.answer = lambda _: status
    one = sampler(retries=1, name="served-mdel", api_key_env="KEY_OF_TEST")
    with pytest.raises(ValueError, match=r"127\.0\.0\.1") as raised:
        one.generate([request(one)], GREEDY)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "sk-secret" not in "".join(traceback.format_exception(raised.value))  # as failure.txt holds it
    assert set(server.keys) == {"Bearer sk-secret"}


def test_a_server_that_is_not_there_is_named(sampler: Callable[..., ServedSampler]):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        one = sampler(base_url=f"http://127.0.0.1:{closed.getsockname()[1]}/v1", retries=0)
        with pytest.raises(ValueError, match=r"127\.0\.0\.1:\d+/v1 cannot be reached \(.+\): start it, or set model"):
            one.generate([request(one)], GREEDY)


def test_what_was_answered_before_a_failure_is_kept(sampler: Callable[..., ServedSampler], server: ChatServer):
    server.answer = lambda body: 400 if body["messages"][0]["content"] == "5" else "four"
    one = sampler(concurrency=2)
    requests = [request(one, str(number)) for number in range(10)]
    with pytest.raises(ValueError, match="refused a request"):
        one.generate(requests, GREEDY)
    server.answer = lambda _: "five"
    texts = [each.text for each in sampler().generate(requests, GREEDY)]
    assert texts[:5] == ["four"] * 5
    assert texts[5] == "five"
    assert max(Counter(body["messages"][0]["content"] for body in server.answered).values()) == 1


def experiment(server: ChatServer, results: Path, *more: str) -> list[str]:
    return [
        "model=served",
        f"model.base_url={server.url}",
        "model.name=some/served-model",
        "task.num_test=20",
        "tracking=none",
        f"results={results}",
        *more,
    ]


def test_an_evaluation_killed_with_signal_9_ends_from_its_cache_and_nothing_answered_is_asked_again(
    server: ChatServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Twenty conversations of two attempts; from the 27th request on, the server keeps its answers to itself."""
    open_again = threading.Event()
    numbers = iter(range(1_000))

    def answer(_: dict) -> str:
        if next(numbers) >= 27:
            open_again.wait()
        return "Final Answer: The final answer is $4$. I hope it is correct."

    server.answer = answer
    asked = experiment(server, tmp_path, *PRICES)
    command = [sys.executable, "bench/run.py", *asked]
    cache = tmp_path / "replies.sqlite"
    child = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        while num_kept(cache) < 27:
            assert child.poll() is None, "it ended before it could be killed"
            time.sleep(0.05)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    while server.under_way:  # what was sent and not answered is lost with the process
        open_again.set()
        time.sleep(0.01)
    before = [json.dumps(body, sort_keys=True) for body in server.asked[:27]]
    already = len(server.asked)
    assert run.main(asked) == 0
    told = capsys.readouterr().out
    again = [json.dumps(body, sort_keys=True) for body in server.asked[already:]]
    assert not {*before} & {*again}
    assert len({*before, *again}) == len(before) + len(again) == 40
    (run_folder,) = find_runs(tmp_path)
    manifest = run_folder.manifest("greedy")
    assert (manifest.sampled_tokens, manifest.prompt_tokens, manifest.token_unit) == (40 * 7, 40 * 100, "tokens")
    assert "mini_math · some_served-model: what the evaluation costs" in told
    assert "4,000" in told
    assert "0.00456" in told  # 4,000 tokens at 1 and 280 at 2 per million


def num_kept(cache: Path) -> int:
    import sqlite3

    if not cache.exists():
        return 0
    try:
        with sqlite3.connect(cache) as database:
            return database.execute("SELECT count(*) FROM replies").fetchone()[0]
    except sqlite3.OperationalError:  # the table is not there yet
        return 0


def test_self_refine_counts_its_critiques_and_shares_the_bases_first_attempts(server: ChatServer, tmp_path: Path):
    for method in ("base", "self_refine"):
        conduct(compose_spec([f"method={method}", *experiment(server, tmp_path)]))
    assert len(server.asked) == 20 * 2 + 20 * 2
    of_base, of_refine = (found.manifest("greedy") for found in find_runs(tmp_path))
    assert (of_base.prompt_tokens, of_refine.prompt_tokens) == (100 * 40, 100 * 60)
    assert of_refine.sampled_tokens == 7 * 60
    assert load_episodes(tmp_path)["tokens_2"].tolist() == [7] * 40


def test_the_manifest_says_what_was_served_and_nothing_written_holds_the_key(
    server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    conduct(compose_spec(experiment(server, tmp_path, "tracking=wandb", "model.system=Be brief.")))
    (found,) = find_runs(tmp_path)
    assert found.key.model == "some_served-model"
    manifest = found.manifest("greedy")
    assert manifest.table["weights"] == {"served": "some/served-model", "base_url": server.url}
    assert manifest.renderer["models"] == "served-model-v7"
    assert manifest.renderer["system_fingerprints"] == "fp_1"
    assert manifest.renderer["openai"].startswith("3.")
    assert set(server.keys) == {"Bearer sk-secret"}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert [path for path in files if b"sk-secret" in path.read_bytes()] == []


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["method=score"], "method=score trains, and model=some_served-model cannot be trained"),
        (["model.base_url=http://me:sk-secret@host/v1"], "in the environment variable OPENAI_API_KEY"),
        (["model.base_url='http://host/v1?key=sk-secret'"], "in the environment variable OPENAI_API_KEY"),
        (["model.base_url=localhost:8000"], "is no address such as http://localhost:8000/v1"),
        (["model.leave_out=[sede]"], "model.leave_out=sede is none of temperature, top_p"),
        (["model.concurrency=0"], "model.concurrency must be at least 1"),
        (["model.timeout=0"], "model.timeout must be positive"),
    ],
)
def test_what_cannot_work_is_refused_while_planning(
    overrides: list[str], said: str, server: ChatServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    changed = {override.partition("=")[0] for override in overrides}
    plain = [each for each in experiment(server, tmp_path) if each.partition("=")[0] not in changed]
    assert run.main([*plain, *overrides]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert server.asked == []


def test_without_an_address_or_a_name_the_key_to_set_is_named(capsys: pytest.CaptureFixture[str]):
    assert run.main(["model=served", "model.name=x"]) == 2
    assert "set model.base_url=<value>" in capsys.readouterr().err
    assert run.main(["model=served", "model.base_url=http://localhost/v1"]) == 2
    assert "set model.name=<value>" in capsys.readouterr().err


def test_a_damaged_cache_is_named(tmp_path: Path):
    (tmp_path / "replies").write_bytes(b"no database, but long enough to be read as one" * 9)
    with pytest.raises(ValueError, match=r"cannot be used \(file is not a database\); set model\.cache=<another file>"):
        ServedSampler(Served(base_url="http://localhost/v1", name="x", cache=str(tmp_path / "replies")))
