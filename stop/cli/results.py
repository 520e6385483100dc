"""How a command shows the result of a run, whatever its kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from stop.cli.display import RunProgress
from stop.cli.output import note, show

if TYPE_CHECKING:
    from stop.api import AnyResult

_LOOK_CLOSER = {
    "Run": "look closer: stop lineage {}",
    "Improved": "look closer: stop show {} best",
    "BypassRates": "read a program: stop show {} ID",
    "Transfer": "look closer: stop costs {}",
}
"""The command that shows more of a result, by its class."""


def show_result(result: AnyResult, as_json: bool) -> None:
    """Shows a result; then raises the reason why the run is not done, if it is not."""
    show(result.to_dict(), result.sheet(), as_json)
    if not as_json:
        note(f"\nrecorded in {result.folder}")
        note(_LOOK_CLOSER[type(result).__name__].format(result.folder))
    if error := getattr(result, "error", None):
        raise error


def carry_out(work: Callable[[RunProgress], AnyResult], as_json: bool) -> None:
    """Does the work of a run under live progress, and shows its result."""
    with RunProgress() as progress:
        result = work(progress)
    show_result(result, as_json)
