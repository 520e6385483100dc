"""The run's SQLite file: everything that happened, written while it happens.

    writes.py ──► run.db ◄── queries.py     one writer, which holds the run's lock; many readers
                    ▲                        (WAL)
    schema.py, migrations/                   the tables, and how older files get them

The other modules each have tables or a question of their own: samples, faults, calls, payments,
recorded (evaluations), best, makers; tables.py has what people analyse.
"""

from stop.store.records import ImproverRunRecord, ProgramRecord, RoundRecord
from stop.store.writes import Store

__all__ = ["ImproverRunRecord", "ProgramRecord", "RoundRecord", "Store"]
