"""The command line as a user meets it: its own process, its exit codes, its JSON."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest

from tests.helpers.command_line import RUN, begin, document, end, stop
from tests.helpers.programs import GREEDY, SEED_IMPROVER, fenced
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.bubblewrap
HERE = ("--task", "knapsack", "--sandbox", "bubblewrap")


@pytest.fixture
def program(tmp_path):
    def write(source):
        path = tmp_path / "program.py"
        path.write_text(source)
        return str(path)

    return write


# --- evaluate


def test_evaluate(program):
    arguments = ("evaluate", *HERE, program(GREEDY), "--seed", "5", "--json")
    first, second = document(stop(*arguments)), document(stop(*arguments))
    assert first["status"] == "ok"
    assert 0.95 < first["score"] <= 1
    assert first["isolation"] == "bubblewrap/fork"
    assert set(first) == {
        "program_id", "task", "split", "score", "status", "detail", "isolation", "instances",
        "events",
    }  # fmt: skip
    assert set(first["instances"][0]) == {"score", "status", "cpu_seconds"}
    same = [[i["score"] for i in each["instances"]] for each in (first, second)]
    assert same[0] == same[1]


@pytest.mark.docker
@pytest.mark.parametrize("isolation", ["fork", "container"])
def test_evaluate_under_docker(program, isolation):
    backend = ("--sandbox", "docker", "--isolation", isolation)
    result = document(stop("evaluate", *HERE, program(GREEDY), *backend, "--json"))
    assert (result["status"], result["isolation"]) == ("ok", f"docker/{isolation}")


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("def algorithm(w, v, c): return 1 / 0", "error"),
        ("def algorithm(w, v, c):\n  while True: pass", "timeout"),
        ("def algorithm(w, v, c): return bytearray(3 << 30)", "oom"),
        ("def algorithm(w, v, c): return [0, 0]", "invalid"),
        ("def algorithm(w, v, c): return 'x' * 10_000_000", "invalid"),
        ("def algorithm(w, v, c", "syntax"),
        ("def other(): pass", "syntax"),
        ("import nothing_like_this\ndef algorithm(w, v, c): return []", "error"),
    ],
)
def test_a_failing_program_is_an_answer(program, source, status):
    result = document(stop("evaluate", *HERE, program(source), "--count", "4", "--json"))
    assert result["status"] == status
    assert result["score"] == 0
    assert result["detail"]


# --- improve


def test_improve(scripted):
    lm = scripted(fenced(GREEDY))
    result = document(stop("improve", *HERE, "--lm", lm, "--seed", "1", "--json"))
    assert result["source"].strip() == GREEDY.strip()
    assert result["score"] > 0.95 > result["before"]["score"]
    assert result["status"] == "ok"
    assert result["utility_calls"] == 7
    assert set(result["lm"]) == {"calls", "responses", "prompt_tokens", "completion_tokens", "usd"}
    assert (result["lm"]["calls"], result["lm"]["responses"]) == (1, 6)


def test_improve_keeps_the_program_when_the_model_has_nothing_better(scripted):
    lm = scripted("I cannot do that.")
    assert "did not change" in stop("improve", *HERE, "--lm", lm).stdout


def test_improve_with_an_improver_of_ones_own(program, scripted):
    """A published-style improver, threads, copies and all, runs as it is."""
    path = program(
        "import concurrent.futures, copy, random\n"
        "import numpy as np\n"
        "from helpers import extract_code\n"
        "def improve_algorithm(initial_solution, utility, language_model):\n"
        "    ask = copy.deepcopy(language_model)\n"
        "    answers = ask.prompt('expert', utility.str, n_responses=2, temperature=0.9)\n"
        "    answers += language_model.batch_prompt('expert', ['a', 'b'], temperature=0.1)\n"
        "    assert language_model.times_used == 2 and len(answers) == 4\n"
        "    found = {c for c in extract_code(answers) if c}\n"
        "    with concurrent.futures.ThreadPoolExecutor(4) as pool:\n"
        "        scores = list(pool.map(utility, found))\n"
        "    assert utility.uses == len(found) and utility.budget == 9\n"
        "    try:\n"
        "        language_model.prompt('expert', 'once more')\n"
        "    except Exception as error:\n"
        "        assert 'budget' in str(error), error\n"
        "    else:\n"
        "        raise AssertionError('over budget')\n"
        "    return list(found)[int(np.argmax(scores))]\n"
    )
    numbers = ("--calls", "2", "--responses", "4")
    lm = scripted(fenced(GREEDY))
    done = stop("improve", *HERE, "--improver", path, "--lm", lm, *numbers, "--json")
    assert document(done)["status"] == "ok", document(done)["detail"]


def test_an_improve_that_was_stopped_goes_on(scripted):
    lm = scripted(fenced(GREEDY))
    stopped = stop("improve", *HERE, "--lm", lm, "--max-lm-calls", "0", check=3)
    assert "stop resume" in stopped.stderr
    result = document(stop("resume", "last", "--max-lm-calls", "1", "--json"))
    assert result["score"] > 0.95
    assert document(stop("resume", "last", "--json")) == result


# --- run, readers


def test_a_run_and_all_that_reads_it(scripted, tmp_path):
    better = SEED_IMPROVER.replace(
        "Solve the same problem", "With dynamic programming solve the problem"
    )
    weak = GREEDY.replace("-values[i] / weights[i]", "weights[i]")
    # Of the two rounds' four answers the task level sees the weak program first.
    lm = scripted(fenced(weak), fenced(weak), fenced(GREEDY), fenced(GREEDY))
    meta = scripted(fenced(better), "no program at all")
    result = document(stop(*RUN, "--rounds", "2", "--lm", lm, "--meta-lm", meta, "--json"))
    assert result["status"] == "done"
    assert [r["round"] for r in result["rounds"]] == [1, 2]
    first, second = result["rounds"]
    assert first["accepted"]
    assert first["difference"] is None  # nothing was tested on fresh cells
    assert first["meta_utility"] > result["seed"]["meta_utility"]
    assert not second["accepted"]
    assert result["best"]["program_id"] == first["improver_id"]
    assert result["lm"]["usd"] == 0
    run = result["run"]

    nodes = document(stop("lineage", run, "--json"))["nodes"]
    assert nodes[0]["rounds"] == [0]
    assert first["improver_id"] in {n["program_id"] for n in nodes if n["accepted"]}
    assert "seed improver" in stop("lineage", "last", "--solutions").stdout
    shown = document(stop("show", run, "best", "--json"))
    assert "With dynamic programming" in shown["source"]
    assert "+++" in stop("diff", run, nodes[0]["program_id"][:12], "best").stdout
    difference = document(stop("diff", run, nodes[0]["program_id"], "best", "--json"))
    assert "With dynamic" in difference["diff"]
    costs = document(stop("costs", run, "--json"))
    assert costs["total"]["calls"] == sum(each["calls"] for each in costs["levels"].values())
    assert document(stop("audit", "show", run, "--json"))["events"] == []
    stop("audit", "verify", run)
    # Finished work is not done again.
    again = document(stop("resume", run, "--json"))
    assert again["lm"] == result["lm"]
    assert again["rounds"] == result["rounds"]
    log = tmp_path / "runs" / run.split("/")[-1] / "audit.jsonl"
    log.write_bytes(log.read_bytes().replace(b"opened", b"closed", 1))
    assert "has been changed" in stop("audit", "verify", run, check=1).stderr


@pytest.mark.parametrize(
    ("improver", "status"),
    [
        ("def improve_algorithm(s, u, l): return 1 / 0", "error"),
        ("def improve_algorithm(s, u, l): return None", "invalid"),
        ("def improve_algorithm(s, u, l): return 'not python ('", "syntax"),
        ("def improve_algorithm(s, u, l): return u(s)", "invalid"),
    ],
)
def test_an_improver_that_fails_is_recorded_and_the_last_good_one_goes_on(
    scripted, program, improver, status
):
    """The first round's candidate breaks; with `always` it is not taken either."""
    path = program(
        "def improve_algorithm(initial_solution, utility, language_model):\n"
        "    if 'improve_algorithm' in initial_solution:\n"
        f"        return {improver!r}\n"
        "    return initial_solution\n"
    )
    result = document(
        stop(*RUN, "--improver", path, "--accept", "always", "--lm", scripted("x"), "--json")
    )
    (only,) = result["rounds"]
    assert not only["accepted"]
    assert status in only["detail"]
    assert result["best"]["round"] == 0


def test_always_accepts_what_works(scripted, program):
    worse = "def improve_algorithm(s, u, l):\n    return 'def algorithm(w, v, c): return []'\n"
    path = program(
        "def improve_algorithm(initial_solution, utility, language_model):\n"
        "    if 'improve_algorithm' in initial_solution:\n"
        f"        return {worse!r}\n"
        "    return initial_solution\n"
    )
    common = (*RUN, "--improver", path, "--lm", scripted("x"), "--json")
    assert document(stop(*common, "--accept", "always"))["rounds"][0]["accepted"]
    assert not document(stop(*common, "--accept", "better"))["rounds"][0]["accepted"]


def test_the_sandbox_flag_is_logged_and_has_no_effect(scripted, program):
    path = program(
        "def improve_algorithm(initial_solution, utility, language_model):\n"
        "    honest = utility(initial_solution)\n"
        "    assert utility(initial_solution, use_sandbox=False) == honest\n"
        "    assert utility(initial_solution, use_sandbox=True) == honest\n"
        "    return initial_solution\n"
    )
    words = ("--improver", path, "--lm", scripted("x"))
    result = document(stop("improve", *HERE, *words, "--json"))
    assert sorted((e["kind"], e["level"]) for e in result["events"]) == [
        ("sandbox_flag", 1),
        ("sandbox_flag", 2),
    ]


def test_l94_a_fake_audit_line_on_stdout_is_no_audit_line(scripted, program):
    """What a guest prints is kept as its output, and is never a result or a record."""
    line = json.dumps({"seq": 0, "kind": "security", "event": "planted", "level": 3})
    path = program(
        "import sys\n"
        "def improve_algorithm(initial_solution, utility, language_model):\n"
        f"    print({line!r}, flush=True)\n"
        f"    sys.stderr.write({line!r} + chr(27) + '[2J')\n"
        "    return initial_solution\n"
    )
    done = stop("improve", *HERE, "--improver", path, "--lm", scripted("x"), "--json")
    result = document(done)
    assert result["events"] == []
    assert "planted" not in done.stderr
    stop("audit", "verify", result["run"])


# --- ends that come early


def test_a_budget_stop_keeps_everything_and_resume_goes_on(scripted):
    lm = scripted(fenced(GREEDY))
    stopped = stop(*RUN, "--lm", lm, "--max-lm-calls", "1", "--json", check=3)
    result = document(stopped)
    assert result["status"] == "budget"
    assert result["lm"]["calls"] == 1
    assert "stop resume" in stopped.stderr
    done = document(stop("resume", result["run"], "--max-lm-calls", "50", "--json"))
    assert done["status"] == "done"
    assert done["seed"] == result["seed"]


def test_ctrl_c_ends_cleanly_and_resume_goes_on(scripted, tmp_path):
    """manual: with nobody to answer waits for ever; the interrupt finds it waiting."""
    folder = tmp_path / "letters"
    before = _children_of_bwrap()
    process = begin(*RUN, "--lm", f"manual:{folder}", start_new_session=True)
    _wait_for_request(folder, process)
    os.killpg(process.pid, signal.SIGINT)
    errors = end(process)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "stop resume" in errors
    assert _children_of_bwrap() <= before


def _wait_for_request(folder, process):
    asked = lambda: list(folder.glob("*.request.md")) or process.poll() is not None  # noqa: E731
    wait_until(asked, "a request in a file")
    assert process.poll() is None


def _children_of_bwrap():
    """Process ids of bwraps that nobody owns any more."""
    words = ["ps", "-eo", "pid,ppid,comm"]
    found = subprocess.run(words, capture_output=True, text=True, check=True)
    rows = [line.split(None, 2) for line in found.stdout.splitlines()[1:]]
    return {pid for pid, parent, name in rows if parent == "1" and name.startswith("bwrap")}


def test_a_killed_run_goes_on_where_it_was(scripted, tmp_path):
    folder = tmp_path / "letters"
    models = ("--lm", scripted(fenced(GREEDY)), "--meta-lm", f"manual:{folder}")
    process = begin(*RUN, *models)
    _wait_for_request(folder, process)
    (run,) = (tmp_path / "runs").iterdir()
    assert "works on" in stop("resume", str(run), check=1).stderr  # two may not
    assert [each["status"] for each in document(stop("ls", "--json"))["runs"]] == ["running"]
    process.kill()
    process.communicate()
    assert [each["status"] for each in document(stop("ls", "--json"))["runs"]] == ["interrupted"]
    (request,) = folder.glob("*.request.md")
    for n in ("1", "2"):
        reply = folder / request.name.replace(".request.md", f".{n}.reply.md")
        reply.write_text(fenced(SEED_IMPROVER))
    result = document(stop("resume", str(run), "--json"))
    assert result["status"] == "done"
    # One on the task, one on the meta level: the candidate asks what the seed asked, and nothing
    # is asked twice.
    assert result["lm"]["calls"] == 2


# --- bad input


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("evaluate", "--task", "knapsak", "x.py"), 2, "no such program"),
        (("evaluate", "--task", "knapsak", __file__), 2, "knapsack"),
        (("improve", "--task", "knapsack", "--lm", "gpt-4"), 2, "openai:"),
        (("improve", "--task", "knapsack", "--lm", "openai:gpt-4o"), 5, "OPENAI_API_KEY"),
        (
            (
                "improve",
                *HERE,
                "--lm",
                "openai:m",
                "--base-url",
                "http://127.0.0.1:9",
                "--lm-patience",
                "3",
            ),
            5,
            "127.0.0.1:9",
        ),
        (("improve", "--task", "knapsack", "--lm", "scripted:none.jsonl"), 2, "none.jsonl"),
        (("run", "--lm", "openai:m"), 2, "no task"),
        (("run", "--preset", "nonsense"), 2, "nonsense"),
        (("resume", "nowhere"), 1, "no run"),
        (("lineage", "nowhere"), 1, "no run"),
        (("evaluate", "--task", "knapsack", __file__, "--sandbox", "none"), 2, "none"),
        (("tasks", "check", "/"), 2, "task.toml"),
        (("nonsense",), 2, "nonsense"),
    ],
)
def test_bad_input_gets_one_clear_message(arguments, code, words):
    done = stop(*arguments, check=code)
    assert words in done.stderr
    assert len(done.stderr.splitlines()) < 12


def test_no_engine(program):
    environment = {**os.environ, "DOCKER_HOST": "unix:///nonexistent.sock"}
    words = ("evaluate", "--task", "knapsack", program(GREEDY))
    done = stop(*words, "--sandbox", "docker", check=4, env=environment)
    assert "DOCKER_HOST" in done.stderr
    automatic = stop(*words, "--json", env=environment)
    assert document(automatic)["isolation"] == "bubblewrap/fork"


def test_dry_run_asks_nobody():
    plan = document(
        stop("run", "--preset", "paper", "--lm", "openai:gpt-4o-mini", "--dry-run", "--json")
    )
    assert plan["at_most"]["usd"] > 0
    assert plan["tasks"] == ["parity_noise"]
    assert plan["at_most"]["responses"] == plan["at_most"]["lm_calls"] * 6


def test_a_scaffold_passes_its_check(tmp_path):
    folder = str(tmp_path / "my_task")
    stop("tasks", "new", folder)
    assert document(stop("tasks", "check", folder, "--sandbox", "bubblewrap", "--json"))["ok"]
    (tmp_path / "my_task" / "seed.py").write_text("def algorithm(*_): return 1 / 0\n")
    broken = stop("tasks", "check", folder, "--sandbox", "bubblewrap", "--json", check=2)
    assert "ZeroDivisionError" in document(broken)["problems"][0]
