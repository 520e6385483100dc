"""The key of a machine: one for all processes, for its user's eyes, and never guessed around."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from stop._util.state import state_folder
from stop.audit.keys import (
    fingerprint,
    machine_fingerprint,
    machine_key,
    parse_key,
    public_bytes,
    signature_fits,
)
from stop.errors import ConfigError
from tests.helpers.places import REPOSITORY


@pytest.fixture
def path():
    machine_key()
    return state_folder() / "audit-key"


def test_it_is_made_once_and_for_its_user_only():
    assert machine_fingerprint() is None  # asking makes none
    public = public_bytes(machine_key())
    assert public == public_bytes(machine_key())
    assert machine_fingerprint() == fingerprint(public)
    (file,) = state_folder().iterdir()  # nothing else is left there
    assert file.name == "audit-key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.stat().st_size == 32


def test_processes_that_make_it_at_once_get_the_same(tmp_path):
    code = (
        "import sys\n"
        "from stop.audit.keys import machine_key, public_bytes\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "print(public_bytes(machine_key()).hex())"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, text=True,
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(6)
    ]  # fmt: skip
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    found = {child.communicate()[0] for child in children}
    assert found == {public_bytes(machine_key()).hex() + "\n"}


def test_the_one_that_comes_second_takes_the_first_s(monkeypatch):
    """Both saw that there is none; the link decides."""
    real, first = os.link, []

    def link(source, target):
        if not first:
            first.append(None)
            first[0] = public_bytes(machine_key())
        real(source, target)

    monkeypatch.setattr("os.link", link)
    assert public_bytes(machine_key()) == first[0]
    assert [each.name for each in state_folder().iterdir()] == ["audit-key"]


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33, b"x" * 100_000])
def test_a_damaged_key_is_said_and_not_replaced(path, content):
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="damaged"):
        machine_key()
    with pytest.raises(ConfigError, match="damaged"):
        machine_fingerprint()
    assert path.read_bytes() == content


@pytest.mark.parametrize("place", ["folder", "pipe", "dangling link"])
def test_what_is_no_file_is_no_key(path, place):
    path.unlink()
    if place == "folder":
        path.mkdir()
    elif place == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("nowhere")
    with pytest.raises(ConfigError):
        machine_key()


def test_a_key_that_others_can_read_is_refused(path):
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="other users"):
        machine_key()


def test_a_folder_that_cannot_be_written_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STOP_STATE_DIR", str(tmp_path / "file" / "state"))
    with pytest.raises(ConfigError) as raised:
        machine_key()
    assert "STOP_STATE_DIR" in raised.value.hint


def test_a_key_is_named_by_its_fingerprint_or_itself():
    public = public_bytes(machine_key())
    assert parse_key(f" {fingerprint(public)}\n") == fingerprint(public)
    assert parse_key(public.hex().upper()) == fingerprint(public)
    for text in ("", "SHA256:", public.hex()[:-1], fingerprint(public).lower(), "é" * 64):
        with pytest.raises(ConfigError, match="neither"):
            parse_key(text)


def test_a_signature_fits_one_message_of_one_key():
    key = machine_key()
    public, signature = public_bytes(key).hex(), key.sign(b"message").hex()
    assert signature_fits(public, signature, b"message")
    assert not signature_fits(public, signature, b"another")
    assert not signature_fits("00" * 32, signature, b"message")
    for wrong in ("", "zz", "é", signature[:-2], signature + "00"):
        assert not signature_fits(public, wrong, b"message")
        assert not signature_fits(wrong, signature, b"message")
