"""The model of a replayed improver run: the responses that are on the tape for its place."""

from __future__ import annotations

from typing import Any

from stop.engine.improver_run import Application
from stop.errors import LMRequestRefused
from stop.lm.base import LanguageModel, LMRequest, LMResponse, Usage
from stop.programs import program_id
from stop.replays.recording import Recording


class Answers:
    """Gives one improver run the responses of its place (`stop.lm.base.LanguageModel`).

    Args:
        recording: with the responses.
        what: the improver run.
        priced: says what a request could cost.
    """

    context_tokens: int | None = None

    def __init__(self, recording: Recording, what: Application, priced: LanguageModel) -> None:
        self._recording = recording
        self._what = what
        self._priced = priced
        self.spec = f"tape:{recording.folder}"

    async def start(self) -> None:
        """Everything was read when the recording was made."""

    async def aclose(self) -> None:
        """There is nothing to give back."""

    def facts(self) -> dict[str, Any]:
        return {}

    def worst_case(self, request: LMRequest) -> Usage:
        return self._priced.worst_case(request)

    async def complete(self, request: LMRequest) -> LMResponse:
        record = self._recording.find(request)
        if record is None:
            self._recording.miss(self._what, program_id(self._what.improver), request)
            raise LMRequestRefused("the tape has no answer to this request")
        return LMResponse(record.choices, record.usage, record.model)
