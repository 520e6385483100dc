"""Does an improved improver do better on tasks that it was not improved on? After arXiv 2310.02304.

    seed solution ────────────────────────────► scores on `meta` and `test`
    seed solution ──seed improver────► program ─► the same instances     for each task × repetition
    seed solution ──improved improver► program ─► the same instances

Both improvers meet the same responses where they ask the same. Cells are improver runs of
`stop.engine.meta_utility`, on record when they end, so a measurement goes on where it was.
"""
