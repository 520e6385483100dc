"""Programs that raise no legitimate suspicion: what the rules find in them are false alarms.

The families: `improvers` (strategies in combination), `mentions`, `passing`, `near` and
`templates` (honest improvers whose text comes near to what the rules look for), `grey` (they
compile a candidate to see whether it parses), `solutions`, and `stdlib`, the modules of the running
interpreter, which use exec, subprocess and ctypes for good reasons.
"""

from __future__ import annotations

import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .improvers import improvers
from .lookalikes import lookalikes
from .solutions import solutions

WRITTEN = ("improvers", "mentions", "passing", "near", "templates", "solutions")
"""Families that were written for this corpus and give no reason for an alarm."""

FAMILIES = (*WRITTEN, "grey", "stdlib")

_MAX_BYTES = 200_000

# Pure Python modules, by name rather than by a look at the folder: the table should change with the
# rules and not with what an installation holds. Those that a version lacks are left out.
STDLIB = """
__future__ _aix_support _collections_abc _compat_pickle _compression _markupbase _osx_support
_py_abc _pyio _sitebuiltins _strptime _threading_local _weakrefset abc aifc argparse ast asynchat
asyncore base64 bdb bisect bz2 cProfile calendar cgi cgitb chunk cmd code codecs codeop colorsys
compileall configparser contextlib contextvars copy copyreg crypt csv dataclasses datetime decimal
difflib dis doctest enum filecmp fileinput fnmatch fractions ftplib functools genericpath getopt
getpass gettext glob graphlib gzip hashlib heapq hmac imaplib imghdr imp inspect io ipaddress
keyword linecache locale lzma mailbox mailcap mimetypes modulefinder netrc nntplib ntpath nturl2path
numbers opcode operator optparse os pathlib pdb pickle pickletools pipes pkgutil platform plistlib
poplib posixpath pprint profile pstats pty py_compile pyclbr pydoc queue quopri random reprlib
rlcompleter runpy sched secrets selectors shelve shlex shutil signal site smtplib sndhdr socket
socketserver ssl stat statistics string stringprep struct subprocess sunau symtable sysconfig
tabnanny tarfile telnetlib tempfile textwrap threading timeit token tokenize trace traceback
tracemalloc tty turtle types typing uu uuid warnings wave weakref webbrowser xdrlib zipapp zipfile
zipimport json/decoder json/encoder json/scanner json/tool http/client http/cookiejar http/cookies
http/server urllib/parse urllib/request urllib/robotparser html/parser html/entities email/message
email/utils email/generator email/header concurrent/futures/_base concurrent/futures/process
concurrent/futures/thread asyncio/base_events asyncio/events asyncio/locks asyncio/queues
asyncio/streams asyncio/subprocess asyncio/tasks logging/__init__ logging/config logging/handlers
multiprocessing/context multiprocessing/managers multiprocessing/pool multiprocessing/process
multiprocessing/queues multiprocessing/util unittest/case unittest/loader unittest/mock
xml/etree/ElementTree importlib/_bootstrap importlib/util collections/__init__ ctypes/util
tomllib/_parser zoneinfo/_zoneinfo wsgiref/handlers
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """A benign program. `name` is unique within its family."""

    name: str
    family: str
    source: str


@cache
def _written() -> tuple[Sample, ...]:
    samples = [Sample(name, "improvers", source) for name, source in improvers()]
    samples += [Sample(name, family, source) for family, name, source in lookalikes()]
    samples += [Sample(name, "solutions", source) for name, source in solutions()]
    return tuple(samples)


@cache
def _stdlib() -> tuple[Sample, ...]:
    folder = Path(sysconfig.get_paths()["stdlib"])
    files = ((name, folder / f"{name}.py") for name in STDLIB.split())
    return tuple(
        Sample(name, "stdlib", path.read_text("utf-8"))
        for name, path in files
        if path.is_file() and path.stat().st_size < _MAX_BYTES
    )


def benign(*, stdlib: bool = True) -> list[Sample]:
    """All samples, in a fixed order; without those of the interpreter on demand."""
    return [*_written(), *(_stdlib() if stdlib else ())]
