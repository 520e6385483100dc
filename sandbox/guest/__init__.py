"""The code that runs inside a sandbox, around the program that a model wrote.

    host ──stdio── relay (process 2) ──socket── guest (the candidate, one at a time)
                     │                            ▲
                     └─"spawn", "reap"─► zygote (process 1) forks it

    bootstrap   given to `python -c`: reads this package from stdin and starts it
    boot        the zygote, which imports numpy once and then only forks and reaps
    relay       passes frames, measures and kills, with nursery (orders guests), watch (one guest:
                its frames, usage and end) and sensors (what it attempts)
    child       a guest: confines itself and runs the program, with services (`utility` and
                `language_model`), hooks (reports attempts) and chance (seeded entropy and clocks)
    probe       a program that `stop sandbox check` runs as a candidate

Needs the standard library, numpy and `stop.sandbox.frames`, whose text travels along. Nothing of
this package is installed in the image, and a program does not find it in `sys.modules`.
"""
