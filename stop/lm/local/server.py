"""llama.cpp's server in a process of its own: `python -m stop.lm.local.server --model PATH`.

Reads one line from stdin, the key that its clients must show. Prints one line of JSON,
{"address": "http://127.0.0.1:PORT"}, once it serves. Ends when its stdin is closed, so it never
outlives the process that started it, however that one ended.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

MISSING_LIBRARY = 3


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="stop.lm.local.server")
    parser.add_argument("--model", required=True)
    parser.add_argument("--parallel", type=int, default=4)
    parser.add_argument("--context", type=int, default=16384)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    key = sys.stdin.readline().strip()
    # llama.cpp writes to stdout as it likes: only our line may arrive there.
    ready = os.dup(1)
    os.dup2(2, 1)
    try:
        import xllamacpp  # noqa: PLC0415 - an optional dependency
    except ImportError:
        return MISSING_LIBRARY
    parameters = xllamacpp.CommonParams()
    parameters.model.path = options.model
    parameters.n_parallel = options.parallel
    parameters.n_ctx = options.context
    parameters.kv_unified = True  # one pool: the responses to a prompt share its part
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.cpuparams.n_threads = options.threads
    parameters.verbosity = 2  # warnings and errors
    parameters.api_keys = [key]  # else every process and web page of this machine may use it
    parameters.ui = False
    server = xllamacpp.Server(parameters)
    os.write(ready, json.dumps({"address": server.listening_address.rstrip("/")}).encode() + b"\n")
    os.close(ready)
    while os.read(0, 4096):
        pass
    # Without waiting for a generation that is not read any more.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
