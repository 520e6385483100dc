"""The host side of one improver run: answers its requests and keeps its limits.

    guest: improve_algorithm(initial_solution, utility, language_model)
              │ utility(program)           │ prompt / batch_prompt
              ▼                            ▼
    broker: reserve ─► score ─► reply      reserve ─► tape or model ─► reply

What the guest believes of its budgets, of the sandbox flag or of itself does not matter here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from stop._util.concurrency import gather_or_cancel
from stop.audit.evidence import seen
from stop.audit.policy import tell_all
from stop.audit.tripwire import flag_events
from stop.budget import ONE_UTILITY_CALL, Account, Budget, ImproverBudget, Ledger, Spending
from stop.errors import BudgetExceeded, LMRequestRefused
from stop.events import SecurityEvent
from stop.lm.base import Completer, LMRequest, LMResponse, Usage
from stop.programs import MAX_PROGRAM_BYTES, program_id, syntax_problem
from stop.sandbox.protocol import Answer, Guest, Job, JobOutput
from stop.tasks.evaluation import Cause, Status

ENTRY_POINT = "improve_algorithm"
MAX_REFUSALS = 1000
"""Requests that cannot be served (malformed or over budget) before the run is ended."""


@dataclass(frozen=True, slots=True)
class Score:
    """The outcome of `utility(program)`, for the guest (value) and the record (status)."""

    value: float
    status: Status


class HostUtility(Protocol):
    """A utility as the host has it. `text` is what the model may read of it."""

    @property
    def text(self) -> str: ...

    async def score(self, source: str) -> Score: ...

    @property
    def worst(self) -> float:
        """The score of what is no program."""
        ...


@dataclass(frozen=True, slots=True)
class ImproverOutcome:
    """The result of an improver run.

    Attributes:
        status: "ok" when a string that can be a program came back; otherwise says why not.
        detail: for people; may quote the guest.
        source: the program that it returned, if it did.
        scores: of the programs that it had scored, by program id.
        cause: what the host did that explains a failure.
    """

    status: Status
    detail: str
    source: str | None
    utility_calls: int
    lm_calls: int
    output: JobOutput
    scores: dict[str, float] = field(default_factory=dict)
    cause: Cause = ""


_FIELDS = {
    "utility": {"program", "flags", "believed"},
    "language_model": {"expertise", "message", "messages", "n", "temperature", "believed"},
}
"""What the guest's client sends; anything beside it was not sent by that client."""


_LEVEL = "improver run"


class _TooManyRefusals(Exception):
    """The guest does not take no for an answer."""


class Broker:
    """Serves one improver run. Make a new one for each.

    Args:
        utility: scores the programs that the improver tries.
        language_model: answers its prompts.
        budget: what this run may use; kept here whatever the guest does.
        on_event: told of each security event.
        on_utility_call: told (program or None, score) of each call, for the record.
        ledger: of the run; utility calls count there.
    """

    def __init__(
        self,
        utility: HostUtility,
        language_model: Completer,
        budget: ImproverBudget,
        on_event: Callable[[SecurityEvent], None],
        on_utility_call: Callable[[str | None, Score], None] = lambda _source, _score: None,
        *,
        ledger: Ledger | None = None,
    ) -> None:
        self._utility = utility
        self._lm = language_model
        self._budget = budget
        self._on_event = on_event
        self._on_utility_call = on_utility_call
        self._ledger = ledger or Ledger(Budget())
        self._account = Account(_LEVEL, budget.of_responses)
        self._utility_calls = 0
        self._lm_calls = 0
        self._lm_refused = False  # the last request, by the model's server
        self._over_budget = False
        self._refusals = 0
        self._signs_told = 0
        self._guest: Guest | None = None
        self._told: set[str] = set()
        self._scores: dict[str, float] = {}

    async def run(
        self,
        guest: Guest,
        improver: str,
        initial_solution: str,
        *,
        result_entry_point: str,
        random_seed: int = 0,
    ) -> ImproverOutcome:
        """Apply `improver` to `initial_solution` in `guest`.

        Raises:
            BudgetExceeded, LMError, SandboxError: the host cannot go on; nothing is said about
                the improver.
        """
        if problem := syntax_problem(improver, ENTRY_POINT):
            return self._outcome("syntax", problem, None, JobOutput())
        self._guest = guest
        try:
            answer = await guest.start(self._job(improver, random_seed))
            return await self._run(guest, answer, initial_solution, result_entry_point)
        finally:  # also of a sandbox that broke
            self._tell_signs()

    async def _run(
        self, guest: Guest, answer: Answer, initial_solution: str, result_entry_point: str
    ) -> ImproverOutcome:
        if answer.status == "ok":
            try:
                answer = await guest.call(
                    (initial_solution,),
                    cpu_seconds=self._budget.cpu_seconds,
                    wall_seconds=self._budget.seconds,
                    on_request=self._serve,
                )
            except _TooManyRefusals:  # the guest is in the middle of a call: `end` is for others
                detail = f"made {MAX_REFUSALS} requests that could not be served"
                self._event("refusals", detail)
                return self._outcome("error", detail, None, JobOutput())
        output = await guest.end()
        if answer.violation or output.violation:
            self._event("frames", answer.detail or output.violation)
        return self._judge(answer, result_entry_point, output)

    def _job(self, improver: str, random_seed: int) -> Job:
        return Job(
            source=improver,
            entry_point=ENTRY_POINT,
            random_seed=random_seed,
            total_cpu_seconds=self._budget.cpu_seconds + 10,
            output_bytes=4 << 20,
            services={
                "utility": {"text": self._utility.text, "budget": self._budget.utility_calls},
                "language_model": {
                    "budget": self._budget.lm_calls,
                    "max_responses_per_call": self._budget.responses_per_call,
                },
            },
        )

    def _judge(self, answer: Answer, entry_point: str, output: JobOutput) -> ImproverOutcome:
        if answer.status != "ok":
            return self._outcome(answer.status, answer.detail, None, output)
        if not isinstance(answer.value, str):
            kind = type(answer.value).__name__
            return self._outcome("invalid", f"returned {kind}, not a program", None, output)
        if problem := syntax_problem(answer.value, entry_point):
            return self._outcome("syntax", f"returned no program: {problem}", None, output)
        return self._outcome("ok", "", answer.value, output)

    def _outcome(
        self, status: Status, detail: str, source: str | None, output: JobOutput
    ) -> ImproverOutcome:
        cause: Cause = ""
        if status != "ok" and self._lm_refused:
            cause = "lm_refused"
        elif status != "ok" and self._over_budget:
            cause = "lm_budget"
        counts = (self._utility_calls, self._lm_calls)
        return ImproverOutcome(status, detail, source, *counts, output, self._scores, cause)

    def _tell_signs(self) -> None:
        """What the guest attempted since the last time that it was asked."""
        signs = () if self._guest is None else self._guest.signs
        new, self._signs_told = signs[self._signs_told :], len(signs)
        tell_all(self._on_event, [seen(sign.kind, sign.detail, sign.source) for sign in new])

    # --- requests of the guest

    async def _serve(self, service: str, value: Any) -> dict[str, Any]:
        self._tell_signs()
        known = _FIELDS.get(service)
        if known is not None and isinstance(value, dict) and value.keys() <= known:
            self._lm_refused = False
            serve = self._utility_call if service == "utility" else self._lm_call
            return await serve(value)
        self._event("frames", f"a request for {str(service)[:50]!r}")
        return self._refused({"refused": "there is no such service"})

    async def _utility_call(self, value: dict[str, Any]) -> dict[str, Any]:
        tell_all(self._on_event, flag_events(value.get("flags")))
        self._check_belief("utility calls", value.get("believed"), self._budget.utility_calls)
        source = value.get("program")
        if self._utility_calls >= self._budget.utility_calls:  # as in the reference: 0, no error
            return self._refused({"score": 0.0, "uses": self._utility_calls})
        self._utility_calls += 1
        with self._ledger.reserve(ONE_UTILITY_CALL) as reservation:
            if isinstance(source, str) and len(source) <= MAX_PROGRAM_BYTES:
                score = await self._utility.score(source)
                self._scores[program_id(source)] = score.value
            else:
                source, score = None, Score(self._utility.worst, "invalid")
            self._on_utility_call(source, score)
            reservation.settle(ONE_UTILITY_CALL)
        return {"score": score.value, "uses": self._utility_calls}

    def _check_belief(self, what: str, believed: Any, granted: int) -> None:
        """The guest's client says what budget its object shows; a larger one was written there."""
        if what in self._told or (type(believed) in (int, float) and believed <= granted):
            return
        if believed is not None:
            self._told.add(what)
            detail = f"its budget of {what} is {granted}, and it shows {believed!r}"[:200]
            self._event("budget", detail)

    async def _lm_call(self, value: dict[str, Any]) -> dict[str, Any]:
        self._check_belief("LM calls", value.get("believed"), self._budget.lm_calls)
        batch = value.get("messages")
        messages = [value.get("message")] if batch is None else batch
        n, temperature = value.get("n", 1), value.get("temperature", 0.7)
        expertise = value.get("expertise")
        most = self._budget.responses_per_call
        problem = _lm_request_problem(expertise, messages, n, temperature, most)
        if problem:
            return self._refused({"refused": problem, "times_used": self._lm_calls})
        if self._lm_calls >= self._budget.lm_calls:
            text = f"the budget of {self._budget.lm_calls} language model calls is used up"
            return self._refused({"over_budget": text, "times_used": self._lm_calls})
        self._lm_calls += 1
        used = self._lm_calls
        try:
            responses = await self._complete(expertise, messages, n, float(temperature))
        except LMRequestRefused as error:
            self._lm_refused = True
            return {"refused": error.message, "times_used": used}
        except BudgetExceeded as error:
            if error.level != _LEVEL:
                raise
            self._lm_calls -= 1
            self._over_budget = True
            return self._refused({"over_budget": error.message, "times_used": self._lm_calls})
        return {"responses": responses, "times_used": used}

    async def _complete(
        self, expertise: Any, messages: list[Any], n: int, temperature: float
    ) -> list[str]:
        """Equal messages become one request for several responses: the prompt is read once."""
        wanted: dict[str, int] = {}
        for message in messages:
            wanted[message] = wanted.get(message, 0) + n
        requests = [
            LMRequest(expertise, message, count, temperature, self._budget.max_tokens)
            for message, count in wanted.items()
        ]
        responses = await self._within_budget(requests)
        queues = {r.message: list(a.texts) for r, a in zip(requests, responses, strict=True)}
        return [queues[message].pop(0) for message in messages for _ in range(n)]

    async def _within_budget(self, requests: list[LMRequest]) -> list[LMResponse]:
        """All of a call or nothing, decided by what it could cost: also when it is on the tape."""
        worst = Spending()
        if self._account.budget.limits:
            for request in requests:
                worst.add(_cost(self._lm.worst_case(request)))
        await self._account.room(worst)
        with self._account.reserve(worst) as reservation:
            responses = await gather_or_cancel(self._lm.complete(request) for request in requests)
            actual = Spending()
            for response in responses:
                actual.add(_cost(response.usage))
            reservation.settle(actual)
        return responses

    def _refused(self, reply: dict[str, Any]) -> dict[str, Any]:
        """A guest that swallows refusals and asks again and again is ended."""
        self._refusals += 1
        if self._refusals >= MAX_REFUSALS:
            raise _TooManyRefusals
        return reply

    def _event(self, kind: str, detail: str) -> None:
        self._on_event(seen(kind, detail, "host"))


def _cost(usage: Usage) -> Spending:
    return Spending(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        usd=usage.usd or 0.0,
    )


def _lm_request_problem(expertise: Any, messages: Any, n: Any, temperature: Any, most: int) -> str:
    """Why a request cannot be served as it was put, or ""."""
    if not isinstance(messages, list) or not messages:
        return "no message was given"
    if not isinstance(expertise, str) or not all(isinstance(m, str) for m in messages):
        return "expertise and messages must be strings"
    if type(n) is not int or n < 1:
        return "n_responses must be a whole number from 1"
    if n * len(messages) > most:
        return f"{n * len(messages)} responses were asked for; one call may ask for {most}"
    if not isinstance(temperature, int | float) or not 0 <= temperature <= 2:
        return "temperature must be a number from 0 to 2"
    return ""
