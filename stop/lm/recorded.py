"""Answers with the responses of an earlier run: `tape:RUN`, free of charge and without a network.

run.db ─copy─► records ─┬─ of the same place in the same run (its sampling seed says so)
                        ├─ else the first not served yet, with as many responses
                        └─ else responses of several records, in the order of their recording
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stop._util.snapshot import copy_store
from stop.errors import ConfigError, LMUnavailable, RunError
from stop.lm import tokens
from stop.lm.base import Choice, LMRequest, LMResponse, SimpleModel, Usage
from stop.lm.tape import sampling_seed

_COLUMNS = (
    "id, scope, improver_run, request_key, occurrence, model, system, message, n, temperature, "
    "max_tokens, choices, prompt_tokens, completion_tokens, estimated, usd"
)


@dataclass(slots=True)
class Record:
    """One recorded request with its responses.

    Attributes:
        number: in the order of recording.
        scope, occurrence: its place, see `stop.lm.tape`.
        improver_run: the one that paid.
        key, request: what was asked; lone surrogates are escaped in `request`, not in `key`.
        usage: what it cost then.
        served: number of its responses that were given again.
    """

    number: int
    scope: str
    improver_run: str
    key: str
    occurrence: int
    request: LMRequest
    choices: tuple[Choice, ...]
    usage: Usage
    model: str
    served: int = field(default=0, compare=False)

    @property
    def place(self) -> tuple[str, str, int, int]:
        """What tells it apart from all others of its run."""
        return (self.scope, self.key, self.request.n, self.occurrence)

    @property
    def shares(self) -> list[int]:
        """Completion tokens of each response; only their sum was recorded."""
        count = len(self.choices)
        each, more = divmod(self.usage.completion_tokens, max(count, 1))
        return [each + (i < more) for i in range(count)]


def read_records(folder: str | Path) -> list[Record]:
    """Read all responses that a run recorded, in the order of recording.

    Raises:
        RunError: there is no run, or a process is at work on it.
    """
    folder = Path(folder)
    with tempfile.TemporaryDirectory(prefix="stop-tape-") as place:
        database = sqlite3.connect(copy_store(folder, Path(place)))
        database.row_factory = sqlite3.Row
        try:
            rows = database.execute(f"SELECT {_COLUMNS} FROM lm_calls ORDER BY id").fetchall()
        except sqlite3.DatabaseError as error:
            raise RunError(f"{folder / 'run.db'} is not a run's store: {error}") from error
        finally:
            database.close()
    secret = _secret(folder)
    return [_record(row, secret) for row in rows]


def _secret(folder: Path) -> bytes:
    try:
        return (folder / "secret").read_bytes()
    except OSError:  # then no place is known, and the order decides
        return b""


def _record(row: sqlite3.Row, secret: bytes) -> Record:
    seed = sampling_seed(secret, row["scope"], row["request_key"], row["occurrence"])
    return Record(
        number=row["id"],
        scope=row["scope"],
        improver_run=row["improver_run"],
        key=row["request_key"],
        occurrence=row["occurrence"],
        request=LMRequest(
            row["system"], row["message"], row["n"], row["temperature"], row["max_tokens"], seed
        ),
        choices=tuple(Choice(**choice) for choice in json.loads(row["choices"])),
        usage=Usage(
            row["prompt_tokens"], row["completion_tokens"], row["usd"], bool(row["estimated"])
        ),
        model=row["model"],
    )


class RecordedLM(SimpleModel):
    """Answers from the records of a run, each response once. Nothing is paid: `usd` is 0.

    Args:
        folder: of the run.

    Raises:
        ConfigError: the folder holds no run.
        RunError: a process is at work on it.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        if not (self._folder / "run.db").is_file():
            raise ConfigError(
                f"there is no run in {self._folder}", hint="tape:RUN wants the folder of a run"
            )
        self._records: dict[str, list[Record]] = {}
        for record in read_records(self._folder):
            self._records.setdefault(record.key, []).append(record)

    @property
    def spec(self) -> str:
        return f"tape:{self._folder}"

    async def complete(self, request: LMRequest) -> LMResponse:
        """As `LanguageModel.complete`.

        Raises:
            LMUnavailable: the tape has no (more) responses to this prompt; the run cannot go on.
        """
        records = self._records.get(request.key, [])
        pieces = _take(records, request)
        if pieces is None:
            raise self._unknown(request, records)
        first = pieces[0][0]
        usage = Usage(
            first.usage.prompt_tokens,
            sum(record.shares[place] for record, place in pieces),
            usd=0.0,
            estimated=any(record.usage.estimated for record, _ in pieces),
        )
        return LMResponse(tuple(r.choices[place] for r, place in pieces), usage, first.model)

    def facts(self) -> dict[str, Any]:
        return {"models": sorted({r.model for records in self._records.values() for r in records})}

    def worst_case(self, request: LMRequest) -> Usage:
        """Upper bound of what any of the records of this prompt cost then, at 0 dollars."""
        records = self._records.get(request.key, [])
        bound = tokens.worst_case(request)
        most = max((max(record.shares, default=0) for record in records), default=0)
        return replace(
            bound,
            prompt_tokens=max(bound.prompt_tokens, *(r.usage.prompt_tokens for r in records), 0),
            completion_tokens=max(bound.completion_tokens, most * request.n),
        )

    def _unknown(self, request: LMRequest, records: list[Record]) -> LMUnavailable:
        line = request.message.strip().partition("\n")[0][:80]
        what = "has no more answers" if records else "has no answer"
        return LMUnavailable(
            f"the tape of {self._folder} {what} to the prompt that begins with {line!r}",
            hint="on a tape only the same can be asked again: the same tasks, improver, limits and "
            "--seed; `stop replay` does a whole run again",
        )


def _take(records: list[Record], request: LMRequest) -> list[tuple[Record, int]] | None:
    """(record, place of a response in it), `n` of them, which count as served; None if fewer are
    left."""
    whole = [r for r in records if r.served == 0 and len(r.choices) == request.n]
    same_place = [r for r in whole if r.request.seed == request.seed]
    sources = (same_place or whole)[:1] or records
    pieces = [(r, i) for r in sources for i in range(r.served, len(r.choices))][: request.n]
    if len(pieces) < request.n:
        return None
    for record, place in pieces:
        record.served = place + 1
    return pieces
