"""Sampling improvers: requests to the model, and what the text of each program shows."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from stop.audit.rules import scan
from stop.engine.broker import ENTRY_POINT
from stop.engine.session import Session
from stop.events import Level, Progress, SecurityEvent
from stop.experiments.bypass.config import BypassConfig, Cell
from stop.experiments.bypass.running import IMPROVERS
from stop.improvers import load_improver
from stop.lm.base import LMRequest, LMResponse
from stop.lm.tape import TapedModel
from stop.programs import MAX_PROGRAM_BYTES, program_id
from stop.sandbox.helpers import extract_code
from stop.store.records import SampleRecord
from stop.store.samples import Samples

_DEFINITION = f"def {ENTRY_POINT}"
_FENCE = re.compile(r"^[ \t]*(?:```|~~~).*\n", re.M)


@dataclass(frozen=True, slots=True)
class _Request:
    """One request of a cell: the samples from number `first` on."""

    cell: Cell
    first: int
    n: int


class Sampler:
    """Asks the model for the samples that are missing, a few requests at once."""

    def __init__(
        self, session: Session, config: BypassConfig, prompts: dict[Cell, tuple[str, str]]
    ) -> None:
        self._session = session
        self._plan = config.bypass
        self._prompts = prompts
        self._samples = Samples(session.store)
        self._own = {
            cell: own_findings(load_improver(name).source) for cell, name in IMPROVERS.items()
        }
        self._done = 0

    async def run(self) -> None:
        """Raises the first error after requests under way have ended: they are paid for."""
        waiting = deque(self._missing())
        under_way: set[asyncio.Task[None]] = set()
        width = self._session.config.concurrency
        error: BaseException | None = None
        try:
            while under_way or (waiting and error is None):
                while waiting and error is None and len(under_way) < width:
                    under_way.add(asyncio.create_task(self._sample(waiting.popleft())))
                done, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    under_way.discard(task)
                    failed = task.exception()  # asked of each: else asyncio complains of it
                    error = error or failed
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
        if error is not None:
            raise error

    def _missing(self) -> Iterator[_Request]:
        """Turn by turn from each cell, so that cells are of one size when a limit ends it."""
        for first in range(0, self._plan.samples, self._plan.responses):
            n = min(self._plan.responses, self._plan.samples - first)
            for cell in self._plan.cells:
                if self._samples.count(cell, first, n) < n:
                    yield _Request(cell, first, n)
                else:
                    self._done += n

    async def _sample(self, wanted: _Request) -> None:
        system, message = self._prompts[wanted.cell]
        key = f"sample/{wanted.cell}"
        taped = TapedModel(
            self._session.model,
            self._session.tape,
            scope=f"{key}/{wanted.first}",
            improver_run=key,
            max_responses=self._plan.samples,
            on_call=self._session.show_lm_call,
        )
        plan = self._plan
        request = LMRequest(system, message, wanted.n, plan.temperature, plan.max_tokens)
        response = await taped.complete(request)
        self._keep(wanted, response)

    def _keep(self, wanted: _Request, response: LMResponse) -> None:
        rows = []
        for number, choice in enumerate(response.choices, wanted.first):
            source = program_in(choice.text)
            cut_off = choice.finish_reason == "length"
            sample = look_at(wanted.cell, number, source, cut_off, self._own[wanted.cell])
            rows.append((sample, source))
        for sample, source in rows:  # logged first: what is recorded as a sample is not seen again
            if source is not None:
                self._log(sample)
        self._samples.add(rows)
        self._done += wanted.n
        total = self._plan.samples * len(self._plan.cells)
        data = {"done": self._done, "total": total}
        self._session.progress(Progress("counted", "programs sampled", data))

    def _log(self, sample: SampleRecord) -> None:
        place = f"sample/{sample.cell}/{sample.number}"
        for each in sample.findings:
            detail = f"line {each['line']}: {each['evidence']}"
            level = Level(each["level"])
            identity = sample.program_id or ""
            event = SecurityEvent(each["rule"], level, detail, identity, place, "text")
            self._session.watch.see(event)


def own_findings(source: str) -> frozenset[tuple[str, str]]:
    """(rule, evidence) of what a program shows that the model is asked to improve."""
    return frozenset((f.rule, f.evidence) for f in scan(source).findings)


def look_at(
    cell: str, number: int, source: str | None, cut_off: bool, own: frozenset[tuple[str, str]]
) -> SampleRecord:
    """What a response comes to by its text. What is in `own` does not count."""
    if source is None:
        return SampleRecord(cell, number, None, "no_code", 0, False, cut_off, [])
    seen = scan(source)
    new = [f for f in seen.findings if (f.rule, f.evidence) not in own]
    return SampleRecord(
        cell=cell,
        number=number,
        program_id=program_id(source),
        status=seen.status,
        level=max((int(f.level) for f in new), default=0),
        paper_rule=seen.paper_rule,
        cut_off=cut_off,
        findings=[
            {"rule": f.rule, "level": int(f.level), "line": f.line, "evidence": f.evidence}
            for f in new
        ],
    )


def program_in(text: str) -> str | None:
    """The program in a response, by the rule that improvers meet in the sandbox.

    Read as far as a program may be long; what is left open there ends there. Of an improver that
    was cut off a piece may parse, such as a prompt inside it: then the program is all that came.
    """
    text = text[:MAX_PROGRAM_BYTES]
    code = extract_code(text) or ""
    if _DEFINITION not in code:
        fence = _FENCE.search(text)
        rest = text[fence.end() :] if fence else ""
        code = rest if _DEFINITION in rest else code
    return code if code.strip() else None
