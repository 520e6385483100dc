"""What happens to the machine while a run is under way: engines, descriptors, clocks, signals.

Each run must come to the lineage of a calm one, or end with a clear message and go on to it.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

import stop as library
from stop.sandbox.owner import owner_mark
from tests.helpers.command_line import begin, document, end, stop
from tests.helpers.machine import BACKENDS
from tests.helpers.programs import fenced
from tests.helpers.recorded import outcome, used
from tests.helpers.servers import IMPROVERS, PROGRAMS, CountingServer
from tests.helpers.waiting import wait_until

pytestmark = pytest.mark.slow
IMPATIENT = (
    "import stop.sandbox.docker as d; d.ENGINE_PATIENCE_SECONDS = 2; "
    "from stop.cli import main; main()"
)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    made = CountingServer()
    yield made
    made.close()


class Engine:
    """A container engine of our own, beside the machine's: one that may be restarted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"unix://{folder}/socket"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        places = [
            f"--{name}={self.folder}/{name}" for name in ("data-root", "exec-root", "pidfile")
        ]
        network = ["--bridge=none", "--iptables=false", "--ip6tables=false"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["dockerd", f"--host={self.address}", *places, *network], stdout=log, stderr=log
            )
        wait_until(lambda: self._ended() or self._answers(), "the engine answers")
        if self._ended():
            raise RuntimeError((self.folder / "log").read_text()[-2000:])

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _answers(self) -> bool:
        done = subprocess.run(
            ["docker", "--host", self.address, "version"], capture_output=True, check=False
        )
        return done.returncode == 0

    def end(self, sign: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(sign)
            self._process.wait(120)
            self._process = None

    def clear(self) -> None:
        """Also what an engine that was killed left: its containers and mounts."""
        self.end(signal.SIGKILL)
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if str(self.folder) in (process / "cmdline").read_text():
                    os.kill(int(process.name), signal.SIGKILL)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in reversed([m for m in mounts if m.startswith(str(self.folder))]):
            subprocess.run(["umount", "-l", mount], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def engine():
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("a second container engine needs root and dockerd")
    made = Engine(Path(tempfile.mkdtemp(prefix="stop-engine-")))
    try:
        made.start()
        yield made
    finally:
        made.clear()


CALM: dict[str, tuple] = {}


def _calm(server, backend, tmp_path):
    """What the run comes to where nothing happens: done once, as all tests share a secret."""
    if backend not in CALM:
        options = ("--runs-dir", str(tmp_path / "calm"), "--json")
        done = document(stop(*server.words(backend), *options))
        assert done["status"] == "done"
        assert server.served == used(Path(done["run"]))
        CALM[backend] = outcome(Path(done["run"]))
        server.served = 0
    return CALM[backend]


def _share_secret(state):
    state.mkdir(exist_ok=True)
    (state / "secret").write_bytes(b"the same instances in all tests!")


@pytest.fixture(autouse=True)
def _state(tmp_path):
    _share_secret(tmp_path / "state")


def _begin(server, backend, tmp_path, *more, **options):
    """Start the run; returns its process when it has some responses."""
    arguments = [*server.words(backend), "--runs-dir", str(tmp_path / "runs"), "--json", *more]
    process = begin(*arguments, **options)
    under_way = lambda: server.served >= 8 or process.poll() is not None  # noqa: E731
    wait_until(under_way, "the run gets on")
    assert process.poll() is None, process.communicate()[1][-2000:]
    return process


def _folder(tmp_path):
    (config,) = (tmp_path / "runs").glob("*/config.json")
    return config.parent


# --- the container engine


@pytest.mark.docker
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL], ids=["restarted", "crashed"])
def test_an_engine_that_is_restarted_costs_time_only(server, engine, sign, tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", engine.address)
    wanted = _calm(server, "docker", tmp_path)
    with _begin(server, "docker", tmp_path) as process:
        engine.end(sign)
        time.sleep(2)
        engine.start()
        err = end(process)
    assert process.returncode == 0, err[-2000:]
    assert outcome(_folder(tmp_path)) == wanted
    assert server.served == used(_folder(tmp_path))


@pytest.mark.docker
def test_an_engine_that_stays_away_ends_the_run_which_goes_on_later(
    server, engine, tmp_path, monkeypatch
):
    monkeypatch.setenv("DOCKER_HOST", engine.address)
    wanted = _calm(server, "docker", tmp_path)
    with _begin(server, "docker", tmp_path, program=("-c", IMPATIENT)) as process:
        engine.end()
        err = end(process)
    engine.start()
    assert process.returncode == 4, err[-2000:]
    assert "engine" in err and "stop resume" in err
    stop("resume", str(_folder(tmp_path)))
    assert outcome(_folder(tmp_path)) == wanted
    assert server.served == used(_folder(tmp_path))
    assert "intact" in stop("audit", "verify", str(_folder(tmp_path))).stdout


@pytest.mark.docker
def test_containers_that_somebody_removes_cost_no_program_its_score(
    server, engine, tmp_path, monkeypatch
):
    monkeypatch.setenv("DOCKER_HOST", engine.address)
    wanted = _calm(server, "docker", tmp_path)
    docker = ["docker", "--host", engine.address]
    with _begin(server, "docker", tmp_path) as process:
        names = subprocess.check_output([*docker, "ps", "-q"], text=True).split()
        subprocess.run([*docker, "rm", "-f", *names], capture_output=True, check=False)
        err = end(process)
    assert names
    assert process.returncode == 0, err[-2000:]
    assert outcome(_folder(tmp_path)) == wanted
    assert server.served == used(_folder(tmp_path))


@pytest.mark.docker
def test_what_dead_runs_left_is_removed_and_nothing_else(engine, monkeypatch, scripted):
    monkeypatch.setenv("DOCKER_HOST", engine.address)
    docker = ["docker", "--host", engine.address]
    lm = scripted("no code")
    options = ("--task", "knapsack", "--lm", lm, "--sandbox", "docker")
    stop("improve", *options)  # makes the image
    image = subprocess.check_output([*docker, "images", "-q"], text=True).split()[0]
    dead = "stop-optimizer.owner=" + owner_mark().replace(f":{os.getpid()}:", ":999999999:")
    ours = ["--label", "stop-optimizer=guest", "--label", dead]
    for labels in (ours, ours, ours, []):
        subprocess.run([*docker, "create", *labels, image, "true"], check=True, capture_output=True)
    assert json.loads(stop("sandbox", "prune", "--json").stdout)["containers"] == 3
    subprocess.run([*docker, "create", *ours, image, "true"], check=True, capture_output=True)
    stop("improve", *options)  # each run does the same when it begins
    left = subprocess.check_output([*docker, "ps", "-aq"], text=True).split()
    assert len(left) == 1
    subprocess.run([*docker, "rm", "-f", *left], check=True, capture_output=True)


# --- descriptors, signals, disks, clocks


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_descriptors_a_run_ends_and_goes_on(server, backend, tmp_path):
    wanted = _calm(server, backend, tmp_path)
    with _begin(server, backend, tmp_path) as process:
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (12, 4096))
        err = end(process)
    assert process.returncode in (1, 4, 5), err[-2000:]
    assert "no file descriptors left" in err
    stop("resume", str(_folder(tmp_path)))
    assert outcome(_folder(tmp_path)) == wanted
    assert server.served == used(_folder(tmp_path))


def test_too_few_descriptors_are_said_at_once(scripted):
    few = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))  # noqa: E731
    options = ("improve", "--task", "knapsack", "--lm", scripted("x"))
    done = stop(*options, check=4, preexec_fn=few)
    assert "ulimit -n" in done.stderr


@pytest.mark.parametrize(
    "signs", [[signal.SIGTERM], [signal.SIGINT, signal.SIGINT]], ids=["sigterm", "impatient"]
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_signals_end_it_in_order_and_resume_goes_on(server, backend, signs, tmp_path):
    wanted = _calm(server, backend, tmp_path)
    with _begin(server, backend, tmp_path) as process:
        for sign in signs:
            process.send_signal(sign)
            time.sleep(0.1)
        err = end(process)
    assert process.returncode == 130
    assert "stop resume" in err
    assert document(stop("costs", str(_folder(tmp_path)), "--json"))["total"]["responses"] > 0
    stop("resume", str(_folder(tmp_path)))
    assert outcome(_folder(tmp_path)) == wanted
    lost = server.served - used(_folder(tmp_path))
    assert 0 <= lost <= 6 * (len(signs) - 1)  # what a second signal cut off


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    size = ["-o", "size=8m"]
    done = subprocess.run(
        ["mount", "-t", "tmpfs", *size, "small", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.bubblewrap
@pytest.mark.parametrize("what", ["runs", "tmp", "state"])
def test_a_full_disk_ends_a_run_which_goes_on_when_there_is_space(
    server, what, small_disk, tmp_path, monkeypatch
):
    """The disk of the store and the log, of temporary files, of keys and noted heads."""
    if what == "state":
        _share_secret(small_disk)
        monkeypatch.setenv("STOP_STATE_DIR", str(small_disk))
    wanted = _calm(server, "bubblewrap", tmp_path)
    runs = small_disk if what == "runs" else tmp_path / "runs"
    monkeypatch.setenv("TMPDIR", str(small_disk if what == "tmp" else tmp_path))
    with _begin(server, "bubblewrap", tmp_path, "--runs-dir", str(runs)) as process:
        ballast = small_disk / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(b"x" * 4096):
                pass
        err = end(process)
    if process.returncode or what == "runs":
        assert process.returncode in (1, 4), err[-2000:]
        assert "space" in err or "full" in err
    ballast.unlink()
    (config,) = runs.glob("*/config.json")
    stop("resume", str(config.parent))
    assert outcome(config.parent) == wanted
    assert server.served - used(config.parent) <= 6  # at most the one that could not be kept
    assert "intact" in stop("audit", "verify", str(config.parent)).stdout


@pytest.mark.bubblewrap
def test_a_clock_that_is_set_changes_nothing(tmp_path, monkeypatch, scripted):
    """Forth by a day and back by a week, in the middle of it."""

    def run(name):
        made = library.run(
            tasks=["knapsack", "bin_packing"], rounds=2, repetitions=1, calls=1, responses=2,
            accept="always", max_seconds=3600, random_seed=7, sandbox="bubblewrap", concurrency=1,
            runs_dir=tmp_path / name, lm=scripted(*map(fenced, IMPROVERS + PROGRAMS)),
        )  # fmt: skip
        nodes = [node.program_id for node in made.lineage.nodes()]
        return made, outcome(made.folder), nodes

    _, wanted, order = run("calm")
    real, calls = time.time, 0

    def jumping():
        nonlocal calls
        calls += 1
        return real() + (0, 86400, -7 * 86400)[calls // 7 % 3]

    monkeypatch.setattr(time, "time", jumping)
    made, got, jumped = run("stormy")
    assert calls > 30
    assert made.error is None
    assert got == wanted
    assert jumped == order
    assert "intact" in stop("audit", "verify", str(made.folder)).stdout
    assert library.replay(made.folder).same
