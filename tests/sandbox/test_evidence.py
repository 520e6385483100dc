"""No false alarm on code that nobody here wrote: the standard library, numpy, their habits."""

from __future__ import annotations

import pytest

from stop.audit.evidence import LEVELS
from stop.events import Level
from stop.sandbox import Job
from stop.sandbox.protocol import Guest

pytestmark = pytest.mark.asyncio(loop_scope="module")

IMPORTS = """
import importlib, pkgutil, sys
LEFT_OUT = {"antigravity", "this", "idlelib", "turtledemo", "turtle", "__main__"}
def algorithm(_):
    import numpy
    done = 0
    names = sorted(sys.stdlib_module_names - LEFT_OUT)
    names += [m.name for m in pkgutil.walk_packages(numpy.__path__, "numpy.")
              if not any(w in m.name for w in ("test", "f2py", "distutils", "pyinstaller"))]
    for name in names:
        try:
            importlib.import_module(name)
            done += 1
        except (ImportError, AttributeError, OSError):
            pass
    return done
"""
HABITS = {
    "uuid": "import uuid; uuid.uuid1(); uuid.uuid4()",
    "platform": "import platform; platform.platform(); platform.uname()",
    "tempfile": "import tempfile; tempfile.NamedTemporaryFile().write(b'x')",
    "config-file": "import json; json.dump({'depth': 3}, open('/tmp/config.json', 'w'))",
    "threads": "import os; os.environ['OMP_NUM_THREADS'] = '2'",
    "asyncio": "import asyncio; asyncio.run(asyncio.sleep(0))",
    "thread-pool": "import concurrent.futures as c; list(c.ThreadPoolExecutor(2).map(abs, [1]))",
    "process-pool": "import concurrent.futures as c; list(c.ProcessPoolExecutor(2).map(abs, [1]))",
    "pool": "import multiprocessing as m; m.get_context('fork').Pool(2).map(abs, [1])",
    "queue": "import multiprocessing as m; m.Queue().put(1); m.Value('i', 1); m.Array('i', 3)",
    "fork": "import os\n    if os.fork() == 0: return 1",
    "namedtuple": "import collections; collections.namedtuple('A', 'b c')(1, 2)",
    "dataclass": "import dataclasses; dataclasses.make_dataclass('X', ['a'])(1)",
    "linear-algebra": "import numpy as n; n.linalg.inv(n.eye(40)); n.random.default_rng()",
    "memmap": "import numpy as n; n.memmap('/tmp/m', mode='w+', shape=(3,))[0] = 1",
    "sqlite": "import sqlite3; sqlite3.connect('/tmp/x.db').execute('create table t (a)')",
    "alarm": "import signal; signal.signal(14, lambda *_: None); signal.alarm(1); signal.alarm(0)",
    "limits": "import resource; resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 1 << 20))",
    "logging": "import logging; logging.basicConfig(filename='/tmp/log'); logging.error('x')",
    "inspect": "import inspect; inspect.stack(); inspect.signature(algorithm)",
    "profile": "import cProfile; cProfile.Profile().runcall(sum, [1])",
    "pickle": "import pickle; pickle.loads(pickle.dumps([1]))",
    "files": "import os; [os.stat(f'/proc/self/{n}') for n in ('stat', 'maps')]; os.listdir('/')",
    "cpu": "import os; open('/proc/cpuinfo').read(); os.sched_setaffinity(0, {0})",
    "spawn": "import subprocess, sys\n"
    "    subprocess.run([sys.executable, '-c', 'import numpy'], check=True)",
    "fqdn": "import socket; socket.getfqdn()",
    "manager": "import multiprocessing as m\n"
    "    with m.get_context('fork').Manager() as g: g.list([1])",
    "weights": "import pickle; pickle.dump([1], open('/tmp/model.pth', 'wb'))",
    "results": "open('/tmp/sandbox_results.json', 'w').write('x'); open('/tmp/utility.py', 'w')",
    "own-maps": "import os; open(f'/proc/{os.getpid()}/maps').read(); os.listdir('/proc/self/fd')",
    "variables": "import os; os.environ.update(STOP_EARLY='1', DB_ISOLATION_LEVEL='2')",
    "cjk-filename": "exec(compile('1', '文' * 300, 'exec'))",
    "hostname": "import socket; socket.gethostname(); socket.socketpair()",
    "shared-memory": "from multiprocessing import shared_memory as s\n"
    "    m = s.SharedMemory(create=True, size=64); m.close(); m.unlink()",
}


async def _alarms(guest: Guest, source: str, memory_mb: int = 512) -> list[str]:
    """Details of signs of level 2 and 3."""
    answer = await guest.start(Job(source, "algorithm", memory_mb=memory_mb))
    assert answer.status == "ok", answer
    answer = await guest.call((0,), cpu_seconds=30, wall_seconds=60)
    await guest.end()
    assert answer.status == "ok", answer
    return [
        f"{sign.kind}: {sign.detail}"
        for sign in guest.signs
        if LEVELS.get(sign.kind, Level.TAMPERING) >= Level.ATTEMPT
    ]


async def test_every_module_of_the_standard_library(warm: Guest) -> None:
    assert await _alarms(warm, IMPORTS, memory_mb=900) == []


@pytest.mark.parametrize("name", HABITS)
async def test_habit(warm: Guest, name: str) -> None:
    source = f"def algorithm(_):\n    {HABITS[name]}\n    return 1\n"
    assert await _alarms(warm, source) == []
