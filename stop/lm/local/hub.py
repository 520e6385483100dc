"""Fetches one file from the Hugging Face Hub: `python hub.py REPO FILE REVISION FOLDER`.

A process of its own, so that its environment can be set before the library is imported, and so
that it can be ended when nothing comes. Prints the file's path; says on stderr what went wrong.
"""

from __future__ import annotations

import sys

MISSING_LIBRARY = 3
FAILED = 4


def main(arguments: list[str]) -> int:
    repo, file, revision, folder = arguments
    try:
        import huggingface_hub  # noqa: PLC0415 - an optional dependency
    except ImportError:
        return MISSING_LIBRARY
    try:
        path = huggingface_hub.hf_hub_download(repo, file, revision=revision, local_dir=folder)
    except Exception as error:  # noqa: BLE001 - a process boundary: the parent reports it
        sys.stderr.write(f"\n{type(error).__name__}: {' '.join(str(error).split())}\n")
        return FAILED
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
