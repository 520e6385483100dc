"""A run is done again from its tape: the same comes out, or what is not is named."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import random
import shutil
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stop
from stop.audit.whole import verify_run
from stop.budget import Budget, Ledger
from stop.errors import ConfigError, LMUnavailable, RunError
from stop.lm.base import LMRequest
from stop.lm.recorded import RecordedLM
from stop.lm.scripted import ScriptedLM
from stop.lm.tape import Tape, TapedModel
from stop.programs import program_id
from stop.replays.comparing import _scores
from stop.replays.recording import common_start
from stop.store import Store
from stop.store.recorded import EvaluationRecord
from stop.tasks.task import load_task
from tests.helpers.cost import cost
from tests.helpers.programs import GREEDY, fenced, scripted_model

RUN = {
    "tasks": ["knapsack", "maxcut"], "rounds": 2, "repetitions": 1, "calls": 1, "responses": 2,
    "utility_calls": 3, "sandbox": "bubblewrap", "random_seed": 1, "accept": "always",
    "final_repetitions": 0,
    "concurrency": 1,  # which response is the first one
}  # fmt: skip
HEAD = "def improve_algorithm(initial_solution, utility, language_model):\n"
ASKS = HEAD + (
    "    texts = language_model.prompt('expert', 'Improve:\\n' + initial_solution, 2)\n"
    "    from helpers import extract_code\n"
    "    found = [c for c in map(extract_code, texts) if c] + [initial_solution]\n"
    "    return max(found, key=utility)\n"
)
CHANGED = GREEDY + "# changed\n"
POET, THIRD = ASKS.replace("expert", "poet"), ASKS.replace("expert", "third")
REPLIES = tuple(  # two to each request: the tasks in round 0, an improver and its tasks in 1 and 2
    fenced(text)
    for text in (
        *(GREEDY, CHANGED, GREEDY, CHANGED),
        *(POET, "no", CHANGED, GREEDY, CHANGED, GREEDY),
        *(THIRD, "no", GREEDY, CHANGED, GREEDY, CHANGED),
    )
)
pytestmark = pytest.mark.bubblewrap


def contents(folder):
    """Every file with its bytes and its times."""
    return {
        path.relative_to(folder): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def same_contents(folder, before):
    after = contents(folder)
    return after.keys() == before.keys() and all(
        after[path][0] == time_ and after[path][1].digest() == digest.digest()
        for path, (time_, digest) in before.items()
    )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A run of two rounds over two tasks, done once for this module."""
    place = tmp_path_factory.mktemp("recorded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STOP_STATE_DIR", str(place / "state"))
        lm = scripted_model(place / "replies.jsonl", *REPLIES)
        run = stop.run(**RUN, improver=stop.Program(ASKS), lm=lm, runs_dir=place / "runs")
    assert run.error is None
    (place / "replies.jsonl").unlink()  # nothing but the tape is left
    return run.folder


@pytest.fixture
def copy(recorded, tmp_path):
    """The run in a folder of its own, to be changed."""
    folder = tmp_path / "copy"
    shutil.copytree(recorded, folder)
    return folder


def change(folder, sql, *parameters):
    database = sqlite3.connect(folder / "run.db")
    assert database.execute(sql, parameters).rowcount > 0
    database.commit()
    database.close()


def kinds(result):
    return [each.kind for each in result.differences]


# --- the same


@pytest.mark.slow
def test_a_run_comes_out_as_it_was(recorded, tmp_path):
    before = contents(recorded)
    result = stop.replay(recorded, keep=tmp_path / "again")
    assert verify_run(tmp_path / "again", None).ok
    assert result.same, result.differences
    assert (result.causes, result.ended, result.improvers) == ((), "", {})
    assert result.compared["rounds"] == 3
    assert result.compared["improver_runs"] >= 4
    assert result.compared["evaluations"] >= 8
    assert result.compared["responses"] >= 6
    assert same_contents(recorded, before)
    again, then = stop.open_run(tmp_path / "again").to_dict(), stop.open_run(recorded).to_dict()
    ids = [each["improver_id"] for each in then["rounds"]]
    assert ids == [program_id(POET.strip()), program_id(THIRD.strip())]  # there is a lineage
    assert again["rounds"] == then["rounds"]
    assert (again["best"], again["status"]) == (then["best"], "done")
    assert stop.replay(tmp_path / "again").same  # it is a run like any other


def test_another_folder_is_not_written_over(recorded, tmp_path):
    (tmp_path / "mine").write_text("")
    with pytest.raises(ConfigError, match="not empty"):
        stop.replay(recorded, keep=tmp_path)
    with pytest.raises(ConfigError, match="cannot be used"):
        stop.replay(recorded, keep=tmp_path / "mine")


def test_what_a_crash_left_in_the_log_of_sqlite_is_read_and_left_there(copy):
    writer = sqlite3.connect(copy / "run.db", isolation_level=None)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("PRAGMA wal_autocheckpoint = 0")
    writer.execute("UPDATE rounds SET meta_utility = 0.125 WHERE round = 0")
    assert (copy / "run.db-wal").stat().st_size
    crashed = copy.with_name("crashed")
    shutil.copytree(copy, crashed)  # as it lies there when the process is killed
    writer.close()
    (crashed / "run.db-shm").unlink()
    before = contents(crashed)
    result = stop.replay(crashed)
    assert kinds(result) == ["round"]
    assert "meta-utility was 0.125" in result.differences[0].detail
    assert same_contents(crashed, before)


def test_a_run_that_is_worked_on_is_left_alone(copy):
    with (copy / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="at work"):
            stop.replay(copy)
    shutil.rmtree(copy)
    with pytest.raises(RunError, match="no run"):
        stop.replay(copy)


def test_an_improve_and_its_attempts(tmp_path, scripted):
    """Events are compared as well: a flag, a refused call, a text that shows it."""
    tries = HEAD + (
        "    import socket\n"
        "    try: socket.socket()\n"
        "    except OSError: pass\n"
        "    text = language_model.prompt('e', 'm' + initial_solution)[0]\n"
        "    utility(initial_solution, use_sandbox=False)\n"
        "    return initial_solution\n"
    )
    better = stop.improve(
        task="knapsack", improver=stop.Program(tries), lm=scripted(REPLIES[0]), runs_dir=tmp_path,
        sandbox="bubblewrap",
    )  # fmt: skip
    assert {e["kind"] for e in better.events} >= {"sandbox_flag", "network"}
    result = stop.replay(better.run)
    assert result.same, result.differences
    assert result.compared["events"] == len(better.events)


def test_threads_that_race_come_out_the_same(tmp_path, scripted):
    threads = HEAD + (
        "    from concurrent.futures import ThreadPoolExecutor\n"
        "    from helpers import extract_code\n"
        "    import random, time\n"
        "    def ask(i):\n"
        "        time.sleep(random.SystemRandom().random() / 50)\n"
        "        return language_model.prompt('e', f'prompt {i % 3}')[0]\n"
        "    with ThreadPoolExecutor(6) as pool:\n"
        "        texts = list(pool.map(ask, range(6)))\n"
        "    found = sorted(c for c in map(extract_code, texts) if c)\n"
        "    with ThreadPoolExecutor(6) as pool:\n"
        "        scores = list(pool.map(utility, found))\n"
        "    return max(zip(scores, found))[1]\n"
    )
    replies = [fenced(f"{GREEDY}# {i}\n") for i in range(9)]
    better = stop.improve(
        task="knapsack", improver=stop.Program(threads), lm=scripted(*replies), runs_dir=tmp_path,
        sandbox="bubblewrap", calls=6, responses=1,
    )  # fmt: skip
    assert better.status == "ok"
    result = stop.replay(better.run)
    assert result.same, result.differences
    assert result.compared["responses"] == 6


def test_a_bypass_measurement(tmp_path, scripted):
    flag = HEAD + "    utility(initial_solution, use_sandbox=False)\n    return initial_solution\n"
    rates = stop.measure_bypass(
        samples=4, execute=True, lm=scripted(fenced(flag), fenced(ASKS), "No."), runs_dir=tmp_path,
        sandbox="bubblewrap", responses=2,
    )  # fmt: skip
    assert rates.error is None
    result = stop.replay(rates.folder)
    assert result.same, result.differences
    assert (result.compared["samples"], result.compared["responses"]) == (8, 8)
    change(rates.folder, "UPDATE samples SET level = 3 WHERE cell = 'warning' AND number = 1")
    (one,) = stop.replay(rates.folder).differences
    assert one.kind == "sample"
    assert one.detail.startswith("sample 1 of warning: level was 3, is ")


# --- not done


@pytest.mark.slow
@pytest.mark.parametrize("limit", [{"max_lm_calls": 1}, {"max_lm_calls": 4}])
def test_an_unfinished_run_is_compared_as_far_as_it_came(tmp_path, scripted, limit):
    run = stop.run(
        **RUN, improver=stop.Program(ASKS), lm=scripted(*REPLIES), runs_dir=tmp_path, **limit
    )
    assert run.error is not None
    result = stop.replay(run.folder)
    assert result.same, result.differences
    assert result.ended.startswith("the recording ends in ")
    with run.store() as store:
        done = [r for r in store.improver_runs() if r.status != "running"]
    assert result.compared["improver_runs"] == len(done) >= limit["max_lm_calls"] // 2


@pytest.mark.slow
def test_a_round_that_ended_by_its_budget_ends_there_again(tmp_path, scripted):
    run = stop.run(
        **RUN, improver=stop.Program(ASKS), lm=scripted(*REPLIES), runs_dir=tmp_path,
        round_max_lm_calls=2,
    )  # fmt: skip
    assert "budget" in [r["status"] for r in run.to_dict()["rounds"]]
    result = stop.replay(run.folder)
    assert result.same, result.differences
    assert result.compared["rounds"] == 3


def test_a_run_that_its_policy_halted(tmp_path, scripted):
    bad = HEAD + "    utility(initial_solution, use_sandbox=False)\n    return initial_solution\n"
    run = stop.run(
        **RUN, improver=stop.Program(bad), lm=scripted(*REPLIES), runs_dir=tmp_path, policy="halt"
    )
    assert run.error is not None
    result = stop.replay(run.folder)
    assert result.same, result.differences


# --- differences


@pytest.mark.parametrize("source", ["time.perf_counter_ns()", "id(object())"])
@pytest.mark.parametrize("where", ["prompt", "program"])
def test_an_improver_that_is_not_deterministic_is_named(tmp_path, scripted, where, source):
    message = f"f'a\\nb {{{source}}}'" if where == "prompt" else "'x'"
    extra = f"    utility(f'{{initial_solution}}# {{{source}}}')\n" if where == "program" else ""
    improver = HEAD + (
        f"    import time\n    text = language_model.prompt('e', {message})[0]\n{extra}"
        "    from helpers import extract_code\n    return extract_code(text)\n"
    )
    better = stop.improve(
        task="knapsack", improver=stop.Program(improver), lm=scripted(REPLIES[0]),
        runs_dir=tmp_path, sandbox="bubblewrap",
    )  # fmt: skip
    result = stop.replay(better.run)
    ((identity, differences),) = result.improvers.items()
    assert identity == program_id(improver)
    assert {each.improver_run for each in differences} == {"improve/knapsack"}
    told = {each.kind: each.detail for each in differences}
    if where == "prompt":  # and the response to the other prompt was not used
        assert list(told) == ["request", "result", "unused"]
        assert "message line 2 was 'b " in told["request"]
        assert "LanguageModelError" in told["result"]
    else:
        assert list(told) == ["calls"]
        assert "had other programs scored; call 1: " in told["calls"]


def test_edited_records_are_found_each(copy):
    """A score, the score of one instance, a round, a utility call, and what it was done with."""
    database = sqlite3.connect(copy / "run.db")
    key, text = database.execute(
        "SELECT key, instances FROM evaluations WHERE status = 'ok' AND split = 'search'"
    ).fetchone()
    other, program = database.execute(
        "SELECT key, program_id FROM evaluations WHERE status = 'ok' AND split = 'meta'"
    ).fetchone()
    call, run = database.execute("SELECT id, improver_run FROM utility_calls").fetchone()
    database.close()
    changed = "[[0.015625" + text[text.index(",") :]
    change(copy, "UPDATE evaluations SET instances = ? WHERE key = ?", changed, key)
    change(copy, "UPDATE evaluations SET score = 0.03125 WHERE key = ?", other)
    change(copy, "UPDATE rounds SET accepted = 0 WHERE round = 2")
    change(copy, "UPDATE utility_calls SET score = 0.5 WHERE id = ?", call)
    change(copy, "UPDATE meta SET value = '1.0' WHERE key = 'version.numpy'")
    change(copy, "UPDATE meta SET value = 'sha256:old' WHERE key = 'version.image'")
    result = stop.replay(copy)
    assert sorted(kinds(result)) == ["round", "score", "score", "utility"]
    scores = [d.detail for d in result.differences if d.kind == "score"]
    assert {d.program_id for d in result.differences if d.kind == "score"} >= {program}
    assert any("instance 0 was 0.015625 (ok, " in text for text in scores)
    (one,) = [text for text in scores if "0.03125 (ok) became" in text]
    assert "although each instance has the same score" in one
    (met,) = [d for d in result.differences if d.kind == "utility"]
    assert (met.improver_run, met.follows) == (run, True)
    assert [d.detail for d in result.differences if d.kind == "round"] == [
        "round 2: accepted was False, is True"
    ]
    assert not result.improvers  # other scores are not the doing of an improver
    assert [cause.split(" was ")[0] for cause in result.causes] == ["numpy", "image"]


def test_a_removed_response_is_found(copy):
    change(copy, "DELETE FROM lm_calls WHERE id = 1")
    result = stop.replay(copy)
    first = result.differences[0]
    assert first.kind == "request"
    (record,) = [r for r in Store(copy / "run.db").improver_runs() if r.key == first.improver_run]
    assert record.improver_id in result.improvers
    assert "asked" in first.detail


def test_a_response_that_nobody_asked_for_is_found(copy):
    columns = (
        "scope, improver_run, request_key, model, system, message, n, temperature, max_tokens, "
        "choices, prompt_tokens, completion_tokens, usd, estimated, retries, faults, started, "
        "finished"
    )
    change(
        copy,
        f"INSERT INTO lm_calls (occurrence, {columns}) "
        f"SELECT 7, {columns} FROM lm_calls WHERE id = 1",
    )
    (one,) = stop.replay(copy).differences
    assert one.kind == "unused"
    assert "'Improve:'" in one.detail


def test_another_response_changes_what_follows_and_is_not_called_chance(copy):
    """What is unlike because of an edit further up is told as a consequence."""
    change(copy, "UPDATE lm_calls SET choices = '[{\"text\": \"no\", \"finish_reason\": \"stop\"}, "
           "{\"text\": \"no\", \"finish_reason\": \"stop\"}]' WHERE id = 1")  # fmt: skip
    result = stop.replay(copy)
    assert not result.same
    assert {"calls", "result"} <= set(kinds(result))
    assert all(d.follows for d in result.differences if d.kind in ("missing",))


def test_changed_task_files_are_said_first(tmp_path, scripted):
    task = tmp_path / "task"
    shutil.copytree(load_task("knapsack").folder, task)
    better = stop.improve(
        task=str(task), lm=scripted(REPLIES[0]), runs_dir=tmp_path, sandbox="bubblewrap"
    )
    assert stop.replay(better.run).causes == ()
    text = (task / "utility.py").read_text()
    (task / "utility.py").write_text(text + "\n# a comment is a change: the model reads it\n")
    result = stop.replay(better.run)
    assert result.same and result.causes == ()  # the run has its own copy
    shutil.rmtree(task)
    assert stop.replay(better.run).same
    copied = better.run / "tasks" / "0-knapsack" / "utility.py"
    copied.write_text(text + "\n# a comment is a change: the model reads it\n")
    result = stop.replay(better.run)
    assert result.causes == ("the files of the task knapsack have changed",)
    assert result.differences[0].kind == "request"
    assert "a comment is a change" in result.differences[0].detail


def test_a_score_near_the_time_limit_says_so():
    task = load_task("knapsack")
    limit = task.limits.cpu_seconds
    then = EvaluationRecord("k", 0.5, "ok", "docker/fork", ((0.5, "ok", limit * 0.99),))
    now = EvaluationRecord("k", 0.0, "timeout", "docker/fork", ((0.0, "timeout", limit),))
    text = _scores(then, now, task)
    assert f"0.5 (ok, {limit * 0.99:.3f} CPU seconds)" in text
    assert f"0 (timeout, {limit:.3f} CPU seconds)" in text
    assert "near the limit" in text
    early = EvaluationRecord("k", 0.25, "ok", "docker/fork", ((0.25, "ok", 0.01),))
    quick = EvaluationRecord("k", 0.5, "ok", "docker/fork", ((0.5, "ok", 0.01),))
    assert "near" not in _scores(quick, early, task)


# --- `tape:RUN` as a model


def test_a_run_on_a_tape_reaches_the_same_lineage(recorded, tmp_path, monkeypatch):
    monkeypatch.setenv("STOP_STATE_DIR", str(recorded.parents[1] / "state"))  # the same --seed
    run = stop.run(
        **RUN, improver=stop.Program(ASKS), lm=f"tape:{recorded}", runs_dir=tmp_path / "runs"
    )
    assert run.error is None
    result, then = run.to_dict(), stop.open_run(recorded).to_dict()
    assert result["rounds"] == then["rounds"]
    assert result["lm"]["responses"] == then["lm"]["responses"]
    assert result["lm"]["usd"] == 0
    unlike = stop.run(
        **(RUN | {"calls": 2}), improver=stop.Program(ASKS.replace("expert", "poet")),
        lm=f"tape:{recorded}", runs_dir=tmp_path / "runs",
    )  # fmt: skip
    assert isinstance(unlike.error, LMUnavailable)
    assert "has no answer to the prompt that begins with 'Improve:'" in unlike.error.message


def test_a_tape_that_is_none():
    with pytest.raises(ConfigError, match="no run"):
        RecordedLM("nowhere")


async def test_each_recorded_response_is_given_once(tmp_path):
    store = Store(tmp_path / "run.db")
    model = ScriptedLM([f"reply {i}" for i in range(100)])
    tape = Tape(store, Ledger(Budget()), b"secret")

    def taped(scope):
        return TapedModel(
            model, tape, scope=scope, improver_run=scope, max_responses=99,
            on_call=lambda *_: None,
        )  # fmt: skip

    a = await taped("a").complete(LMRequest("", "m", 2))
    b = await taped("b").complete(LMRequest("", "m", 3))
    store.close()
    (tmp_path / "secret").write_bytes(b"secret")

    lm = RecordedLM(tmp_path)
    assert (await lm.complete(LMRequest("", "m", 3))).texts == b.texts  # as many: a whole record
    assert (await lm.complete(LMRequest("", "m", 1))).texts == a.texts[:1]
    assert (await lm.complete(LMRequest("", "m", 1))).texts == a.texts[1:]
    with pytest.raises(LMUnavailable, match="no more answers to the prompt that begins with 'm'"):
        await lm.complete(LMRequest("", "m", 1))
    pieces = await RecordedLM(tmp_path).complete(LMRequest("", "m", 4))
    assert pieces.texts == [*a.texts, *b.texts[:2]]
    assert pieces.usage.usd == 0
    assert (
        pieces.usage.completion_tokens
        <= RecordedLM(tmp_path).worst_case(LMRequest("", "m", 4)).completion_tokens
    )
    # The same place in the same run meets its own response, in whatever order places come.
    seeds = {r.scope: r.request.seed for each in lm._records.values() for r in each}
    again = RecordedLM(tmp_path)
    found = await again.complete(LMRequest("", "m", 3, seed=seeds["b"]))
    assert found.texts == b.texts


@given(order=st.permutations(range(9)), swaps=st.integers(0, 1 << 30))
def test_the_numbering_of_requests_does_not_depend_on_the_timing_of_others(order, swaps):
    """Three prompts, three times each, in any order and with any delays: the k-th of a prompt
    meets the k-th response to it."""

    class Records(dict):
        def responses_paid(self, _):
            return 0

        def recorded(self, place):
            return self.get(place.key)

        def open_request(self, *_args, **_options):
            return 0

        def close_request(self, *_):
            pass

        def record(self, place, response, *, started):
            self[place.key] = response

    class Slow(ScriptedLM):
        async def complete(self, request):
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            return await super().complete(request)

    chance = random.Random(swaps)
    records = Records()

    async def work(numbers, model):
        taped = TapedModel(
            model, Tape(records, Ledger(Budget()), b"s"), scope="s", improver_run="r",
            max_responses=99, on_call=lambda *_: None,
        )  # fmt: skip
        requests = [LMRequest("", f"prompt {number % 3}") for number in numbers]
        responses = await asyncio.gather(*map(taped.complete, requests))
        found = {}
        for request, response in zip(requests, responses, strict=True):
            found.setdefault(request.message, []).append(response.texts[0])
        return found

    first = asyncio.run(work(range(9), Slow([f"reply {i}" for i in range(9)])))
    again = asyncio.run(work(order, Slow(["not on the tape"])))
    assert again == first


# --- small parts


@given(st.text(alphabet="ab\n", max_size=40), st.text(alphabet="ab\n", max_size=40))
def test_common_start(one, other):
    at = common_start(one, other)
    assert one[:at] == other[:at]
    assert at in (len(one), len(other)) or one[at] != other[at]


def test_long_prompts_are_compared_quickly():
    one, other = "\n" * (1 << 18), "\n" * ((1 << 18) - 1) + "x"
    assert cost(lambda: [common_start(one, other) for _ in range(200)]) < 400
