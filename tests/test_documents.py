"""The `--json` documents keep their names, are what their schemas say, and the page is true."""

from __future__ import annotations

import copy
import importlib.util
import json
import shutil
from itertools import takewhile
from pathlib import Path

import click
import jsonschema
import pytest
from click.testing import CliRunner

from stop._util.documents import schema
from stop.cli import cli
from stop.cli.documents.registry import DOCUMENTS

REPOSITORY = Path(__file__).parent.parent

# What scripts that read the documents rely on: a name may be added, none may go.
KEYS = {
    "stop evaluate": "program_id task split score status detail isolation instances events",
    "stop improve": "program_id source score status detail before lm utility_calls events run",
    "stop run": "run status tasks repetitions seed rounds best lm security_events "
    "security_programs",
    "stop run --dry-run": "tasks rounds repetitions lm meta_lm at_most improver_runs limits",
    "stop bypass": "run status model samples_per_cell temperature executed cells programs lm",
    "stop transfer": "run status model repetitions improver seed_improver tasks rows gains lm",
    "stop replay": "run same ended causes compared improvers differences kept",
    "stop costs": "run total levels budget models retries faults requests_failed seconds_lost "
    "cut_off_responses estimated_calls seconds",
    "stop ls": "runs_dir left_out runs",
    "stop lineage": "run nodes left_out",
    "stop show": "program_id kind source lineage origin evaluations evidence events best",
    "stop diff": "a b diff",
    "stop compare": "entries differences",
    "stop report": "run path bytes",
    "stop audit show": "run events left_out",
    "stop audit verify": "run ok lines head problem signed_lines signer this_machine untrusted "
    "orphans lost",
    "stop audit summary": "run programs by_level rows attempts quarantined",
    "stop audit key": "fingerprint public_key",
    "stop tasks list": "tasks",
    "stop tasks check": "task ok problems scores noise intervals",
    "stop model list": "folder models",
    "stop model pull": "name path bytes",
    "stop sandbox check": "sandbox isolation image ok checks",
    "stop sandbox prune": "containers images processes",
    "stop doctor": "ok checks",
}
PARTS = {
    "LMCost": "calls responses prompt_tokens completion_tokens usd",
    "InstanceResult": "score status cpu_seconds",
    "SecurityEvent": "kind level detail source",
    "SeenEvent": "kind level detail",
    "ProgramAndScore": "program_id score",
    "Round": "round improver_id meta_utility interval accepted status detail parent_id difference "
    "difference_interval selection confirmation",
    "Selection": "meta_utility candidates",
    "Confirmation": "difference interval p repetitions alpha decision",
    "Gain": "difference interval repetitions tasks holdout",
    "BestImprover": "program_id meta_utility interval round gain gain_reason",
    "CellResult": "cell samples classes any_level paper_rule cut_off runs",
    "ClassResult": "count rate interval paper_rule",
    "RateResult": "count rate interval",
    "Sample": "program_id cell number class level rules events paper_rule cut_off run",
    "RuleFinding": "rule level line evidence",
    "RunEnd": "status detail",
    "GainResult": "task split difference interval over n method p p_holm p_sign_flip",
    "ImprovedImprover": "program_id origin trained_on",
    "TaskOfTransfer": "task trained_on",
    "Difference": "kind detail improver_id improver_run program_id follows",
    "FaultCount": "reason count ended seconds last",
    "RunLine": "name when error kind tasks models status meta_utility interval before after rates "
    "gain gain_interval programs usd security_programs seconds",
    "UnreadableRun": "name when error",
    "Node": "program_id kind parent_id improver_id improver_run task score interval status rounds "
    "accepted security_level security_events generation",
    "Origin": "match lm_call choice similarity",
    "ComparedEntry": "run kind folder model meta_model status tasks repetitions lm "
    "security_events security_programs security_level program_id what score score_interval "
    "test_score test_score_interval gain test_gain rounds accepted saturation strategies rates",
    "ComparedDifference": "a b split tasks difference interval over p p_sign_flip method n p_holm "
    "why",
    "Attempt": "program_id topic join level kinds text deeds events model round kind inherited",
    "Orphan": "seq effect body",
    "ModelLine": "name bytes licence source pulled path",
    "CheckResult": "name ok detail",
    "Finding": "name status detail mend",
    "TaskFacts": "name description entry_point score_range limits instances folder",
    "BuiltFileSystem": "key digest bytes packages seconds folder image",
    "BuiltImage": "key digest bytes packages seconds",
}


def names(commands):
    """The commands that print a document, without arguments, e.g. "stop audit show"."""
    for command in commands.split(", "):
        words = takewhile(lambda word: word.isalpha() and word.islower(), command.split())
        yield " ".join(words) + " --dry-run" * ("--dry-run" in command)


def schema_of(command):
    (kind,) = (kind for commands, kind in DOCUMENTS.items() if command in names(commands))
    return schema(kind)


@pytest.mark.parametrize("command", KEYS)
def test_names_of_a_document_stay(command):
    assert set(schema_of(command)["properties"]) == set(KEYS[command].split())


def test_names_of_parts_stay():
    found = {}
    for kind in DOCUMENTS.values():
        for name, part in schema(kind).get("$defs", {}).items():
            found.setdefault(name, set()).update(part.get("properties", {}))
    for name, keys in PARTS.items():
        assert found[name] == set(keys.split()), name


def test_the_page_is_what_the_schemas_say():
    path = REPOSITORY / "scripts/output_docs.py"
    spec = importlib.util.spec_from_file_location("output_docs", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.PAGE.read_text("utf-8") == script.page(), f"run python {path}"


def test_each_command_with_json_is_there():
    """A document that is printed has a schema, and the other way round."""
    printed = set()

    def visit(command, words):
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                visit(command.get_command(context, name), (*words, name))
        elif any(each.name == "as_json" for each in command.params):
            printed.add(" ".join(words))

    visit(cli, ("stop",))
    described = {name.removesuffix(" --dry-run") for each in DOCUMENTS for name in names(each)}
    assert printed - {"stop resume"} == described


# --- what is printed


def strict(schema):
    """The schema, in which every object has all of its properties, and no other."""
    schema = copy.deepcopy(schema)

    def walk(part):
        if isinstance(part, dict):
            if part.get("type") == "object" and "properties" in part:
                part["additionalProperties"] = False
                left_out = OPTIONAL.get(part.get("title"), set())
                part["required"] = sorted(set(part["properties"]) - left_out)
            for each in part.values():
                walk(each)
        elif isinstance(part, list):
            for each in part:
                walk(each)

    walk(schema)
    return schema


ABOUT = {"model", "meta_model", "status", "tasks", "repetitions", "lm", "security_programs"}
OPTIONAL = {"ComparedEntry": ABOUT | {"security_level"}}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    place = tmp_path_factory.mktemp("documents")
    shutil.copytree(REPOSITORY / "notebooks/runs", place / "runs")
    return place / "runs"


@pytest.fixture
def stop(runs, monkeypatch):
    """Run a command; returns its document after checking it against the schema."""
    monkeypatch.setenv("STOP_RUNS_DIR", str(runs))

    def run(command, *arguments, code=0):
        done = CliRunner().invoke(cli, [*command.split()[1:], *arguments, "--json"])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            assert code, done.exception
        document = json.loads(done.stdout)
        jsonschema.validate(document, strict(schema_of(command)))
        return document

    return run


@pytest.mark.parametrize("name", ["small-model", "larger-model", "bypass", "transfer"])
def test_readers_of_runs(stop, runs, name):
    shown = stop("stop lineage", name, "--solutions")
    assert len(shown["nodes"]) > 1
    assert all("origin" not in node for node in shown["nodes"])
    assert all("origin" in n for n in stop("stop lineage", name, "--origins")["nodes"])
    first, last = (shown["nodes"][i]["program_id"] for i in (0, -1))
    stop("stop show", name, last)
    stop("stop diff", name, first, last)
    costs = stop("stop costs", name)
    assert costs["total"]["calls"] == sum(costs["models"].values()) > 0
    stop("stop audit show", name, "--limit", "1")
    stop("stop audit summary", name)
    assert stop("stop audit verify", name, code=1)["untrusted"]
    stop("stop report", name, "-o", str(runs / f"{name}.html"))


def test_a_run_with_attempts(stop):
    found = stop("stop audit summary", "demonstration")
    assert {attempt["join"] for attempt in found["attempts"]} >= {"tried", "intended"}
    shown = stop("stop show", "demonstration", found["attempts"][0]["program_id"])
    assert shown["evidence"]
    assert shown["events"]


def test_runs_side_by_side(stop):
    stop("stop compare", "small-model", "larger-model")
    best = stop("stop show", "larger-model", "best")["program_id"]
    seed = stop("stop lineage", "larger-model")["nodes"][0]["program_id"]
    stop("stop compare", "larger-model", "--programs", f"{best},{seed}")


def test_listings(stop, runs):
    (runs / "torn").mkdir(exist_ok=True)
    (runs / "torn" / "config.json").write_text("{")
    found = stop("stop ls")["runs"]
    assert {"error", "name", "when"} in [set(run) for run in found]
    assert {run["kind"] for run in found if not run["error"]} == {"run", "bypass", "transfer"}
    assert len(stop("stop tasks list")["tasks"]) == 9
    assert len(stop("stop model list")["models"]) > 1
    stop("stop audit key")
    plan = stop("stop run --dry-run", "--preset", "paper", "--lm", "openai:gpt-4o-mini")
    assert isinstance(plan["at_most"]["lm_calls"], int)
    schema = schema_of("stop audit scan")
    files = [str(REPOSITORY / "stop/improvers/flagged.py"), "-"]
    done = CliRunner().invoke(cli, ["audit", "scan", *files, "--json"], input="def (")
    jsonschema.validate(json.loads(done.stdout), strict(schema))


@pytest.mark.bubblewrap
def test_work(stop, runs, tmp_path):
    replies = tmp_path / "replies.jsonl"
    replies.write_text(json.dumps("```python\ndef algorithm(w, v, c):\n    return []\n```") + "\n")
    program = tmp_path / "program.py"
    program.write_text("def algorithm(w, v, c):\n    return []\n")
    lm = ("--lm", f"scripted:{replies}")
    here = ("--sandbox", "bubblewrap")
    few = ("--calls", "1", "--responses", "1", *lm, *here)
    stop("stop evaluate", str(program), "--task", "knapsack", *here)
    improved = stop("stop improve", "--task", "knapsack", *few)
    once = ("--rounds", "1", "--repetitions", "1", "--accept", "better")
    ran = stop("stop run", "--tasks", "knapsack", *once, *few)
    assert ran["status"] == "done"
    stop("stop replay", improved["run"])
    bypass = stop("stop bypass", "--samples", "2", "--no-warning", "--run", *lm, *here)
    assert [each["cell"] for each in bypass["cells"]] == ["no_warning"]
    improver = str(REPOSITORY / "stop/improvers/flagged.py")
    once = ("--improver", improver, "--repetitions", "1")
    moved = stop("stop transfer", "--tasks", "knapsack", *once, *few)
    assert [row["program"] for row in moved["rows"]][:2] == ["seed solution", "seed improver"]
    stop("stop tasks check", "knapsack", *here)
    stop("stop sandbox check", *here)
    stop("stop doctor", code=5)
