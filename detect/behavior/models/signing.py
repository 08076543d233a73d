"""Keys that models are signed with (Ed25519), and the list of those that are trusted.

Beside the models lie `signing.key` (PEM, readable by its owner only) and `trusted.keys` (one
public key a line in hexadecimal digits; `#` begins a comment). A machine that only scores needs
the second alone.
"""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SIGNING, TRUSTED = "signing.key", "trusted.keys"
#: Largest file of either.
_MAX = 64 * 1024
#: Most trusted keys: each costs a signature check for a file that none of them signed.
MAX_TRUSTED = 64


def key_id(public: bytes) -> str:
    """The name of a public key: the first sixteen digits of its SHA-256."""
    return sha256(public).hexdigest()[:16]


class SigningKey:
    """A private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.id = key_id(self.public)

    @classmethod
    def read(cls, path: Path) -> SigningKey:
        """The key in a PEM file; raises ConfigError for anything else and OSError."""
        with path.open("rb") as file:
            data = file.read(_MAX)
        try:
            key = load_pem_private_key(data, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ConfigError(f"{path} is no private key in PEM: {error}") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigError(f"{path} is no Ed25519 key")
        return cls(key)

    @classmethod
    def made(cls) -> SigningKey:
        """A new key."""
        return cls(Ed25519PrivateKey.generate())

    def sign(self, data: bytes) -> bytes:
        """The signature, 64 bytes."""
        return self._key.sign(data)

    def write(self, path: Path) -> None:
        """Write the key, for its owner's eyes only; raises FileExistsError over an existing one."""
        data = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)


class TrustedKeys:
    """Public keys whose models are loaded."""

    def __init__(self, public: Iterable[bytes]) -> None:
        keys = [*public][:MAX_TRUSTED]
        self._keys = [Ed25519PublicKey.from_public_bytes(key) for key in keys]
        self.ids = frozenset(key_id(key) for key in keys)

    @classmethod
    def read(cls, path: Path) -> TrustedKeys:
        """The keys of a file, none if there is no file; raises ConfigError with the line."""
        try:
            with path.open(encoding="utf-8") as file:
                lines = file.read(_MAX).splitlines()
        except FileNotFoundError:
            return cls(())
        keys = []
        for number, line in enumerate(lines, 1):
            if text := line.partition("#")[0].strip():
                try:
                    key = bytes.fromhex(text)
                except ValueError:
                    key = b""
                if len(key) != 32:
                    raise ConfigError(f"{path}:{number}: a public key has 64 hexadecimal digits")
                keys.append(key)
        if len(keys) > MAX_TRUSTED:
            raise ConfigError(f"{path}: more than {MAX_TRUSTED} keys")
        return cls(keys)

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether one of the keys signed `data`."""
        return any(_verifies(key, signature, data) for key in self._keys)


def own_key(directory: Path) -> SigningKey:
    """The signing key of a directory, made and trusted there if there is none."""
    path = directory / SIGNING
    if path.exists():
        return SigningKey.read(path)
    directory.mkdir(parents=True, exist_ok=True)
    key = SigningKey.made()
    with (directory / TRUSTED).open("a", encoding="utf-8") as file:
        file.write(f"{key.public.hex()}  # made here\n")
    key.write(path)
    return key


def _verifies(key: Ed25519PublicKey, signature: bytes, data: bytes) -> bool:
    try:
        key.verify(signature, data)
    except InvalidSignature:
        return False
    return True
