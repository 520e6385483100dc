"""The user's own folder of state, and the secrets that instances derive from."""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

import platformdirs

from stop.errors import ConfigError


def state_folder() -> Path:
    """Returns the folder of this user's state; `STOP_STATE_DIR` overrides it."""
    if chosen := os.environ.get("STOP_STATE_DIR"):
        return Path(chosen)
    return Path(platformdirs.user_state_dir("stop-optimizer"))


def run_secret(random_seed: int | None, purpose: str = "run") -> bytes:
    """Returns 32 bytes that the instances of a run derive from.

    With a random seed they are the same on this machine each time, and yet not to be guessed from
    the seed alone, since a secret of this machine goes in. Without one they are new random bytes.

    Args:
        random_seed: None: none.
        purpose: another one gives other instances for the same random seed.

    Raises:
        ConfigError: the machine's secret cannot be read or written.
    """
    if random_seed is None:
        return secrets.token_bytes(32)
    return hmac.digest(_machine_secret(), f"{purpose} {random_seed}".encode(), "sha256")


def _machine_secret() -> bytes:
    path, value = state_folder() / "secret", secrets.token_bytes(32)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, value)
    except FileExistsError:
        return _read_secret(path)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}",
            hint="set STOP_STATE_DIR to a folder of yours",
        ) from error
    return value


def write_private(path: Path, value: bytes) -> None:
    """Write a new file that only its owner may read. Raises `OSError`."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(value)


def _read_secret(path: Path) -> bytes:
    value = path.read_bytes()
    if len(value) != 32:
        raise ConfigError(
            f"{path} is damaged: it should hold 32 bytes",
            hint="delete it; runs with a --random-seed will then meet other instances than before",
        )
    return value
