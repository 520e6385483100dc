"""The seccomp profile: one JSON file for Docker, the same compiled to BPF for bubblewrap.

Docker takes the *text* of the profile. Where no engine applies it, guests attach the compiled
filter themselves before they run anything of a candidate.
"""

from __future__ import annotations

import json
import platform
from functools import cache
from typing import Any

from stop.errors import SandboxUnavailable
from stop.resources import resource_folder

_ARCHITECTURES = {"x86_64": ("x86_64", 0xC000003E), "aarch64": ("arm64", 0xC00000B7)}
_X32_BIT = 0x40000000

_LOAD, _JUMP_EQ, _JUMP_GE, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000


@cache
def profile_text() -> str:
    """The profile as Docker wants it: JSON text, not a path."""
    return (resource_folder("sandbox") / "seccomp.json").read_text("utf-8")


@cache
def compiled() -> list[list[int]]:
    """The profile as BPF for this machine: rows of [code, jump true, jump false, k].

    Understands what the profile uses: allow and errno actions, and conditions on the low 32 bits
    of one argument (equal, masked equal).
    """
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise SandboxUnavailable(
            f"no seccomp filter for processor type {machine!r}",
            hint="use the docker backend: its engine compiles the profile",
        )
    arch_name, audit_arch = _ARCHITECTURES[machine]
    profile = json.loads(profile_text())
    program = [
        [_LOAD, 0, 0, 4],  # seccomp_data.arch
        [_JUMP_EQ, 1, 0, audit_arch],
        [_RETURN, 0, 0, _KILL],
        [_LOAD, 0, 0, 0],  # seccomp_data.nr
    ]
    if machine == "x86_64":
        program += [[_JUMP_GE, 0, 1, _X32_BIT], [_RETURN, 0, 0, _ERRNO | 38]]
    for rule in profile["syscalls"]:
        for number in _numbers(rule["names"], arch_name):
            program += _rule(number, rule)
    return [*program, [_RETURN, 0, 0, _ERRNO | profile["defaultErrnoRet"]]]


def _rule(number: int, rule: dict[str, Any]) -> list[list[int]]:
    """Code for one system call; falls through when the number or the argument is another."""
    if rule["action"] == "SCMP_ACT_ERRNO":
        action = _ERRNO | rule["errnoRet"]
    elif rule["action"] == "SCMP_ACT_ALLOW":
        action = _ALLOW
    else:
        raise ValueError(f"seccomp profile: unknown action {rule['action']}")
    if not rule.get("args"):
        return [[_JUMP_EQ, 0, 1, number], [_RETURN, 0, 0, action]]
    (condition,) = rule["args"]
    load = [_LOAD, 0, 0, 16 + 8 * condition["index"]]  # low word, little endian
    if condition["op"] == "SCMP_CMP_EQ":
        test = [load, [_JUMP_EQ, 0, 1, condition["value"]]]
    elif condition["op"] == "SCMP_CMP_MASKED_EQ":
        masked = [_AND, 0, 0, condition["value"]]
        test = [load, masked, [_JUMP_EQ, 0, 1, condition["valueTwo"]]]
    else:
        raise ValueError(f"seccomp profile: unknown condition {condition['op']}")
    body = [*test, [_RETURN, 0, 0, action], [_LOAD, 0, 0, 0]]  # the next rule may be its, too
    return [[_JUMP_EQ, 0, len(body), number], *body]


def _numbers(names: list[str], arch_name: str) -> list[int]:
    from system_calls import (  # noqa: PLC0415 - Linux only
        NoSuchSystemCall,
        NotSupportedSystemCall,
        syscalls,
    )

    table = syscalls()
    found = []
    for name in names:
        try:
            number = table.get(name, arch_name)
        except (NoSuchSystemCall, NotSupportedSystemCall):
            continue  # another processor's call, or one newer than the table
        if number is not None and number >= 0:
            found.append(number)
    return found
