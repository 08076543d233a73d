"""Where a CACAO playbook that Tocsin wrote carries the Tocsin playbook it was made from."""

from __future__ import annotations

import hashlib
from typing import Any

#: The extension that holds it, and who defines the extension.
EXTENSION = "extension-definition--6f0c2a4e-3f5b-4d0e-9a51-5b1c7de0a2b4"
AUTHOR = "identity--2f6a4b1c-8a1d-4d3c-9b77-0c1f3c2f9b1e"


def carried(playbook: dict[str, Any]) -> dict[str, Any] | None:
    """The Tocsin playbook that a CACAO playbook carries, None if it carries none."""
    extensions = playbook.get("playbook_extensions")
    own = extensions.get(EXTENSION) if isinstance(extensions, dict) else None
    document = own.get("playbook") if isinstance(own, dict) else None
    return document if isinstance(document, dict) else None


def definition() -> dict[str, Any]:
    """The extension's definition."""
    return {
        "type": "extension-definition",
        "name": "tocsin-playbook",
        "description": "The playbook in the language it was written in: conditions, guards, holds.",
        "created_by": AUTHOR,
        "schema": "The JSON Schema that `tocsin playbook schema` prints, for apiVersion tocsin/v1.",
        "version": "1.0.0",
    }


def identifier(kind: str, *names: str) -> str:
    """An identifier that the names determine; its UUID has the form of a random one."""
    raw = bytearray(hashlib.sha256("\0".join((kind, *names)).encode()).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{kind}--{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
