"""Answers with the responses of an earlier run: `tape:RUN`, free of charge and without a network.

run.db ─copy─► records ─┬─ of the same place in the same run (its sampling seed says so)
                        ├─ else the first not served yet, with as many responses
                        └─ else responses of several records, in the order of their recording
"""

from __future__ import annotations

import itertools
import json
import sqlite3
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stop._util.snapshot import copy_store
from stop.errors import ConfigError, LMUnavailable, RunError
from stop.lm import tokens
from stop.lm.base import Choice, LMRequest, LMResponse, SimpleModel, Usage
from stop.lm.tape import Place, sampling_seed


@dataclass(frozen=True, slots=True)
class Record(Place):
    """One recorded request with its responses.

    Attributes:
        number: in the order of recording.
        request_key: of what was asked; in `request`, lone surrogates are escaped.
        response: what was answered, and what it cost then.
    """

    number: int
    request_key: str
    response: LMResponse

    @property
    def key(self) -> tuple[str, str, int, int]:
        """As of `Place`."""
        return self.scope, self.request_key, self.request.n, self.occurrence

    @property
    def shares(self) -> list[int]:
        """Completion tokens of each response; only their sum was recorded."""
        count = len(self.response.choices)
        each, more = divmod(self.response.usage.completion_tokens, max(count, 1))
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
            rows = database.execute("SELECT * FROM lm_calls ORDER BY id").fetchall()
        except sqlite3.DatabaseError as error:
            raise RunError(f"{folder / 'run.db'} is not a run's store: {error}") from error
        finally:
            database.close()
    try:
        secret = (folder / "secret").read_bytes()
    except OSError:  # then no place is known, and the order decides
        secret = b""
    return [_record(row, secret) for row in rows]


def _record(row: sqlite3.Row, secret: bytes) -> Record:
    place = row["scope"], row["request_key"], row["occurrence"]
    request = LMRequest(
        **{name: row[name] for name in ("system", "message", "n", "temperature", "max_tokens")},
        seed=sampling_seed(secret, *place),
    )
    scope, key, occurrence = place
    paid_by = row["improver_run"]
    return Record(scope, paid_by, request, occurrence, row["id"], key, response_in(row))


def response_in(row: sqlite3.Row) -> LMResponse:
    """Read the response in a row of the table `lm_calls`."""
    prompt, completion = row["prompt_tokens"], row["completion_tokens"]
    return LMResponse(
        choices=tuple(Choice(**choice) for choice in json.loads(row["choices"])),
        usage=Usage(prompt, completion, row["usd"], bool(row["estimated"])),
        model=row["model"],
        retries=row["retries"],
        faults=tuple(json.loads(row["faults"])),
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
        self.spec = f"tape:{self._folder}"
        if not (self._folder / "run.db").is_file():
            raise ConfigError(
                f"there is no run in {self._folder}", hint="tape:RUN wants the folder of a run"
            )
        self._records: dict[str, list[Record]] = {}
        self._served: Counter[int] = Counter()  # responses given again, by number of the record
        for record in read_records(self._folder):
            self._records.setdefault(record.request_key, []).append(record)

    async def complete(self, request: LMRequest) -> LMResponse:
        """As `LanguageModel.complete`.

        Raises:
            LMUnavailable: the tape has no (more) responses to this prompt; the run cannot go on.
        """
        records = self._records.get(request.key, [])
        pieces = self._take(records, request)
        if pieces is None:
            raise self._unknown(request, records)
        first = pieces[0][0].response
        usage = Usage(
            first.usage.prompt_tokens,
            sum(record.shares[index] for record, index in pieces),
            usd=0.0,
            estimated=any(record.response.usage.estimated for record, _ in pieces),
        )
        choices = tuple(record.response.choices[index] for record, index in pieces)
        return LMResponse(choices, usage, first.model)

    def facts(self) -> dict[str, Any]:
        records = itertools.chain.from_iterable(self._records.values())
        return {"models": sorted({record.response.model for record in records})}

    def worst_case(self, request: LMRequest) -> Usage:
        """Upper bound of what any of the records of this prompt cost then, at 0 dollars."""
        records = self._records.get(request.key, [])
        bound = tokens.worst_case(request)
        prompts = (record.response.usage.prompt_tokens for record in records)
        most = max((max(record.shares, default=0) for record in records), default=0)
        return replace(
            bound,
            prompt_tokens=max(bound.prompt_tokens, *prompts, 0),
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

    def _take(self, records: list[Record], request: LMRequest) -> list[tuple[Record, int]] | None:
        """(record, index of a response in it), `n` of them, which count as served; None if fewer
        are left."""
        served, sizes = self._served, {r.number: len(r.response.choices) for r in records}
        whole = [r for r in records if not served[r.number] and sizes[r.number] == request.n]
        same_place = [r for r in whole if r.request.seed == request.seed]
        sources = (same_place or whole)[:1] or records
        left = [(r, i) for r in sources for i in range(served[r.number], sizes[r.number])]
        if len(left) < request.n:
            return None
        for record, _ in left[: request.n]:
            served[record.number] += 1
        return left[: request.n]
