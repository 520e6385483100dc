"""When the candidate of a round takes the place of the current improver."""

from __future__ import annotations

from stop._util.statistics import Estimate
from stop.engine.meta_utility import MetaEvaluation
from stop.experiments.rounds.config import Accept


def accepts(rule: Accept, candidate: MetaEvaluation, difference: Estimate) -> bool:
    """Returns whether a rule accepts a candidate; one that returns no program never is.

    Args:
        rule: "better" wants a higher meta-utility on the same cells; "always" is the paper's.
        candidate: its meta-utility.
        difference: candidate minus current improver, paired by cell.
    """
    return candidate.works and (rule == "always" or difference.mean > 0)
