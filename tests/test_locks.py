"""The lock of a run's folder: one writer, readers together, and gone with its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stop._util.locks import LockHeld, exclusive, shared, writer
from tests.helpers.places import REPOSITORY

HOLDER = (
    "import sys, pathlib; from stop._util.locks import exclusive\n"
    "with exclusive(pathlib.Path(sys.argv[1])):\n"
    "    print(flush=True); sys.stdin.read()"
)


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "lock"


@pytest.fixture
def holder(lock: Path):
    """Another process that holds the lock until it is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_a_writer_keeps_all_others_out_and_is_named(lock, holder):
    for take in (exclusive, shared):
        with pytest.raises(LockHeld) as caught, take(lock):
            pass
        assert caught.value.pid == writer(lock) == holder.pid


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_goes_with_its_process(lock, holder, sign):
    holder.send_signal(sign)
    holder.wait()
    assert writer(lock) is None
    with exclusive(lock):
        assert writer(lock) == os.getpid()


def test_readers_are_together_and_keep_writers_out(lock):
    with exclusive(lock):
        pass
    lock.write_text("999999999")  # of a process that ended long ago: it is not named
    lock.chmod(0o400)  # to read it is enough
    with shared(lock), shared(lock):
        lock.chmod(0o600)
        with pytest.raises(LockHeld) as caught, exclusive(lock):
            pass
    assert caught.value.pid is None
    with exclusive(lock):
        pass


def test_a_folder_without_its_lock_is_free_and_stays_as_it_is(lock):
    with shared(lock):
        assert not lock.exists()
