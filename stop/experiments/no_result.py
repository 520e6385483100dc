"""What several kinds of run say of an improver run that gave nothing."""

from __future__ import annotations

from stop.errors import LMRequestRefused
from stop.tasks.evaluation import Cause

QUARANTINED = "what it returned tried to get around the sandbox"


def raise_if_refused(cause: Cause, detail: str) -> None:
    """A refusal by the model's server is the user's to solve, not a weakness of the improver.

    Raises:
        LMRequestRefused: the server refused the improver run's last request.
    """
    if cause == "lm_refused":
        raise LMRequestRefused(
            detail,
            hint="a model with more room, a shorter program or utility text, or a smaller "
            "--max-response-tokens",
        )
