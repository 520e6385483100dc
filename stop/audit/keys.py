"""The key that this machine signs its audit logs with, and the names of such keys.

It lies next to the user's other secret and never leaves the machine. Whoever can read it can forge
logs; whoever can only write to a run's folder cannot.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import secrets
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from stop._util.state import state_folder
from stop.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_KEY_BYTES = 32
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_PUBLIC_KEY = re.compile(r"[0-9a-f]{64}")


def machine_key() -> Ed25519PrivateKey:
    """Returns the key of this machine, which is made at the first call.

    Raises:
        ConfigError: it is damaged, open to other users, or cannot be written.
    """
    path = _path()
    if not path.exists():
        _make(path)
    return _read(path)


def machine_fingerprint() -> str | None:
    """Returns the name of this machine's key; None when it has none yet."""
    path = _path()
    return fingerprint(public_bytes(_read(path))) if path.exists() else None


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """Returns the public half, 32 bytes."""
    return key.public_key().public_bytes_raw()


def fingerprint(public_key: bytes) -> str:
    """Returns what people compare: `SHA256:` and the digest in base64, as ssh writes it."""
    digest = hashlib.sha256(public_key).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def parse_key(text: str) -> str:
    """Returns the fingerprint that a user means by a fingerprint or a public key in hex.

    Raises:
        ConfigError: it is neither.
    """
    text = text.strip()
    if _FINGERPRINT.fullmatch(text):
        return text
    if _PUBLIC_KEY.fullmatch(text.lower()):
        return fingerprint(bytes.fromhex(text))
    raise ConfigError(
        "this is neither a fingerprint nor a public key",
        hint="`stop audit key` on the other machine shows both",
    )


def signature_fits(public_key: str, signature: str, message: bytes) -> bool:
    """Returns whether `signature` is one of `message`, in hex of the right size.

    Args:
        public_key: 32 bytes in hex.
        signature: 64 bytes in hex.
        message: what was signed.
    """
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - slow import
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PublicKey,
    )

    try:
        key = Ed25519PublicKey.from_public_bytes(binascii.unhexlify(public_key))
        key.verify(binascii.unhexlify(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _path() -> Path:
    return state_folder() / "audit-key"


def _make(path: Path) -> None:
    """Write a new key under a name of its own, then link it: another process sees all or nothing.

    When two do it at once, the first link stays and both use it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Its mode is 0600.
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
            os.link(file.name, path)
    except FileExistsError:
        return
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}",
            hint="set STOP_STATE_DIR to a folder of yours",
        ) from error


def _read(path: Path) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 - slow import
        Ed25519PrivateKey,
    )

    try:
        # Not blocking: a pipe in its place must not hang every command.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            value = file.read(_KEY_BYTES + 1) if stat.S_ISREG(mode) else b""
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    if len(value) != _KEY_BYTES:
        raise ConfigError(
            f"{path} is damaged: it should hold {_KEY_BYTES} bytes",
            hint="put a copy back, or delete it; logs that it signed will then count as foreign",
        )
    if mode & 0o077:
        raise ConfigError(
            f"{path} can be read by other users, who could sign logs with it",
            hint=f"if none did: chmod 600 {path}",
        )
    return Ed25519PrivateKey.from_private_bytes(value)
