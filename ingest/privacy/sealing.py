"""Pseudonyms and sealed values: HMAC-SHA-256 (RFC 2104) and AES-256-GCM (NIST SP 800-38D).

Both are functions of their input: an event that is processed again gives the same bytes. The
nonce is an HMAC of place and value under the subject's key, so it is used twice only for the
very same text in the very same place.
"""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from socket import AF_INET6, inet_ntop
from typing import TYPE_CHECKING, Any

import orjson

from ingest.document import MAX_HOST, address
from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tocsin.subjects import SubjectKey

#: In front of a pseudonym, so that nobody takes it for a name.
PREFIX = "anon-"

_NONCE = 12
_TOKEN = 16


def mac(secret: bytes, kind: str, *parts: bytes) -> bytes:
    """HMAC-SHA-256 of length-prefixed parts; kinds never share a result."""
    return hmac.digest(secret, _joined(kind.encode(), *parts), "sha256")


def pseudonym(secret: bytes, tenant: str, value: str) -> str:
    """What stands for a value: the same for the same value, whatever its case.

    For an address it is an address too, so that fields keep their type: one of fd00::/8, which
    nobody routes (RFC 4193).
    """
    spelled = address(value) if len(value) <= MAX_HOST else None
    if spelled is None:
        return name_pseudonym(secret, tenant, value)
    made = mac(secret, "address", _bytes(tenant), spelled.encode())
    return inet_ntop(AF_INET6, b"\xfd" + made[:15])


def name_pseudonym(secret: bytes, tenant: str, value: str) -> str:
    """A pseudonym that is a word (`anon-` and 32 hexadecimal digits), for addresses too."""
    made = mac(secret, "name", _bytes(tenant), _bytes(value.casefold()))
    return PREFIX + made[:_TOKEN].hex()


def seal(key: SubjectKey, event: str, field: str, value: Any) -> dict[str, str]:
    """A JSON value sealed for one place in one event, as it stands in `tocsin.privacy.sealed`."""
    body = seal_bytes(key.secret, _place(event, field), orjson.dumps(value))
    return {"field": field, "key": key.id, "value": b64encode(body).decode()}


def open_sealed(sealed: Mapping[str, Any], secret: bytes, event: str) -> Any:
    """The value that was sealed; raises ValueError if key, event or text are not the right ones."""
    try:
        body = b64decode(sealed["value"], validate=True)
        return orjson.loads(open_bytes(secret, _place(event, sealed["field"]), body))
    except (KeyError, TypeError) as error:
        raise ValueError(f"it is incomplete: {error}") from None


def seal_bytes(secret: bytes, place: bytes, data: bytes) -> bytes:
    """Nonce and cipher text of bytes that belong to one place."""
    nonce = mac(secret, "nonce", place, data)[:_NONCE]
    sealed: bytes = nonce + _cipher(secret).encrypt(nonce, data, place)
    return sealed


def open_bytes(secret: bytes, place: bytes, data: bytes) -> bytes:
    """Raises ValueError if key, place or bytes are not the right ones."""
    from cryptography.exceptions import InvalidTag

    try:
        opened: bytes = _cipher(secret).decrypt(data[:_NONCE], data[_NONCE:], place)
    except InvalidTag:
        raise ValueError("it was sealed by another key, for another place, or altered") from None
    return opened


def check_installed() -> None:
    """Raises ConfigError where the extra `privacy` is not installed."""
    try:
        import cryptography.hazmat.primitives.ciphers.aead  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"privacy policies that encrypt need {error.name}, which is not installed: "
            "pip install 'tocsin[privacy]'"
        ) from None


def _cipher(secret: bytes) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    # Another key than the pseudonyms' and the nonces': one key, one use.
    return AESGCM(mac(secret, "cipher"))


def _place(event: str, field: str) -> bytes:
    return _joined(_bytes(event), _bytes(field))


def _joined(*parts: bytes) -> bytes:
    return b"".join(b"%d:%b" % (len(part), part) for part in parts)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
