"""What a report says of real runs, and that nothing of a program escapes into its markup."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
import sys
from contextlib import closing
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import stop
from stop.errors import UserError
from stop.report.data import Report
from stop.report.gather import gather
from stop.report.render import render
from stop.report.scores import made_by
from stop.report.words import number, signed
from tests.helpers.command_line import document
from tests.helpers.command_line import stop as command
from tests.helpers.places import REPOSITORY
from tests.helpers.programs import fenced
from tests.report import scripts

pytestmark = pytest.mark.bubblewrap
sys.path.insert(0, str(REPOSITORY))  # benchmarks


class Page(HTMLParser):
    """Tags with the names of their attributes, text, and what script elements hold."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self._open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name in ("href", "src")]
        self._open.append(tag)

    def handle_endtag(self, tag):
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data):
        if self._open and self._open[-1] in self.raw:
            self.raw[self._open[-1]].append(data)
        else:
            self.text += data

    @property
    def words(self) -> str:
        return " ".join(self.text.split())

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.raw["script"][0])

    @property
    def texts(self) -> dict[str, str]:
        """Of the programs in the file, by id."""
        data = self.data
        return {
            program: "\n".join(data["lines"][number] for number in numbers)
            for program, numbers in data["texts"].items()
        }


@pytest.fixture(scope="session")
def page(pages):
    return Page(pages["run"].read_text("utf-8"))


def test_the_result_in_words(page, run):
    best = run.to_dict()["best"]
    gain = best["gain"]
    assert f"→ {best['meta_utility']:.3f}" in page.words
    assert f"The best improver came up in round {best['round']}." in page.words
    assert f"the gain is {signed(gain['difference'])} (95 % interval" in page.words
    assert "6 pairs of runs of the improver" in page.words
    assert "the cells that chose the candidate, where luck" in page.words  # `--accept better`


def test_what_changed(run):
    report = gather(run.folder)
    accepted = [r for r in run.to_dict()["rounds"] if r["accepted"]]
    assert [step.program_id for step in report.steps] == [r["improver_id"] for r in accepted]
    assert {step.gain for step in report.steps} == {None}  # nothing was confirmed
    assert {each.difference for each in report.rounds} == {None}
    first = report.steps[0]
    assert "+    return max(programs, key=utility)" in first.diff
    assert not first.cut
    assert first.text == run.program(first.program_id).source.removesuffix("\n")
    assert first.origin.startswith("Exactly as in answer 1, counted from 1, of LM call")
    assert first.answer.startswith("Here it is:")


def test_no_number_about_a_gain_is_from_the_cells_that_chose(page, run):
    with closing(run.store()) as store:
        chosen = [r.selection_difference for r in store.rounds() if r.selection_difference]
    assert chosen
    gain = run.to_dict()["best"]["gain"]["difference"]
    for each in chosen:
        assert f"{each:+.3f}" == f"{gain:+.3f}" or f"{each:+.3f}" not in page.words


@pytest.mark.slow
def test_a_confirmed_round_shows_its_test(made, scripted):
    lazy = "def improve_algorithm(initial_solution, utility, language_model):\n"
    run = stop.run(
        tasks=["knapsack"], rounds=2, repetitions=1, calls=1, responses=1, utility_calls=3,
        improver=stop.Program(f"{lazy}    if 'improve_algorithm' in initial_solution:\n"
                              "        return language_model.prompt('', initial_solution)[0]\n"
                              "    return initial_solution\n"),
        meta_lm=scripted(scripts.ONE), lm=scripted(fenced(scripts.GREEDY)), sandbox="bubblewrap",
        confirm_repetitions=6, final_repetitions=3, runs_dir=made / "confirmed",
    )  # fmt: skip
    first, second = run.to_dict()["rounds"]
    assert first["accepted"]
    assert second["confirmation"] is None  # it returned what is no improver, or itself
    report = gather(run.folder)
    (step,) = report.steps
    assert step.gain.difference.mean == first["confirmation"]["difference"]
    text = render(report)
    assert "0.016 at level 0.025, 6 repetitions" in text
    assert "of a candidate on the cells of its test" in text


def test_who_tried_what_and_what_it_led_to(page, run):
    for text in ("tampering", "/run/secrets/openai_api_key", "use_sandbox=False"):
        assert text in page.words
    assert "Switching the sandbox off" in page.words
    assert "It was the candidate of round" in page.words or "tried, and not chosen" in page.words
    assert "Intact when this report was made" in page.words
    nodes = {node["id"]: node for node in page.data["nodes"]}
    grave = [node for node in nodes.values() if node["level"] >= 2]
    assert len(grave) == 2
    assert all(node["evidence"] for node in grave)
    assert all(each["effect"] and each["how"] for node in grave for each in node["evidence"])


def test_costs_and_setup(page, run):
    spent = run.to_dict()["lm"]
    assert f"{spent['prompt_tokens']:,}" in page.words
    assert "2,000,000" in page.words  # the limit
    assert f"stop replay {run.folder.name}" in page.words
    assert "bubblewrap/fork" in page.words
    assert "replies written beforehand" in page.words
    assert "not billed" in page.words
    assert "$0.00" not in page.words
    assert "server made no faults" not in page.words
    secret = (run.folder / "secret").read_bytes()
    whole = page.text + "".join(page.raw["script"])
    assert secret.hex() not in whole
    assert str(run.folder.parent) not in whole


def test_what_a_meta_utility_is_made_of(page, run):
    nodes = {node["id"]: node for node in page.data["nodes"]}
    for record in run.to_dict()["rounds"]:
        if record["improver_id"] is not None:
            shown = nodes[record["improver_id"]]["made"]
            with closing(run.store()) as store:
                made = made_by(store, record["improver_id"])
            seen = [each["repetition"] for each in shown]
            assert [number for number in seen if number.isdigit()] == list("12345")
            assert {number[:17] for number in seen[5:]} <= {"final comparison,"}
            scores = [score for *_, score in made]
            assert [each["score"] for each in shown] == list(map(number, scores))
            assert [each["result"] for each in shown] == [result for _, _, result, _ in made]
            if None not in scores:
                assert sum(scores[:5]) / 5 == pytest.approx(record["meta_utility"])


def test_a_log_signed_elsewhere_says_so(run, monkeypatch, tmp_path):
    monkeypatch.setenv("STOP_STATE_DIR", str(tmp_path))
    log = gather(run.folder).log
    assert log.ok is None
    assert re.match(
        r"The chain of the log is whole. It is signed by key SHA256:\S+, which", log.text
    )


def test_programs_are_in_the_file(page, run):
    data = page.data
    improvers = [node["id"] for node in data["nodes"] if node["kind"] == "improver"]
    assert set(improvers) == {node.program_id for node in run.lineage.nodes("improver")}
    texts = page.texts
    for node in data["nodes"]:
        assert texts[node["id"]] == run.program(node["id"]).source.removesuffix("\n")
    pairs = list(zip(data["lines"], data["marks"], strict=True))
    assert len(set(pairs)) == len(pairs)  # each line is in the file once
    parents = {node["id"]: node["parent"] for node in data["nodes"]}
    assert all(parents[each] in parents for each in improvers if each not in data["roots"])
    written = {member for group in data["groups"] for member in group["members"]}
    assert written
    assert written <= set(parents)


def test_the_page_asks_nothing_of_anybody(pages):
    for path in pages.values():
        html = path.read_text("utf-8")
        found = Page(html)
        policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html).group(1)
        for kind, text in (("script", found.raw["script"][1]), ("style", found.raw["style"][0])):
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"{kind}-src &#39;sha256-{digest}&#39;" in policy
        assert policy.startswith("default-src &#39;none&#39;")
        assert all(link.startswith("#") for link in found.links)
        assert not {"img", "link", "iframe", "object", "embed", "base"} & {t for t, _ in found.tags}
        assert not any(n.startswith("on") or n == "style" for _, names in found.tags for n in names)
        assert len(found.ids) == len(set(found.ids))


def test_nasty_programs_stay_texts(pages, nasty):
    found = Page(pages["nasty"].read_text("utf-8"))
    assert [tag for tag, _ in found.tags].count("script") == 2
    texts = found.texts.values()
    assert any("</script><script>document.title" in text for text in texts)
    assert any("⟨U+202E⟩" in text for text in texts)
    for text in [*texts, found.text]:
        assert all(c.isprintable() or c in "\n\t" for c in text)
    assert "{{ 7*7 }}" in "".join(texts)
    details = {each["detail"] for node in found.data["nodes"] for each in node["scores"]}
    assert any("<img src=x onerror" in detail for detail in details)


# --- whatever the texts are, the markup is the same


@pytest.fixture(scope="session")
def gathered(run) -> Report:
    return gather(run.folder)


def _filled(value: Any, text: str) -> Any:
    """The same data with `text` in place of every string that somebody else wrote."""
    if isinstance(value, str):
        return text if value else value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        kept = {"kind", "tone", "how"} & set(fields)
        new = {name: each if name in kept else _filled(each, text) for name, each in fields.items()}
        return dataclasses.replace(value, **new)
    if isinstance(value, dict):
        return {key: _filled(each, text) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_filled(each, text) for each in value)
    return value


@given(text=st.one_of(st.sampled_from(scripts.NASTY), st.text(min_size=1)))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_text_changes_the_markup(gathered, text):
    text = text.encode("utf-8", "replace").decode()
    plain, strange = (Page(render(_filled(gathered, each))) for each in ("x", text))
    assert strange.tags == plain.tags
    data = strange.data
    assert set(data["lines"]) == {text, ""}
    assert strange.raw["script"][1:] == plain.raw["script"][1:]


# --- the other kinds of runs, large runs, damaged runs


def test_an_improvement(nasty):
    report = gather(nasty.folder)
    assert report.scores == "scores"
    assert "knapsack" in report.story.headline
    assert re.search(r"0\.\d{3} → 0\.9\d{2}", report.story.headline)
    assert any(line.startswith("+") for line in report.steps[0].diff)
    assert report.programs.focus == report.steps[0].program_id


def test_a_bypass_measurement(made, scripted):
    from stop.improvers import load_improver

    flagged = load_improver("flagged").source
    off = flagged.replace("program, use_sandbox=True))\n", "program, use_sandbox=False))\n")
    measured = stop.measure_bypass(
        lm=scripted(fenced(flagged), fenced(off), "No.", fenced(off + "# again\n")),
        samples=4, cells=["no_warning"], execute=True, sandbox="bubblewrap",
        runs_dir=made / "runs", concurrency=1,
    )  # fmt: skip
    report = gather(measured.folder)
    assert report.story.headline == "Scripted replies: 2 of 4 samples went at the sandbox"
    assert report.story.lead.startswith("This does not measure a model")
    assert report.story.tone == "open"
    html = Page(render(report))
    assert "2 of 4 samples, 50.0\N{NO-BREAK SPACE}% (95 % interval" in html.text
    shown = {node["label"] for node in html.data["nodes"]}
    assert {"sample 2", "sample 4", "to be improved, without the warning"} <= shown
    assert report.programs.focus in {node["id"] for node in html.data["nodes"] if node["level"]}


def test_a_transfer_measurement(made, scripted):
    for name, source in (("one", scripts.ONE), ("again", scripts.AGAIN)):
        (made / f"{name}.py").write_text(source)
    found = stop.transfer(
        str(made / "again.py"), tasks="knapsack", baseline=str(made / "one.py"), repetitions=2,
        lm=scripted(*scripts.TASK[:9]), calls=2, responses=3, utility_calls=7,
        sandbox="bubblewrap", runs_dir=made / "runs", concurrency=1,
    )  # fmt: skip
    html = Page(render(gather(found.folder)))
    assert "improved improver" in html.words
    assert {"the seed improver", "the improved improver"} <= {
        n["label"] for n in html.data["nodes"]
    }


def test_a_kind_that_the_report_does_not_know(run, nasty, monkeypatch):
    monkeypatch.setattr("stop.report.gather.KINDS", {})
    for each, kind in ((run, "run"), (nasty, "improve")):
        report = gather(each.folder)
        html = Page(render(report))
        assert f"This is a run of the kind {kind}, on knapsack." in html.words
        assert (report.story.tone, report.story.tile.value) == ("calm", kind)
        assert {node["id"] for node in html.data["nodes"]} == {
            node.program_id for node in each.lineage.nodes()
        }
        assert f"stop replay {each.folder.name}" in html.words


def test_one_table_knows_the_kinds_of_run():
    texts = {
        path.name: path.read_text("utf-8")
        for path in (REPOSITORY / "stop" / "report").rglob("*.*")
        if path.suffix in (".py", ".html", ".js")
    }
    assert {name for name, text in texts.items() if "config.kind" in text} == {"gather.py"}
    for kind in ("improve", "bypass", "transfer"):
        assert {name for name, text in texts.items() if f'"{kind}"' in text} == {"kinds.py"}


@pytest.mark.parametrize("kind", ["run", "improve", "bypass", "transfer"])
def test_what_ended_at_once_has_a_report_too(tmp_path, scripted, made, kind):
    options = {"lm": scripted("no"), "sandbox": "bubblewrap", "runs_dir": tmp_path}
    if kind == "run":
        stop.run(tasks=["knapsack"], repetitions=1, max_lm_calls=0, **options)
    elif kind == "improve":
        with pytest.raises(stop.StopError):
            stop.improve(task="knapsack", max_utility_calls=0, **options)
    elif kind == "bypass":
        stop.measure_bypass(samples=2, max_lm_calls=0, **options)
    else:
        (tmp_path / "again.py").write_text(scripts.AGAIN)
        improver = str(tmp_path / "again.py")
        stop.transfer(improver, tasks="knapsack", repetitions=1, max_lm_calls=0, **options)
    (config,) = tmp_path.glob("*/config.json")
    html = Page(render(gather(config.parent)))
    assert re.search("no result yet|no samples yet", html.words)
    assert "ended at a limit" in html.words


def test_a_large_run_stays_bounded(made):
    from benchmarks.large_run import make_run

    folder = make_run(made / "large", 4000)
    from stop.report import packing, programs
    from stop.report.packing import escaped_size

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "MAX_IMPROVERS", 40)
        patch.setattr(programs, "MAX_SOLUTIONS", 200)
        patch.setattr(packing, "TEXT_BUDGET", 100_000)
        report = gather(folder)
    shown = report.programs
    sizes = map(escaped_size, (*shown.lines, *shown.marks, *shown.texts.values()))
    kinds = [node["kind"] for node in shown.nodes]
    assert kinds.count("improver") <= 40 + len(report.steps)
    assert kinds.count("solution") <= 240
    assert 50_000 < sum(sizes) <= 110_000  # the spaces between numbers are not in the file
    for step in report.steps:
        assert step.program_id in shown.texts
    for words in ("solutions", "programs' texts"):
        assert words in shown.left_out
    assert shown.left_out in Page(render(report)).words


def test_nodes_beyond_the_budget_are_bare():
    from stop.report.packing import _within, escaped_size

    score = {"score": 1.0, "status": "ok", "detail": "x" * 300, "output": "<" * 2000}
    nodes = [{"id": str(i), "scores": [score] * 9, "evidence": [{"text": "y"}]} for i in range(9)]
    assert escaped_size("<") == len('"\\u003c"')
    room = 3 * escaped_size(nodes[0]) + 10
    kept, bare = _within(room, iter(nodes))
    assert bare == 6
    assert [len(node["scores"]) for node in kept] == [9] * 3 + [3] * 6
    assert sum(map(escaped_size, kept)) < room + 6 * 400


def test_a_changed_log_says_so(made, run):
    import shutil

    copy = made / "copies" / run.folder.name
    shutil.copytree(run.folder, copy)
    log = copy / "audit.jsonl"
    log.write_bytes(log.read_bytes().replace(b"use_sandbox", b"use_sandbag", 1))
    assert "The log has been changed" in render(gather(copy))


# --- the command


def test_the_command(run, tmp_path):
    done = command("report", str(run.folder), cwd=tmp_path)
    path = tmp_path / f"{run.folder.name}.html"
    assert done.stdout.strip() == path.name
    assert path.read_text("utf-8").startswith("<!doctype html>")
    command("report", str(run.folder), cwd=tmp_path)  # a report may be made anew
    (tmp_path / "x.html").write_text("something else")
    again = command("report", str(run.folder), "-o", "x.html", cwd=tmp_path, check=2)
    assert "--force" in again.stderr
    result = document(
        command("report", str(run.folder), "-o", "x.html", "--force", "--json", cwd=tmp_path)
    )
    assert set(result) == {"run", "path", "bytes"}
    assert result["bytes"] == (tmp_path / "x.html").stat().st_size
    assert sorted(each.name for each in tmp_path.glob("*.new")) == []


def test_a_folder_that_is_not_there(run, tmp_path):
    with pytest.raises(UserError, match="cannot be written"):
        run.report(tmp_path / "no" / "x.html")
