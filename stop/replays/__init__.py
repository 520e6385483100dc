"""A run once more from its tape, with no model and no network, and what came out differently.

run folder ─copy─► recording ─┬─ responses ──► the run again, in a folder of its own   (running)
                              └─ what came of it then ─┐
                                what comes of it now ──┴─► differences, by improver    (comparing)

A run is repeatable when its programs are: chance, clocks and hash seeds in guests come from the
host (`sandbox/guest/chance.py`), instances from the run's secret, responses from the tape.
"""

from __future__ import annotations

from stop.replays.differences import Difference, Replay
from stop.replays.running import replay

__all__ = ["Difference", "Replay", "replay"]
