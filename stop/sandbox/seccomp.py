"""The seccomp profile: one JSON file for the engine, and the same compiled to BPF for each guest.

Docker takes the *text* of the profile, for a container as a whole. Each guest attaches the compiled
filter before it runs anything of a candidate. There, calls that no honest program makes (the
profile's TRACE rules) go to the relay, which denies and reports them: a guest cannot hide that it
tried. In the engine's filter the same rules deny without a word.
"""

from __future__ import annotations

import contextlib
import json
import platform
import sys
from functools import cache
from typing import Any

from stop._util.resources import resource_folder
from stop.errors import SandboxUnavailable

_ARCHITECTURES = {"x86_64": ("x86_64", 0xC000003E), "aarch64": ("arm64", 0xC00000B7)}
_X32_BIT = 0x40000000

_LOAD, _JUMP, _JUMP_EQ, _JUMP_GE, _AND, _RETURN = 0x20, 0x05, 0x15, 0x35, 0x54, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
NOTIFY = 0x7FC00000
_SUPERVISOR_ONLY = {
    *("setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "capset"),
    "seccomp",
}
"""What the profile allows because a guest must become less than its maker; watched afterwards."""
_RELAY_ONLY = {"inotify_init", "inotify_init1", "inotify_add_watch", "inotify_rm_watch"}
"""What the relay watches its decoys with; a user has few of them, which a guest must not use up."""


@cache
def profile_text() -> str:
    """The profile as Docker wants it: JSON text, not a path."""
    return (resource_folder("sandbox") / "seccomp.json").read_text("utf-8")


@cache
def compiled() -> list[list[int]]:
    """The filter of a guest as BPF for this machine: rows of [code, jump true, jump false, k].

    Understands what the profile uses: allow, errno and trace actions, and conditions on the low 32
    bits of one argument (equal, not equal, masked equal). Trace becomes `NOTIFY`. Numbers are found
    by binary search: a filter is gone through for every system call, and, when it is attached, for
    every number that there is.

    Raises:
        SandboxUnavailable: no table of system calls for this processor or this system.
    """
    arch_name, audit_arch = _architecture()
    profile = json.loads(profile_text())
    rules: dict[int, list[list[int]]] = {}
    for rule in profile["syscalls"]:
        for name, number in _numbers(rule["names"], arch_name):
            rules.setdefault(number, []).extend(_rule(name, rule))
    refusal = [_RETURN, 0, 0, _ERRNO | profile["defaultErrnoRet"]]
    program = [
        [_LOAD, 0, 0, 4],  # seccomp_data.arch
        [_JUMP_EQ, 1, 0, audit_arch],
        [_RETURN, 0, 0, _KILL],
        [_LOAD, 0, 0, 0],  # seccomp_data.nr
    ]
    if arch_name == "x86_64":
        program += [[_JUMP_GE, 0, 1, _X32_BIT], [_RETURN, 0, 0, _ERRNO | 38]]
    return program + _search(_ranges(rules, refusal))


def _ranges(
    rules: dict[int, list[list[int]]], refusal: list[int]
) -> list[tuple[int, list[list[int]]]]:
    """[(first number, code)]: neighbours with the same code are one range, gaps are refused."""
    found: list[tuple[int, list[list[int]]]] = [(0, [refusal])]
    for number in range(max(rules) + 2):
        code = [*rules.get(number, ()), refusal]
        if rules.get(number, [[0]])[0][0] == _RETURN:
            code = code[:1]
        if code != found[-1][1]:
            found.append((number, code))
    return found


def _search(ranges: list[tuple[int, list[list[int]]]]) -> list[list[int]]:
    """Code that goes to the range of the number that is loaded."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    below, above = _search(ranges[:middle]), _search(ranges[middle:])
    return [[_JUMP_GE, 0, 1, ranges[middle][0]], [_JUMP, 0, 0, len(below)], *below, *above]


@cache
def watched() -> dict[int, str]:
    """Names of the system calls that `compiled` hands to the relay, by number."""
    arch_name, _ = _architecture()
    rules = json.loads(profile_text())["syscalls"]
    names = {name for rule in rules for name in rule["names"] if _action(name, rule) == NOTIFY}
    return {number: name for name, number in _numbers(sorted(names), arch_name)}


def _architecture() -> tuple[str, int]:
    machine = platform.machine()
    if machine not in _ARCHITECTURES or sys.platform != "linux":
        raise SandboxUnavailable(
            f"no seccomp filter for {sys.platform} on {machine!r}",
            hint="use the docker backend: its engine compiles the profile",
        )
    return _ARCHITECTURES[machine]


def _action(name: str, rule: dict[str, Any]) -> int:
    """What a guest's filter answers where the rule applies."""
    if name in _SUPERVISOR_ONLY or rule["action"] == "SCMP_ACT_TRACE":
        return NOTIFY
    if rule["action"] == "SCMP_ACT_ERRNO":
        return _ERRNO | int(rule["errnoRet"])
    if name in _RELAY_ONLY:
        return _ERRNO | 1
    if rule["action"] == "SCMP_ACT_ALLOW":
        return _ALLOW
    raise ValueError(f"seccomp profile: unknown action {rule['action']}")


def _rule(name: str, rule: dict[str, Any]) -> list[list[int]]:
    """Code of one rule for its number; falls through when the argument is another."""
    action = _action(name, rule)
    if not rule.get("args"):
        return [[_RETURN, 0, 0, action]]
    (condition,) = rule["args"]
    value = condition["value"]
    tests = {
        "SCMP_CMP_EQ": [[_JUMP_EQ, 0, 1, value]],
        "SCMP_CMP_NE": [[_JUMP_EQ, 1, 0, value]],
        "SCMP_CMP_MASKED_EQ": [[_AND, 0, 0, value], [_JUMP_EQ, 0, 1, condition.get("valueTwo")]],
    }
    load = [_LOAD, 0, 0, 16 + 8 * condition["index"]]  # low word, little endian
    return [load, *tests[condition["op"]], [_RETURN, 0, 0, action]]


def _numbers(names: list[str], arch_name: str) -> list[tuple[str, int]]:
    """Returns (name, number) of these system calls, as far as this processor has them."""
    import system_calls  # noqa: PLC0415 - Linux only

    table, found = system_calls.syscalls(), []
    unknown = (system_calls.NoSuchSystemCall, system_calls.NotSupportedSystemCall)
    for name in names:
        with contextlib.suppress(*unknown):  # another processor's, or newer than the table
            found.append((name, table.get(name, arch_name)))
    return found
