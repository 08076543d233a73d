"""Keys that sign the audit's roots: Ed25519 (RFC 8032), read anew by reference.

A private key is 32 bytes in base64, one line; so is a public one. A key is named by the first 16
hexadecimal digits of the SHA-256 of its public half.
"""

from __future__ import annotations

import secrets
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import TYPE_CHECKING

from tocsin.config import secret
from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

#: What a signature is about, so that no other use of the key can be taken for one.
PURPOSE = b"tocsin audit root 1\0"


class Signer:
    """Signs with a private key; raises ConfigError where it cannot be read or is none."""

    def __init__(self, private: bytes) -> None:
        self._key = _private(private)
        self.public = self._key.public_key().public_bytes_raw()
        self.id = key_id(self.public)

    @classmethod
    def of(cls, reference: str) -> Signer:
        """The key that a reference names (env:NAME, file:/path)."""
        try:
            return cls(b64decode(secret(reference).strip(), validate=True))
        except ValueError:
            raise ConfigError(
                "audit.key is no key: `tocsin audit keygen --out FILE` makes one"
            ) from None

    def sign(self, message: bytes) -> str:
        """The signature, in base64."""
        return b64encode(self._key.sign(PURPOSE + message)).decode()


def key_id(public: bytes) -> str:
    """The name of a public key."""
    return sha256(public).hexdigest()[:16]


def trusted(publics: Iterable[str], own: Signer | None) -> dict[str, bytes]:
    """The public keys to verify with, by name."""
    found = {key_id(raw): raw for raw in (b64decode(each) for each in publics)}
    return found | ({own.id: own.public} if own is not None else {})


def is_signed(keys: Mapping[str, bytes], name: str, message: bytes, signature: str) -> bool:
    """Whether a known key of that name has signed the message."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    public = keys.get(name)
    if public is None:
        return False
    try:
        given = b64decode(signature, validate=True)
        Ed25519PublicKey.from_public_bytes(public).verify(given, PURPOSE + message)
    except (InvalidSignature, ValueError):
        return False
    return True


def new_private() -> str:
    """A new private key, in base64."""
    return b64encode(secrets.token_bytes(32)).decode()


def encoded(public: bytes) -> str:
    """A public key as `audit.trusted` takes it."""
    return b64encode(public).decode()


def _private(raw: bytes) -> Ed25519PrivateKey:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise ConfigError(
            "audit.key is set, but cryptography is not installed: pip install 'tocsin[audit]'"
        ) from None
    if len(raw) != 32:
        raise ConfigError("audit.key is no Ed25519 key: it has not 32 bytes")
    return ed25519.Ed25519PrivateKey.from_private_bytes(raw)
