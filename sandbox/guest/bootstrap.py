"""Reads the guest's code from stdin and starts it. The text of this file is given to `python -c`.

stdin begins with 4 bytes of length and as much JSON: "modules" as [name, text] in the order of
their imports, and "config" (`stop.sandbox.protocol.GuestConfig`).
"""

import json
import os
import sys
import types
from typing import Any


def read(size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = os.read(0, size - len(data))
        if not piece:
            sys.exit(0)
        data += piece
    return data


def load() -> dict[str, Any]:
    """Registers the modules under their names and returns the configuration."""
    bundle = json.loads(read(int.from_bytes(read(4), "big")))
    for name, text in bundle["modules"]:
        module = sys.modules[name] = types.ModuleType(name)
        module.__package__, _, last = name.rpartition(".")
        exec(compile(text, f"<stop:{name}>", "exec", dont_inherit=True), module.__dict__)
        if module.__package__:
            setattr(sys.modules[module.__package__], last, module)
    config: dict[str, Any] = bundle["config"]
    return config


if __name__ == "__main__":
    config = load()
    from guest.boot import main

    main(config)
