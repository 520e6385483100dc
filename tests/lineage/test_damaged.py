"""Whatever somebody did to a store: no walk goes in a circle, and parents come first."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stop.lineage import Lineage
from stop.programs import program_id
from stop.store import Store

IDS = [program_id(str(i)) for i in range(6)]
programs = st.sampled_from(IDS)
maybe = st.none() | programs
RUNS = ["round/1", "round/2", "task/a/0/x", "sample/no_warning"]
improver_runs = st.lists(
    st.fixed_dictionaries(
        {
            "key": st.sampled_from(RUNS),
            "level": st.sampled_from(["meta", "task"]),
            "improver_id": programs,
            "initial_id": programs,
            "result_id": maybe,
            "status": st.sampled_from(["ok", "running"]),
            "started": st.sampled_from([0.0, 1.0, 2.0]),
        }
    ),
    max_size=5,
    unique_by=lambda row: row["key"],
)
utility_calls = st.lists(
    st.fixed_dictionaries({"improver_run": st.sampled_from([*RUNS, "gone"]), "program_id": maybe}),
    max_size=12,
)
rounds = st.lists(st.tuples(maybe, maybe), max_size=3)
samples = st.lists(maybe, max_size=3)


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(st.permutations(IDS), improver_runs, utility_calls, rounds, samples)
def test_the_lineage_is_a_forest(recorded, runs, calls, round_rows, sample_rows):
    with tempfile.TemporaryDirectory() as name:
        with closing(Store(Path(name) / "run.db")) as store:
            rows = [{"id": i, "kind": "improver", "source": i, "created": 0} for i in recorded]
            store.insert_many("programs", rows)
            store.insert_many("improver_runs", runs)
            made = [row | {"score": 1.0, "status": "ok", "at": 0.0} for row in calls]
            store.insert_many("utility_calls", made)
            for number, (improver, parent) in enumerate(round_rows):
                row = {"round": number, "improver_id": improver, "parent_id": parent}
                told = {"accepted": 1, "status": "ok", "detail": "", "finished": 0.0}
                store.insert_many("rounds", [row | told])
            for number, program in enumerate(sample_rows):
                row = {"cell": "no_warning", "number": number, "program_id": program}
                facts = {"status": "ok", "level": 0, "paper_rule": 0, "cut_off": 0, "findings": ""}
                store.insert_many("samples", [row | facts])
        lineage = Lineage(Path(name))
        nodes = list(lineage.nodes())
        assert [node.program_id for node in nodes] == list(recorded)
        known = {}
        for node in nodes:
            assert node.parent_id is None or node.parent_id in known
            above = known[node.parent_id] if node.parent_id else -1
            assert node.generation == above + 1
            known[node.program_id] = node.generation
        for node in nodes:
            ancestors = lineage.ancestors(node.program_id)
            assert len(ancestors) == node.generation
            assert [a.program_id for a in ancestors[:1]] == [node.parent_id][: len(ancestors)]
            children = [n.program_id for n in nodes if n.parent_id == node.program_id]
            assert [n.program_id for n in lineage.children(node.program_id)] == children
            assert lineage.origin(node.program_id).match == "none"
