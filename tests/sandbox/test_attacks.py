"""Attacks on the sandbox through its own protocol, on each backend and under both isolations.

Every attack is followed by an honest evaluation in what it left behind, and canaries on the host
decide. Where an attack is an attempt to get out, it must have been seen, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stop.sandbox import GuestLimits, Job
from stop.sandbox.docker import connect
from stop.sandbox.protocol import Guest, Sandbox
from stop.testing.sandbox_contract import ECHO, evaluate

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "canary-secret-4711"


class Canaries:
    """A file, a variable and a port on the host: untouched and unseen, or the test fails."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "canary.txt"
        self.file.write_text(SECRET)
        os.environ["STOP_CANARY"] = SECRET
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.setblocking(False)
        self.port = self.server.getsockname()[1]

    def check(self) -> None:
        assert self.file.read_text() == SECRET
        assert os.environ["STOP_CANARY"] == SECRET
        with pytest.raises(BlockingIOError):
            self.server.accept()

    def close(self) -> None:
        self.server.close()
        del os.environ["STOP_CANARY"]


@pytest.fixture
def canaries(tmp_path: Path):
    made = Canaries(tmp_path)
    yield made
    made.check()
    made.close()


def program(body: str, head: str = "") -> str:
    lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
    return f"{head}\ndef algorithm(x):\n{lines}"


async def attack(
    guest: Guest, body: str, arg: Any = 0, head: str = "", seen: str = "", **how: Any
) -> Any:
    """Run it, see signs of the kind `seen`; then the guest must serve an honest program as ever."""
    answer = await evaluate(guest, program(body, head), arg, **how)
    kinds = {sign.kind for sign in guest.signs}
    assert not seen or seen in kinds, (kinds, answer)
    after = await evaluate(guest, ECHO, [1, 2])
    assert after.value == [1, 2], after
    return answer


def denied(statement: str) -> str:
    """A body that returns "denied" when the statement is refused, else "done"."""
    return (
        f"try:\n    {statement}\nexcept (OSError, ValueError):\n    return 'denied'\nreturn 'done'"
    )


ESCAPES = {  # statement, and the kind of sign that tells of it
    "E13-docker-socket": (
        "import socket; socket.socket(1).connect('/var/run/docker.sock')",
        "probe",
    ),
    "E13-open-run": ("import os; os.listdir('/var/run')", ""),
    "E14-chroot": ("import os; os.chroot('/tmp')", "system_call"),
    "E15-proc-mem": (
        "open('/proc/%d/mem' % (__import__('os').getppid() or 2), 'rb').read(1)",
        "probe",
    ),
    "E16-core-pattern": ("open('/proc/sys/kernel/core_pattern', 'w')", "probe"),
    "E16-sysrq": ("open('/proc/sysrq-trigger', 'w')", "probe"),
    "E19-mknod": (
        "import os, stat; os.mknod('/tmp/disk', 0o600 | stat.S_IFBLK, os.makedev(8, 0))",
        "system_call",
    ),
    "E20-setuid": ("import os; os.setuid(0); open('/etc/stop-canary', 'w')", "system_call"),
    "E20-write-etc": ("open('/etc/passwd', 'a').write('x')", "probe"),
    "E20-write-etc-by-detour": ("open('/tmp/../etc//passwd', 'a').write('x')", "probe"),
    "E20-remove": ("import os; os.remove('/etc/passwd')", "probe"),
    "E15-signal-1": ("import os; os.kill(os.getppid() or 2, 9)", "probe"),
    "E24-inotify": (
        "import ctypes\n    if ctypes.CDLL(None).inotify_init1(0) < 0: raise OSError",
        "",
    ),
    "E21-inet": ("import socket; socket.create_connection(('127.0.0.1', PORT), 2)", "network"),
    "E21-dns": ("import socket; socket.getaddrinfo('example.org', 80)", "lookup"),
    "E21-metadata": (
        "import socket; socket.create_connection(('169.254.169.254', 80), 2)",
        "network",
    ),
    "E21-inet6": ("import socket; socket.socket(socket.AF_INET6)", "network"),
    "E21-netlink": (
        "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "network",
    ),
    "E21-child": (
        "import os, socket\n    child = os.fork()\n    if child == 0:\n"
        "        try: socket.socket()\n        finally: os._exit(0)\n"
        "    os.waitpid(child, 0); raise OSError",
        "network",
    ),
    "H68-host-file": ("open('CANARY').read()", ""),
    "H68-host-file-by-proc": ("open('/proc/1/root' + 'CANARY').read()", "probe"),
    "H69-environ-of-1": (
        "import os; assert SECRET not in open('/proc/%d/environ' % (os.getppid() or 2)).read()",
        "probe",
    ),
    "P86-write-python": ("open('/opt/python/bin/python3', 'r+b')", "probe"),
}


@pytest.mark.parametrize("name", ESCAPES)
async def test_escape(guest: Guest, canaries: Canaries, name: str) -> None:
    statement, seen = ESCAPES[name]
    statement = statement.replace("PORT", str(canaries.port))
    statement = statement.replace("CANARY", str(canaries.file)).replace("SECRET", repr(SECRET))
    answer = await attack(guest, denied(statement), seen=seen)
    assert answer.value == "denied", answer


async def test_h68_decoys_tell_who_opens_them(guest: Guest, canaries: Canaries) -> None:
    for path in ("/run/secrets/openai_api_key", "/run/stop/config.json"):
        await attack(guest, f"return open({path!r}).read()", seen="canary")
        gone = denied(f"import os; os.remove({path!r})")
        assert (await attack(guest, gone)).value == "denied"
        gone = denied(f"open({path!r}, 'w')")
        assert (await attack(guest, gone, seen="probe")).value == "denied"


async def test_s9_s10_what_names_the_sandbox_is_seen(guest: Guest, canaries: Canaries) -> None:
    await attack(guest, "import os; os.environ['USE_SANDBOX'] = '0'", seen="environment")
    await attack(guest, "import os; os.putenv('STOP_SANDBOX', 'off')", seen="environment")
    await attack(guest, "open('/tmp/.env', 'w').write('x')", seen="configuration")
    await attack(
        guest,
        "import os; open('/tmp/x', 'w'); os.rename('/tmp/x', '/tmp/sandbox.toml')",
        seen="configuration",
    )


async def test_l95_a_flood_of_refused_calls_is_counted(guest: Guest, canaries: Canaries) -> None:
    body = "for i in range(3000): call(101, i, 0, 0, 0)\nreturn 'done'"
    await guest.start(Job(program(body, _SYSCALL), "algorithm"))
    answer = await guest.call((0,), cpu_seconds=5, wall_seconds=20)
    await guest.end()
    assert answer.value == "done"
    told = [sign.detail for sign in guest.signs if sign.kind == "system_call"]
    assert len(told) == 9
    assert told[-1] == "and 2992 more"


async def test_a_forged_word_of_the_hook_is_told(guest: Guest, canaries: Canaries) -> None:
    await attack(guest, 'import os; os.write(4, b\'{"kind": [], "detail": 1}\')', seen="frames")
    flood = (
        "import json, os\nfor i in range(9000):\n"
        "    try: os.write(4, json.dumps({'kind': f'k{i}', 'detail': 'x' * 500}).encode())\n"
        "    except BlockingIOError: pass\nreturn 1"
    )
    await guest.start(Job(program(flood), "algorithm"))
    await guest.call((0,), cpu_seconds=5, wall_seconds=20)
    await guest.end()
    assert {sign.kind for sign in guest.signs} == {"frames"}
    assert len(guest.signs) < 20
    empty = "import socket; s = socket.socket(fileno=4); [s.send(b'') for _ in range(50)]"
    await attack(guest, f"{empty}; s.detach(); open('/proc/9/mem', 'rb')", seen="frames")


def _processes(guest: Guest) -> dict[str, float]:
    """CPU seconds of each process in this sandbox that runs our code, by its number on the host."""
    if guest.name.startswith("bwrap-"):
        inside = {guest.name.removeprefix("bwrap-")}
    else:
        client = connect()
        inside = {str(client.containers.get(guest.name).attrs["State"]["Pid"])}
        client.close()
    found = {}
    for folder in sorted(Path("/proc").glob("[0-9]*"), key=lambda each: int(each.name)):
        with contextlib.suppress(OSError):
            fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
            if folder.name not in inside and fields[1].decode() not in inside:
                continue
            inside.add(folder.name)
            if b"guest.boot" in (folder / "cmdline").read_bytes():
                ticks = int(fields[11]) + int(fields[12])
                found[folder.name] = ticks / os.sysconf("SC_CLK_TCK")
    assert found
    return found


async def until(done: Callable[[], bool]) -> None:
    """Waits for something that a busy machine may delay."""
    async with asyncio.timeout(120):
        while not done():  # noqa: ASYNC110 - seen in /proc only
            await asyncio.sleep(0.05)


async def test_a_silenced_hook_is_told_and_costs_nothing(guest: Guest, canaries: Canaries) -> None:
    before = sum(_processes(guest).values())
    await attack(guest, "import os, time; os.close(4); time.sleep(1.5)", seen="client")
    assert sum(_processes(guest).values()) - before < 0.5
    silenced = "import sys; sys.modules['guest.hooks']._HANDLERS.clear()"
    assert (await evaluate(guest, program(silenced), 0)).status == "error"


_OURS = ("guest", "guest.child", "guest.hooks", "guest.services", "stop.sandbox.frames", "hooks")


async def test_no_module_of_ours_is_found_by_name(guest: Guest, canaries: Canaries) -> None:
    """But for `helpers`; neither among the loaded modules nor by an import."""
    body = (
        "import importlib, sys\nours = set()\nfor name, module in list(sys.modules.items()):\n"
        "    for value in list(getattr(module, '__dict__', {}).values()):\n"
        "        code = getattr(value, '__code__', None)\n"
        "        if getattr(code, 'co_filename', '').startswith('<stop:'):\n"
        "            if value.__globals__ is module.__dict__: ours.add(name)\n"
        f"for name in {_OURS}:\n    try: importlib.import_module(name)\n"
        "    except ModuleNotFoundError: pass\n    else: ours.add(name)\nreturn sorted(ours)"
    )
    assert (await attack(guest, body, head="import helpers")).value == ["helpers"]


async def test_a_program_can_use_the_names_of_our_modules(guest: Guest, canaries: Canaries) -> None:
    """They are then its own, and ours go on with theirs."""
    body = (
        "import os, sys\nfor name in ('guest', 'stop', 'stop/sandbox'):\n"
        "    os.makedirs(f'/tmp/{name}')\n    open(f'/tmp/{name}/__init__.py', 'w').close()\n"
        "for name in ('guest/services', 'stop/sandbox/frames'):\n"
        "    open(f'/tmp/{name}.py', 'w').write('pack = send = lambda *_: 1 / 0')\n"
        "sys.path.insert(0, '/tmp')\nimport guest.services, stop.sandbox.frames\n"
        "return [stop.sandbox.frames.__file__, guest.services.__file__]"
    )
    answer = await attack(guest, body)
    assert answer.value == ["/tmp/stop/sandbox/frames.py", "/tmp/guest/services.py"], answer


async def test_the_code_around_a_program_keeps_its_text_to_itself(
    guest: Guest, canaries: Canaries
) -> None:
    """No variable of a frame below the program's holds the text of a module."""
    body = (
        "import sys\nframe, found = sys._getframe(1), []\nwhile frame:\n"
        "    for scope in (frame.f_globals, frame.f_locals):\n"
        "        found += [n for n, v in scope.items() if 'def ' 'packed_filter' in repr(v)]\n"
        "    frame = frame.f_back\nreturn found"
    )
    assert (await attack(guest, body)).value == []


async def test_canaries_of_one_guest_are_not_laid_to_the_next(
    guest: Guest, canaries: Canaries
) -> None:
    body = (
        "import os\nfor _ in range(6): os.fork()\npaths = ['/run/secrets/openai_api_key', "
        "'/run/stop/config.json']\nfor i in range(300): open(paths[i % 2]).close()\nreturn 1"
    )
    await evaluate(guest, program(body), 0)
    for _ in range(3):
        await evaluate(guest, ECHO, 1)
        assert not guest.signs


async def test_the_filter_cannot_be_taken_over(guest: Guest, canaries: Canaries) -> None:
    """Neither by another filter on top, nor by the descriptor that answers the first one."""
    body = (
        "filters = [call(317, 1, 8, 0), call(317, 2, 0, 0), call(157, 22, 2, 0)]\n"
        "return filters, sorted(int(n) for n in os.listdir('/proc/self/fd'))[:6]"
    )
    filters, descriptors = (await attack(guest, body, head=_SYSCALL)).value
    assert all(result < 0 for result in filters)
    assert len([fd for fd in descriptors if fd <= 4]) == 5
    assert (await attack(guest, "return call(101, 16, 1, 0, 0)", head=_SYSCALL)).value == -1


_SYSCALL = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
call = lambda *a: -ctypes.get_errno() if libc.syscall(*a) == -1 else 0
"""
UNSEEN = ("R28-memfd", "R28-shared-anonymous")
"""Denied, and no sign of an attempt: libraries may ask for them."""
SYSTEM_CALLS = {
    "E14-mount": "165, b'tmpfs', b'/tmp', b'tmpfs', 0, 0",
    "E14-unshare-user": "272, 0x10000000",
    "E14-setns": "308, 0, 0",
    "E15-ptrace-attach": "101, 16, os.getppid(), 0, 0",
    "E15-process-vm-readv": "310, os.getppid(), 0, 0, 0, 0, 0",
    "E19-open-by-handle": "304, -100, 0, 0",
    "E24-io-uring": "425, 1, 0",
    "E24-bpf": "321, 0, 0, 0",
    "E24-keyctl": "250, 0, 0",
    "E24-userfaultfd": "323, 0",
    "E24-af-alg": "41, 38, 5, 0",
    "E24-vsock": "41, 40, 1, 0",
    "E24-perf": "298, 0, 0, 0, 0, 0",
    "R28-memfd": "319, b'x', 0",
    "R28-shared-anonymous": "9, 0, 4096, 3, 0x21, -1, 0",
}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86_64")
@pytest.mark.parametrize("name", SYSTEM_CALLS)
async def test_system_call(guest: Guest, canaries: Canaries, name: str) -> None:
    seen = (
        "" if name in UNSEEN else "network" if "-af-" in name or "vsock" in name else "system_call"
    )
    body = f"return call({SYSTEM_CALLS[name]})"
    answer = await attack(guest, body, head=_SYSCALL, seen=seen)
    assert answer.value in (-1, -38), answer  # EPERM, ENOSYS


async def test_e24_nothing_in_scratch_is_executed(guest: Guest, canaries: Canaries) -> None:
    body = "import shutil, subprocess\nshutil.copy('/opt/python/bin/python3', '/tmp/p')\n"
    body += "import os\nos.chmod('/tmp/p', 0o755)\n" + denied("subprocess.run(['/tmp/p', '-V'])")
    assert (await attack(guest, body)).value == "denied"


async def test_e18_host_processes_are_not_seen(guest: Guest, canaries: Canaries) -> None:
    body = "import os\nreturn [int(p) for p in os.listdir('/proc') if p.isdigit()]"
    seen = (await attack(guest, body)).value
    assert len(seen) <= 4
    assert os.getpid() not in seen


EXHAUSTION = {
    "R26-fork-bomb": ("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", 3.0),
    "R26-fork-chain": ("import os\nwhile True:\n    if os.fork(): os._exit(0)", 2.0),
    "R28-balloon": ("k = []\nwhile True: k.append(bytearray(1 << 24))", 9.0),
    "R28-balloon-in-children": (
        "import os, time\nfor _ in range(8): os.fork()\nk = bytearray(b'x') * (60 << 20)\n"
        "time.sleep(30)",
        9.0,
    ),
    "R33-busy-in-c": (
        "import signal\nfor s in (15, 24, 14): signal.signal(s, signal.SIG_IGN)\n"
        "return 3 ** (3 ** 19)",
        9.0,
    ),
    "R33-regex": ("import re\nreturn bool(re.match(r'(a+)+$', 'a' * 40 + 'b'))", 9.0),
    "R33-stopped": ("import os, signal, time\nos.kill(0, signal.SIGSTOP)\ntime.sleep(60)", 1.0),
    "R34-sleep": ("import time\ntime.sleep(60)", 0.5),
}


@pytest.mark.parametrize("name", EXHAUSTION)
async def test_exhaustion(guest: Guest, canaries: Canaries, name: str) -> None:
    body, wall = EXHAUSTION[name]
    answer = await attack(guest, body, cpu_seconds=0.5, wall_seconds=wall, memory_mb=256)
    wanted = (
        {"oom"} if "balloon" in name and "children" not in name else {"timeout", "oom", "error"}
    )
    assert answer.status in wanted, answer
    # How late the end comes is measured in what the attack gained, not by the clock.
    assert answer.cpu_seconds < 0.5 + 2
    if name in ("R33-stopped", "R34-sleep"):
        assert answer.status == "timeout"
        assert answer.wall_seconds >= wall


async def test_r27_thread_bomb(guest: Guest, canaries: Canaries) -> None:
    body = (
        "import threading, time\nn = 0\ntry:\n    while n < 9999:\n"
        "        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "        n += 1\nexcept RuntimeError: pass\nreturn n"
    )
    assert (await attack(guest, body)).value <= GuestLimits().pids


async def test_r29_scratch_is_limited(guest: Guest, canaries: Canaries) -> None:
    body = (
        "import os\ntotal = 0\nfor place in ('/tmp', '/dev/shm'):\n    try:\n"
        "        for i in range(9):\n            with open(f'{place}/{i}', 'wb') as f:\n"
        "                for _ in range(16): total += f.write(b'x' * (1 << 20))\n"
        "    except OSError: pass\nreturn total >> 20"
    )
    assert (await attack(guest, body)).value <= 2 * GuestLimits().tmpfs_mb
    empty = await evaluate(
        guest, program("import os\nreturn os.listdir('/tmp') + os.listdir('/dev/shm')"), 0
    )
    assert empty.value == []


async def test_r31_a_gigabyte_on_stdout(guest: Guest, canaries: Canaries) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    source = program("import os\nb = b'x' * (1 << 20)\nfor _ in range(1024): os.write(1, b)")
    await guest.start(Job(source, "algorithm"))
    await guest.call((0,), cpu_seconds=20, wall_seconds=300)
    output = await guest.end()
    assert output.stdout_bytes == 1 << 30
    assert len(output.stdout) == 64 << 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


async def test_r32_a_flood_of_stderr_beside_an_honest_answer(
    guest: Guest, canaries: Canaries
) -> None:
    body = "import os\nfor _ in range(256): os.write(2, b'x' * (1 << 20))\nreturn 4"
    await guest.start(Job(program(body), "algorithm"))
    answer = await guest.call((0,), cpu_seconds=20, wall_seconds=300)
    output = await guest.end()
    assert answer.value == 4
    assert output.stderr_bytes == 256 << 20
    assert len(output.stderr) == 64 << 10


async def test_r35_daemons_die(guest: Guest, canaries: Canaries) -> None:
    daemon = (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        while True:\n            try: open('/tmp/alive', 'w').close()\n"
        "            except OSError: pass\n    os._exit(0)\nos.wait()\nreturn 'left'"
    )
    assert (await attack(guest, daemon)).value == "left"
    look = "import os, time\ntime.sleep(0.2)\nreturn os.listdir('/tmp')"
    assert (await attack(guest, look)).value == []


async def test_r35_a_daemon_that_holds_the_channel(guest: Guest, canaries: Canaries) -> None:
    body = "import os, time\nif os.fork(): os._exit(0)\nos.setsid()\ntime.sleep(60)"
    answer = await attack(guest, body, wall_seconds=30)
    assert answer.status == "error", "it was not noticed before the limit of the clock"


async def test_r36_scratch_too_deep_or_sticky_is_wiped(guest: Guest, canaries: Canaries) -> None:
    body = (
        "import os\nos.mkdir('/tmp/s'); os.chmod('/tmp/s', 0o1777); open('/tmp/s/f', 'w').close()\n"
        "os.mkdir('/tmp/n'); os.chmod('/tmp/n', 0)\nopen(b'/tmp/\\xff\\n', 'w').close()\n"
        "os.symlink('/', '/tmp/link')\n"
        "for _ in range(2000):\n    os.mkdir('d'); os.chdir('d')\nreturn 1"
    )
    assert (await attack(guest, body, wall_seconds=20)).value == 1
    assert (await attack(guest, "import os\nreturn os.listdir('/tmp')")).value == []


_FRAME = """
import os, struct, sys
def frame(text, blobs=b''):
    if isinstance(text, str):
        text = text.replace('"answer"', '"answer","number":%d' % number())
    text = text.encode() if isinstance(text, str) else text
    os.write(3, struct.pack('!II', len(text), len(blobs)) + text + blobs)
def number():
    above = sys._getframe()
    while 'call' not in above.f_locals:
        above = above.f_back
    return above.f_locals['call']['number']
"""
FRAMES = {
    "R38-deep-json": "frame('[' * 100000)",
    "R38-no-object": "frame('7')",
    "R38-huge-integer": "frame('{\"op\":\"answer\",\"value\":' + '9' * 5000 + '}')",
    "R38-many-nodes": "frame('{\"op\":\"answer\",\"value\":[' + '[],' * 300000 + '[]]}')",
    "R38-shape-bomb": 'frame(\'{"op":"answer","value":{"a":["<f8",[\' + \',\'.join([\'9\' * 999] * 900)'  # noqa: E501
    " + '],0,0]}}')",
    "R38-nested-status": "frame('{\"op\":\"answer\",\"problem\":{\"status\":' + '[' * 900 + ']' * 900 + '}}')",  # noqa: E501
    "F45-unknown-op": 'frame(\'{"op":"ended","clean":true}\')',
    "F45-list-op": "frame('{\"op\":[1]}')",
    "F45-huge-prefix": "os.write(3, b'\\xff' * 8)",
    "F45-loaded-again": 'frame(\'{"op":"loaded"}\')',
    "F45-request-id": 'frame(\'{"op":"request","id":[1],"service":"utility","value":1}\')',
    "F45-halt-blob": "frame('{\"op\":\"halt\"}', b'x' * 99999)",
    "F60-pickle": "import pickle; frame(pickle.dumps({'op': 'answer', 'value': 1}))",
}


@pytest.mark.parametrize("name", FRAMES)
async def test_forged_frame(guest: Guest, canaries: Canaries, name: str) -> None:
    body = f"import time\n{FRAMES[name]}\ntime.sleep(600)"
    answer = await attack(guest, body, head=_FRAME, wall_seconds=30)
    assert answer.status in ("invalid", "error") or name == "R38-many-nodes", answer
    assert answer.status != "timeout", "the frame was not noticed before the limit of the clock"


async def test_f45_writing_to_every_descriptor(guest: Guest, canaries: Canaries) -> None:
    body = (
        'import os\nfor fd in range(256):\n    try: os.write(fd, b\'{"op":"answer","value":1}\')\n'
        "    except OSError: pass\nreturn 2"
    )
    answer = await attack(guest, body)
    assert answer.status == "invalid"
    assert answer.violation


async def test_f44_printing_is_no_result(guest: Guest, canaries: Canaries) -> None:
    fake = '{"op":"answer","value":{"t":[1]}}'
    answer = await attack(guest, f"print({fake!r})\nreturn 3")
    assert answer.value == 3


async def test_f55_both_sides_of_a_fork_may_return(guest: Guest, canaries: Canaries) -> None:
    """A mistake, and no tampering: the first process alone answers."""
    body = "import os, time\nif os.fork(): time.sleep(0.3)\nreturn 5"
    await guest.start(Job(program(body), "algorithm"))
    for _ in range(2):
        answer = await guest.call((0,), cpu_seconds=1, wall_seconds=60)
        assert answer.value == 5
        assert not answer.violation
    assert not (await guest.end()).violation


async def test_f55_two_answers_are_one_and_told(guest: Guest, canaries: Canaries) -> None:
    body = (
        "import os, threading, time\nn = number()\ndef later():\n    time.sleep(0.3)\n"
        '    text = b\'{"op":"answer","number":%d,"value":9}\' % n\n'
        "    os.write(3, struct.pack('!II', len(text), 0) + text)\n"
        "if x: time.sleep(600)\nthreading.Thread(target=later).start()\nreturn 5"
    )
    await guest.start(Job(program(body, _FRAME), "algorithm"))
    first = await guest.call((0,), cpu_seconds=1, wall_seconds=30)
    await asyncio.sleep(0.6)  # the second answer comes to no question, or, if it is late, to one
    second = await guest.call((1,), cpu_seconds=1, wall_seconds=30)
    await guest.end()
    assert first.value == 5
    assert second.violation
    assert (await evaluate(guest, ECHO, 1)).value == 1


VERDICTS = {
    "F41-exit-at-import": ("import sys\nsys.exit(0)\n", "error"),
    "F42-exit-in-call": (program("import os\nos.write(3, b'\\0\\0')\nos._exit(0)"), "error"),
    "F48-object-array": (program("import numpy\nreturn numpy.array([object()])"), "invalid"),
    "F51-hostile-subclass": (
        program(
            "class S(str):\n    def __eq__(self, o): return True\n    __hash__ = None\n"
            "return {'k': S('a')}"
        ),
        "ok",
    ),
    "F54-hostile-key": (
        program("class K:\n    dtype = 1\n    def __hash__(self): return 1\nreturn {K(): 1}"),
        "invalid",
    ),
    "H71-raising-repr": (
        program("class E(Exception):\n    def __str__(self): raise E()\nraise E()"),
        "error",
    ),
    "F63-dropped-modules": (
        program(
            "import os\nfor n in ('sitecustomize.py', 'x.pth', 'conftest.py', 'numpy.py'):\n"
            "    open('/tmp/' + n, 'w').write('raise SystemExit')\nreturn 1"
        ),
        "ok",
    ),
    "P92-archive-names": (
        program("for n in ('../a', 'a\\0b', '/etc/x'):\n    pass\nreturn ['../a', 'a\\0b']"),
        "ok",
    ),
}


@pytest.mark.parametrize("name", VERDICTS)
async def test_verdict(guest: Guest, canaries: Canaries, name: str) -> None:
    source, wanted = VERDICTS[name]
    answer = await evaluate(guest, source, 0)
    assert answer.status == wanted, answer
    assert (await evaluate(guest, ECHO, 1)).value == 1
    if name.startswith("F51"):
        assert type(answer.value["k"]) is str


async def test_f52_inputs_are_copies(guest: Guest, canaries: Canaries) -> None:
    mine = [[1, 2], np.zeros(3)]
    await evaluate(guest, program("x[0].clear()\nx[1] += 1\nreturn 1"), mine)
    assert mine[0] == [1, 2]
    assert not mine[1].any()


async def test_f56_f57_patches_end_with_their_guest(guest: Guest, canaries: Canaries) -> None:
    body = (
        "import builtins, numpy, random, time\nnumpy.sum = random.random = lambda *a: 7\n"
        "time.time = time.perf_counter = lambda: 0\nbuiltins.len = lambda x: 99\nreturn 1"
    )
    await attack(guest, body)
    honest = "import numpy, random, time\nreturn [int(numpy.sum([1, 2])), random.random() < 1, "
    honest += "time.time() > 1e9, len('ab')]"
    assert (await attack(guest, honest)).value == [3, True, True, 2]


async def test_f58_background_work_counts_for_the_next_call(guest: Guest) -> None:
    head = "import threading\ndef burn():\n    while True: pass\n"
    source = program("if x: return 2\nthreading.Thread(target=burn).start()\nreturn 1", head)
    await guest.start(Job(source, "algorithm"))
    first = await guest.call((0,), cpu_seconds=5, wall_seconds=60)
    assert first.value == 1, first
    before = _processes(guest)
    # On a busy machine the clock says nothing of how much the thread has computed meanwhile.
    await until(lambda: any(cpu - before.get(p, 0) > 0.6 for p, cpu in _processes(guest).items()))
    late = await guest.call((1,), cpu_seconds=0.3, wall_seconds=60)
    await guest.end()
    assert late.status == "timeout"
    assert late.cpu_seconds > 0.3
    assert late.wall_seconds < 60, "it was not the limit of CPU time"


async def test_r28_memory_is_watched_between_calls(guest: Guest) -> None:
    head = (
        "import os, time\ndef grow():\n    for _ in range(4):\n        if os.fork() == 0:\n"
        "            time.sleep(0.5)\n            kept = bytearray(b'x') * (60 << 20)\n"
        "            time.sleep(600)\n"
    )
    source = program("grow()\nreturn 1", head)
    await guest.start(Job(source, "algorithm", memory_mb=128))
    first = await guest.call((0,), cpu_seconds=1, wall_seconds=60)
    before = set(_processes(guest))
    await until(lambda: len(before - set(_processes(guest))) >= 5)  # the program and its children
    late = await guest.call((0,), cpu_seconds=1, wall_seconds=60)
    await guest.end()
    assert first.value == 1
    assert late.status == "oom", late


async def test_s9_environment_is_not_inherited(guest: Guest, canaries: Canaries) -> None:
    await attack(guest, "import os\nos.environ['USE_SANDBOX'] = '0'\nopen('/tmp/.env', 'w')")
    answer = await attack(guest, "import os\nreturn [dict(os.environ), os.getcwd(), os.listdir()]")
    environment, folder, names = answer.value
    assert "USE_SANDBOX" not in environment
    assert SECRET not in str(environment)
    assert (folder, names) == ("/tmp", [])


async def test_h75_no_source_of_ours_is_readable(guest: Guest, canaries: Canaries) -> None:
    """Neither as text nor as byte code, in the image or in a cache."""
    body = (
        "import os\nfound = []\nfor folder, _, names in os.walk('/'):\n"
        "    if folder.startswith(('/proc', '/sys')): continue\n"
        "    found += [n for n in names if n.split('.')[0] in ('utility', 'relay', 'nursery')]\n"
        "    found += [n for n in names if n in ('task.toml', 'canary.txt')]\n"
        "return found"
    )
    assert (await attack(guest, body)).value == []


async def test_h69_command_lines_tell_nothing(guest: Guest, canaries: Canaries) -> None:
    body = (
        "import os\ntext = ''\nfor p in os.listdir('/proc'):\n    if p.isdigit():\n"
        "        text += open(f'/proc/{p}/cmdline').read()\nreturn text"
    )
    text = (await attack(guest, body)).value
    assert SECRET not in text
    assert str(Path.home()) not in text or str(Path.home()) == "/"


@pytest.mark.parametrize("name", ["R26-fork-bomb", "R28-balloon"])
async def test_container_isolation(sandbox: Sandbox, canaries: Canaries, name: str) -> None:
    """A sandbox of its own for the attack; its neighbour is not slowed to death."""
    hostile, honest = await sandbox.start(GuestLimits()), await sandbox.start(GuestLimits())
    body, _ = EXHAUSTION[name]
    try:
        bad, good = await asyncio.gather(
            evaluate(hostile, program(body), 0, cpu_seconds=0.5, wall_seconds=3),
            evaluate(honest, ECHO, 3, cpu_seconds=3),
        )
        assert good.value == 3
        assert bad.status in ("timeout", "oom", "error")
    finally:
        await hostile.aclose()
        await honest.aclose()
    assert threading.active_count() < 50
