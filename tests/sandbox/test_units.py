"""The parts of the sandbox that need no guest: frames, filter, image, owner, pool."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stop.errors import SandboxBroken, SandboxUnavailable
from stop.sandbox import frames, seccomp
from stop.sandbox.guest import _modules, _request, _verdict
from stop.sandbox.image import PYTHON, build_rootfs
from stop.sandbox.owner import owner_is_dead, owner_mark
from stop.sandbox.pool import SandboxPool
from stop.sandbox.protocol import Answer, GuestLimits, Job, JobOutput
from tests.helpers.places import REPOSITORY

# --- frames

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=20)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=5), st.integers()), inner, max_size=4),
    ),
    max_leaves=20,
)


def travel(value: Any) -> Any:
    node, blobs = frames.pack(value)
    data = frames.encode({"value": node}, blobs)
    head, size = frames.PREFIX.unpack(data[:8])
    header = frames.decode_header(data[8 : 8 + head])
    assert len(data) == 8 + head + size
    return frames.unpack(header["value"], data[8 + head :])


@given(VALUES)
def test_values_travel_unchanged(value: Any) -> None:
    assert travel(value) == value


@given(
    hnp.arrays(
        dtype=st.sampled_from(["?", "i1", "u2", "<i4", ">i8", "f4", "f8"]),
        shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    )
)
def test_arrays_travel_unchanged(array: np.ndarray) -> None:
    got = travel([array])[0]
    assert got.shape == array.shape
    assert np.array_equal(got, array, equal_nan=array.dtype.kind == "f")


@given(st.binary(max_size=400))
def test_hostile_bytes_raise_frame_errors_only(data: bytes) -> None:
    try:
        header = frames.decode_header(data)
    except frames.FrameError:
        return
    assert type(header) is dict


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(st.sampled_from(["t", "d", "a", "x"]), inner, max_size=2),
    ),
    max_leaves=25,
)


@given(JSON, st.binary(max_size=64))
@settings(max_examples=300)
def test_hostile_nodes_raise_frame_errors_only(node: Any, blobs: bytes) -> None:
    try:
        value = frames.unpack(node, blobs)
    except frames.FrameError:
        return
    assert type(value) in (type(None), bool, int, float, str, list, tuple, dict, np.ndarray)


@given(st.lists(JSON, min_size=4, max_size=4), st.binary(max_size=64))
def test_hostile_arrays_raise_frame_errors_only(body: list[Any], blobs: bytes) -> None:
    for node in ({"a": body}, {"a": ["<f8", *body[1:]]}, {"a": ["|b1", [2], 0, 2]}):
        with contextlib.suppress(frames.FrameError):
            frames.unpack(node, blobs)


@given(JSON, st.binary(max_size=40))
def test_hostile_answers_become_verdicts(document: Any, blobs: bytes) -> None:
    text = json.dumps(document).encode()
    raw = frames.PREFIX.pack(len(text), len(blobs)) + text + blobs
    answer = _verdict({"cpu": 0.0, "wall": 0.0, "status": "guest"}, raw)
    assert answer.status in ("ok", "invalid", "error", "timeout", "oom")


@pytest.mark.parametrize(
    ("status", "shown", "tampering"),
    [
        ("too_large", "invalid", False),
        ("violation", "invalid", True),
        ("timeout", "timeout", False),
        ("clock", "timeout", False),
        ("oom", "oom", False),
        ("error", "error", False),
        ("of another kind", "error", False),
    ],
)
def test_the_relays_verdict_counts_and_not_its_text(
    status: str, shown: str, tampering: bool
) -> None:
    for detail in ("too_large: 9 bytes", "violation", "out of memory"):
        header = {"cpu": 1.0, "wall": 2.0, "status": status, "detail": detail}
        answer = _verdict(header, b"")
        assert (answer.status, answer.violation, answer.detail) == (shown, tampering, detail)
        assert answer.by_clock == (status == "clock")
        assert not answer.alive


@pytest.mark.parametrize("claim", ["timeout", "violation", "too_large", "ok", "guest"])
def test_a_guest_cannot_claim_a_verdict_of_the_relay(claim: str) -> None:
    text = json.dumps({"op": "answer", "problem": {"status": claim, "detail": "x"}}).encode()
    raw = frames.PREFIX.pack(len(text), 0) + text
    answer = _verdict({"cpu": 0.0, "wall": 0.0, "status": "guest"}, raw)
    assert (answer.status, answer.violation, answer.alive) == ("error", False, True)


@pytest.mark.parametrize(
    "value", [{"id": [1]}, {"id": True}, {"id": 1 << 80}, {"id": 1}, {"id": 1, "service": [1]}, {}]
)
def test_requests_must_be_what_the_client_sends(value: dict[str, Any]) -> None:
    text = json.dumps({"op": "request", "value": 1, **value}).encode()
    with pytest.raises(Exception, match="never sends"):
        _request(frames.PREFIX.pack(len(text), 0) + text)


def test_a_shape_bomb_costs_nothing() -> None:
    shape = [10**900] * 2000
    with pytest.raises(frames.FrameError):
        frames.unpack({"a": ["<f8", shape, 0, 0]})


def test_a_header_of_too_many_values_is_refused() -> None:
    with pytest.raises(frames.FrameError, match="values"):
        frames.decode_header(b'{"v":[' + b"[]," * frames.MAX_NODES + b"[]]}")


def test_deep_and_strange_values_are_refused() -> None:
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    for value in (deep, object(), {1.5: 1}, {(1,): 1}, b"bytes", {1, 2}, np.array([object()]), 1j):
        with pytest.raises(frames.FrameError):
            frames.pack(value)


def test_subclasses_are_sent_as_what_they_hold() -> None:
    class Liar(int):
        def __int__(self) -> int:
            return 666

    got = travel([Liar(3), np.float64(1.5), np.bool_(True), np.int8(4)])
    assert got == [3, 1.5, True, 4]
    assert [type(v) for v in got] == [int, float, bool, int]
    assert math.isnan(travel(float("nan")))


# --- seccomp


def test_the_filter_fits_and_ends_in_a_refusal() -> None:
    program = seccomp.compiled()
    assert len(program) < 4096
    assert program[-1][0] == 0x06
    assert program[-1][3] >> 16 == 5  # errno
    for index, (code, yes, no, k) in enumerate(program):
        if code in (0x15, 0x35):
            assert index + 1 + max(yes, no) < len(program)
        if code == 0x05:
            assert index + 1 + k < len(program)


def run_filter(number: int, arguments: tuple[int, ...] = (), arch: int = 0xC000003E) -> int:
    """What the filter answers: the classic BPF subset that `compiled` emits."""
    data = {0: number, 4: arch, **{16 + 8 * i: a & 0xFFFFFFFF for i, a in enumerate(arguments)}}
    value, place, program = 0, 0, seccomp.compiled()
    while True:
        code, yes, no, k = program[place]
        place += 1
        if code == 0x20:
            value = data.get(k, 0)
        elif code == 0x54:
            value &= k
        elif code == 0x15:
            place += yes if value == k else no
        elif code == 0x35:
            place += yes if value >= k else no
        elif code == 0x05:
            place += k
        else:
            return k


ALLOW, NOTIFY, REFUSED = 0x7FFF0000, 0x7FC00000, 0x00050001


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86_64")
def test_every_number_gets_what_the_profile_says() -> None:
    """The binary search against a plain look into the profile, for every number there is."""
    wanted: dict[int, set[int]] = {}
    for rule in json.loads(seccomp.profile_text())["syscalls"]:
        for name, number in seccomp._numbers(rule["names"], "x86_64"):
            wanted.setdefault(number, set()).add(seccomp._action(name, rule))
    for number in range(700):
        found = run_filter(number)
        assert found in wanted.get(number, set()) | {REFUSED}, number
        if len(wanted.get(number, ())) == 1 and number not in CONDITIONAL:
            assert {found} == wanted[number], number
    assert run_filter(0xFFFF) == REFUSED


CONDITIONAL = (9, 41, 56, 133, 135, 157, 259)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86_64")
@pytest.mark.parametrize(
    ("number", "arguments", "allowed"),
    [
        (0, (), True),  # read
        (41, (1,), True),  # socket AF_UNIX
        (41, (2,), False),
        (41, (38,), False),
        (56, (0x11,), True),  # clone SIGCHLD
        (56, (0x10000011,), False),  # CLONE_NEWUSER
        (9, (0, 4096, 3, 0x22), True),  # mmap, private anonymous
        (9, (0, 4096, 3, 0x01), True),  # shared, of a file
        (9, (0, 4096, 3, 0x21), False),  # shared anonymous
        (101, (), False),  # ptrace
        (165, (), False),  # mount
        (319, (), False),  # memfd_create
        (425, (), False),  # io_uring_setup
        (0x40000000, (), False),  # x32
    ],
)
def test_the_filter_decides(number: int, arguments: tuple[int, ...], allowed: bool) -> None:
    assert (run_filter(number, arguments) == ALLOW) is allowed
    assert run_filter(number, arguments, arch=0x40000003) == 0x80000000  # i386: killed


# --- the guest's code


def test_every_module_of_the_guest_is_sent() -> None:
    files = {path.stem for path in (REPOSITORY / "sandbox/guest").glob("*.py")}
    sent = {name.removeprefix("guest.") for name, _ in _modules() if name.startswith("guest.")}
    assert files - sent == {"__init__", "bootstrap", "probe"}
    names = [name for name, _ in _modules()]
    assert all(name.rpartition(".")[0] in {"", *names[:i]} for i, name in enumerate(names))


# --- image


def test_the_image_is_built_once_and_holds_what_it_must() -> None:
    first = build_rootfs()
    assert build_rootfs() == first
    assert (first.folder / PYTHON.lstrip("/")).stat().st_mode & 0o111
    assert first.digest.startswith("sha256:")
    names = {p.name for p in (first.folder / "opt").rglob("*.py")}
    assert not names & {"relay.py", "utility.py", "nursery.py"}
    for cached in first.folder.rglob("*.pyc"):  # byte code of what is there, of nothing else
        source = cached.parent.parent / (cached.name.split(".cpython")[0] + ".py")
        assert source.is_file(), cached
    for scratch in ("tmp", "dev/shm"):
        assert (first.folder / scratch).stat().st_mode & 0o7777 == 0o1777
    assert not [p for p in first.folder.rglob("*") if p.lstat().st_mode & 0o6000 and p.is_file()]


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(SandboxUnavailable, match="no-such-package-here"):
        build_rootfs(("no-such-package-here",))


# --- owner


def test_the_living_own_what_they_mark() -> None:
    assert not owner_is_dead(owner_mark())


def test_the_dead_do_not() -> None:
    script = "from stop.sandbox.owner import owner_mark; print(owner_mark())"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root
    )
    assert owner_is_dead(done.stdout.strip())


@given(st.text(max_size=40))
def test_strange_marks_are_left_alone(mark: str) -> None:
    assert not owner_is_dead(mark) or mark.count(":") == 3


def test_another_machine_is_left_alone() -> None:
    _, boot, pid, start = owner_mark().split(":")
    assert not owner_is_dead(":".join(["elsewhere", boot, pid, start]))


# --- pool


class FakeGuest:
    def __init__(self, number: int) -> None:
        self.name = f"fake-{number}"
        self.closed = False

    async def start(self, job: Job) -> Answer:
        return Answer("ok")

    async def call(self, args: tuple[Any, ...], **_: Any) -> Answer:
        return Answer("ok")

    async def end(self) -> JobOutput:
        return JobOutput()

    async def aclose(self) -> None:
        self.closed = True


class FakeSandbox:
    name = "fake"
    image_digest = "sha256:0"

    def __init__(self) -> None:
        self.guests: list[FakeGuest] = []

    async def open(self) -> None: ...

    async def start(self, limits: GuestLimits) -> FakeGuest:
        await asyncio.sleep(0)
        self.guests.append(FakeGuest(len(self.guests)))
        return self.guests[-1]

    async def aclose(self) -> None: ...


async def test_levels_never_starve_each_other() -> None:
    pool = SandboxPool(FakeSandbox(), evaluations=1, improver_runs=1)

    async def outer() -> str:
        async with pool.improver_guest(0), pool.improver_guest(1), pool.evaluation_guest():
            await asyncio.sleep(0)
        return "done"

    async with asyncio.timeout(5):
        assert await asyncio.gather(*(outer() for _ in range(5))) == ["done"] * 5
    await pool.aclose()


async def test_fork_isolation_lends_the_same_guest_again() -> None:
    sandbox = FakeSandbox()
    pool = SandboxPool(sandbox, evaluations=1)
    names = []
    for _ in range(3):
        async with pool.evaluation_guest() as guest:
            names.append(guest.name)
    await pool.aclose()
    assert set(names) == {"fake-0"}
    assert all(guest.closed for guest in sandbox.guests)


async def test_container_isolation_lends_each_guest_once() -> None:
    sandbox = FakeSandbox()
    pool = SandboxPool(sandbox, isolation="container", evaluations=2)
    await pool.warm(1)
    names = []

    async def lease() -> None:
        async with pool.evaluation_guest() as guest:
            names.append(guest.name)
            await asyncio.sleep(0.001)

    await asyncio.gather(*(lease() for _ in range(6)))
    await pool.aclose()
    assert len(names) == len(set(names)) == 6
    assert all(guest.closed for guest in sandbox.guests)


async def test_a_broken_guest_is_replaced() -> None:
    sandbox = FakeSandbox()
    pool = SandboxPool(sandbox, evaluations=1)
    with pytest.raises(SandboxBroken):
        async with pool.evaluation_guest() as guest:
            raise SandboxBroken("gone")
    async with pool.evaluation_guest() as second:
        assert second is not guest
    await pool.aclose()
    assert sandbox.guests[0].closed
