"""The model of a replayed improver run: the responses that are on the tape for its place."""

from __future__ import annotations

from stop.engine.improver_run import Application
from stop.errors import LMRequestRefused
from stop.lm.base import LanguageModel, LMRequest, LMResponse, SimpleModel, Usage
from stop.replays.recording import Recording


class Answers(SimpleModel):
    """Gives one improver run the responses of its place.

    Args:
        recording: with the responses.
        what: the improver run.
        priced: says what a request could cost.
    """

    def __init__(self, recording: Recording, what: Application, priced: LanguageModel) -> None:
        self._recording = recording
        self.spec = f"tape:{recording.folder}"
        self._what = what
        self._priced = priced

    def worst_case(self, request: LMRequest) -> Usage:
        return self._priced.worst_case(request)

    async def complete(self, request: LMRequest) -> LMResponse:
        record = self._recording.find(request)
        if record is None:
            self._recording.miss(self._what, request)
            raise LMRequestRefused("the tape has no answer to this request")
        then = record.response
        return LMResponse(then.choices, then.usage, then.model)
