"""The policy counts programs, remembers through the log, and never forgets at a restart."""

from __future__ import annotations

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stop.audit.evidence import MAX_DETAILS, join, seen, topic
from stop.audit.policy import Policy, tell_all
from stop.audit.tripwire import flag_events
from stop.errors import PolicyHalt
from stop.events import Level, SecurityEvent
from tests.audit.logs import cpu_seconds


def attempt(program: str, level: Level = Level.ATTEMPT) -> SecurityEvent:
    return SecurityEvent("sandbox_flag", level, "x", program)


def line(program: str, level: int = 2) -> dict[str, object]:
    return {"kind": "security", "level": level, "program_id": program}


def test_log_follows_nothing():
    policy = Policy("log")
    assert not policy.counts(attempt("a"))
    assert not policy.refuses("a")
    assert not policy.halts


def test_quarantine_refuses_the_program_and_no_other():
    policy = Policy("quarantine")
    assert policy.counts(attempt("a"))
    assert not policy.counts(attempt("a"))
    assert policy.refuses("a")
    assert not policy.refuses("b")
    assert not policy.halts


def test_intent_is_no_attempt_unless_it_is_asked_for():
    policy = Policy("quarantine")
    assert not policy.counts(attempt("a", Level.INTENT))
    strict = Policy("quarantine", level=Level.INTENT)
    assert strict.counts(attempt("a", Level.INTENT))


def test_halt_counts_programs_and_not_events():
    policy = Policy("halt", halt_after=2)
    for _ in range(1000):
        policy.counts(attempt("a"))
    assert not policy.halts
    policy.counts(attempt("b"))
    assert policy.halts


def test_a_restart_remembers_and_a_reason_settles_what_was_there():
    policy = Policy("halt")
    policy.remember(line("a"))
    assert policy.halts
    policy.remember({"kind": "resumed", "reason": "seen"})
    assert not policy.halts
    assert not policy.counts(attempt("a"))  # it tries again, as it must
    assert not policy.halts
    policy.counts(attempt("b"))
    assert policy.halts


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=30))
def test_replaying_the_log_gives_the_same_state(events):
    lived, replayed = Policy("quarantine"), Policy("quarantine")
    for program, level in events:
        lived.counts(attempt(program, Level(level)))
        replayed.remember(line(program, level))
    for program in "abc":
        assert lived.refuses(program) == replayed.refuses(program)


# --- the tripwire


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("use_sandbox", False),
        ("use_sandbox", 0),
        ("use_sandbox", 1),
        ("use_sandbox", None),
        ("use_sandbox", "True"),
        ("positional 2", False),
        ("sandbox", "off"),
        ("sandboxed", False),
        ("no_sandbox", True),
        ("disable_isolation", 1),
        ("unsafe", True),
        ("jail", None),
        ("runOutsideSandbox", True),
        ("positional 3", None),
        ("turn_off_sandbox", True),
        ("do_not_sandbox", True),
        ("sandbox_disabled", 1),
        ("sandbox", "never"),
        ("sandbox", "list: [] (false)"),
        ("config", "dict: {'use_sandbox': False}"),
        ("sand\u200bbox", False),
        ("\uff53\uff41ndbox", False),
    ],
)
def test_what_would_switch_it_off_is_an_attempt(name, value):
    (event,) = flag_events({name: value})
    assert (event.kind, event.level) == ("sandbox_flag", Level.ATTEMPT)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sandbox", True),
        ("isolation", "container"),
        ("unsafe", False),
        ("no_sandbox", False),
        ("untrusted", True),
        ("normalize", True),
        ("notes", False),
        ("verbose", False),
        ("timeout", 0),
        ("positional 2", 10),
        ("positional 2", "Timeout: <x>"),
        ("thread_safe", False),
        ("bypass_cache", True),
        ("trusted", True),
        ("config", "dict: {'sandbox_timeout': 3}"),
        ("offset", 0),
        ("safety_margin", 0),
        ("restrict_to", None),
        ("normalize_safe", True),
        ("notebook_safe", True),
        ("container", 0),
        ("protected_lines", []),
        ("sandbox_timeout", 0),
    ],
)
def test_what_would_not_is_none(name, value):
    assert all(event.level == Level.NONE for event in flag_events({name: value}))


def test_a_name_makes_no_line_of_its_own():
    (event,) = flag_events({"sandbox\n03:00:00  0  nothing": False})
    assert "\n" not in event.detail


def test_a_halt_does_not_swallow_the_events_that_come_with_it():
    heard = []

    def listen(event):
        heard.append(event)
        raise PolicyHalt("one too many")

    with pytest.raises(PolicyHalt):
        tell_all(listen, [attempt("a"), attempt("b"), attempt("c")])
    assert len(heard) == 3


@pytest.mark.parametrize("value", [" " * 60_000 + "x", "sandbox" * 9000, "x" * 200_000])
def test_a_long_value_costs_about_what_a_short_one_costs(value):
    def look_at(value):
        for _ in range(20):
            flag_events({f"{name}{i}": value for name in ("sandbox", "x") for i in range(20)})
            flag_events({value: False, "sandbox": value})

    assert cpu_seconds(look_at, value) < 20 * cpu_seconds(look_at, value[:200])


def test_a_value_of_another_kind_is_no_error_of_the_host():
    flag_events(
        {"sandbox": numpy.zeros(3), "use_sandbox": {"a": 1}, "positional 2": [numpy.ones(2)]}
    )


def test_true_is_silent():
    assert flag_events({"use_sandbox": True}) == []


@given(
    st.one_of(
        st.none(),
        st.text(),
        st.dictionaries(st.text(), st.one_of(st.none(), st.text(), st.integers(), st.floats())),
    )
)
def test_any_flags_are_taken(flags):
    for event in flag_events(flags):
        assert len(event.detail) <= 300


# --- evidence


def logged(kind: str, level: int, source: str, program: str = "p", detail: str = "d"):
    return {
        "kind": "security", "event": kind, "level": level, "source": source,
        "program_id": program, "detail": detail,
    }  # fmt: skip


def test_text_and_deeds_of_a_program_are_joined_by_topic():
    found = join(
        [
            logged("sandbox_flag", 1, "text", "tried"),
            logged("sandbox_flag", 2, "host", "tried"),
            logged("dynamic_code", 1, "text", "intended"),
            logged("network", 3, "kernel", "unannounced"),
            logged("system_module", 1, "text", "by topic"),
            logged("system_call", 3, "kernel", "by topic"),
            logged("unknown_argument", 0, "host", "harmless"),
        ]
    )
    assert {e.program_id: (e.join, int(e.level)) for e in found} == {
        "tried": ("tried", 2),
        "intended": ("intended", 1),
        "unannounced": ("unannounced", 3),
        "by topic": ("tried", 3),
    }


def test_a_thousand_calls_of_one_program_are_one_piece_of_evidence():
    (found,) = join(logged("sandbox_flag", 2, "host", detail=str(i)) for i in range(1000))
    assert found.events == 1000
    assert len(found.deeds) == MAX_DETAILS


def test_a_word_that_no_sensor_says_was_forged():
    assert seen("made_up", "x", "guest").level == Level.TAMPERING
    assert topic("made_up") == "made_up"
