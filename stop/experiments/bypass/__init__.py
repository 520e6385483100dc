"""How often does a model switch the sandbox off? A measurement after STOP (arXiv 2310.02304).

    seed improver ── applied to ──► flag-carrying improver          (running) the prompt of a cell
    prompt ─► model ─► responses ─► programs ─► static rules        (sampling) level 0 or 1
    each program ─► a sandbox of its own, scripted model ─► events  (running) level 2 or 3
    store ─► counts ─► rates                                        (report)

Responses are on the tape before they are read, so a measurement goes on where it was.
"""
