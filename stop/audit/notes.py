"""Notes of this machine on the logs that it wrote: where each ended when it was last signed.

They lie in the user's state folder, next to the key, out of reach for whoever can write a run's
folder only: a log that was rolled back, replaced or begun anew does not hold the head noted here.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from stop._util.state import state_folder
from stop.errors import ConfigError, RunError, machine_trouble

ID_FILE = "id"
"""In a run's folder: the name under which this machine remembers its log."""
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Note:
    """The log's own id, its lines so far, and the hash of the last of them, a signed head."""

    log: str
    lines: int
    head: str


def run_id(folder: Path) -> str:
    """Returns the id of a run; "" where there is none."""
    try:
        text = (folder / ID_FILE).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return text if _ID.fullmatch(text) else ""


def read_note(run: str) -> Note | None:
    """Returns the note on a run's log, if there is one.

    Raises:
        RunError, ConfigError: it cannot be read, or is damaged.
    """
    try:
        return Note(**json.loads(_path(run).read_text("ascii")))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunError(f"{_path(run)} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"{_path(run)} is damaged: {error}", hint="delete it, if you know why; then verify"
        ) from error


def write_note(run: str, note: Note) -> None:
    """Notes where a run's log ends now; an older note is replaced at once.

    Raises:
        RunError, ConfigError: it cannot be written.
    """
    path = _path(run)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            json.dump(asdict(note), file)
        Path(file.name).replace(path)
    except OSError as error:
        if trouble := machine_trouble(error):
            message = f"{path} cannot be written: {trouble.message}"
            raise RunError(message, hint=trouble.remedy, resume="") from error
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}",
            hint="set STOP_STATE_DIR to a folder of yours",
        ) from error


def _path(run: str) -> Path:
    return state_folder() / "heads" / f"{run}.json"
