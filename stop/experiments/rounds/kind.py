"""Rounds of self-improvement as a kind of run."""

from __future__ import annotations

from dataclasses import replace

from stop.engine.session import Session
from stop.errors import RunError
from stop.experiments.kind import Ends, Kind, Outcome, Scale
from stop.experiments.rounds.config import RoundsConfig
from stop.experiments.rounds.result import read_best
from stop.experiments.rounds.work import run_rounds
from stop.improvers import load_improver
from stop.store import Store
from stop.store.best import best_round


class _Rounds(Kind[RoundsConfig]):
    name = "run"
    has_rounds = True
    config = RoundsConfig

    async def work(self, session: Session, config: RoundsConfig) -> None:
        await run_rounds(session, config)

    def outcome(self, store: Store, config: RoundsConfig) -> Outcome:
        best = best_round(store, config)
        if best is None:
            return Outcome()
        found = read_best(store, store.rounds(), best)
        outcome = Outcome(meta_utility=found.meta_utility, interval=found.interval)
        if found.gain is None:
            return outcome
        low, high = found.gain["interval"] or (0.0, 0.0)
        return replace(outcome, gain=found.gain["difference"], gain_interval=(low, high))

    def best(self, store: Store, config: RoundsConfig) -> str:
        """The last confirmed improver, else the accepted one with the highest meta-utility."""
        best = self.ends(store, config).last
        if best is None:
            raise RunError(f"{store.path.parent} has no improver with a meta-utility yet")
        return best

    def first(self, store: Store, config: RoundsConfig) -> str:
        """The improver of round 0."""
        return self.ends(store, config).first or super().first(store, config)

    def ends(self, store: Store, config: RoundsConfig) -> Ends:
        first = next((r.improver_id for r in store.rounds() if r.round == 0), None)
        best = best_round(store, config)
        return Ends(first, best.improver_id if best else None, "seed improver", "best improver")

    def scale(self, config: RoundsConfig) -> Scale:
        # Round 0 measures the seed; a round is one meta run whose utility calls each measure an
        # improver, and where no fresh cells decide, the measure of what it returns is one of these
        # or one more.
        confirmed = config.accept == "confirmed"
        a_round = config.meta_budget.utility_calls + (not confirmed)
        pairs = 2 * config.confirm_repetitions * len(config.tasks) if confirmed else 0
        return Scale(
            1 + config.rounds * a_round,
            config.rounds,
            config.improver or load_improver("seed").source,
            confirmation=config.rounds * pairs,
            final=2 * config.final_repetitions * len(config.all_tasks) if config.rounds else 0,
        )


ROUNDS = _Rounds()
