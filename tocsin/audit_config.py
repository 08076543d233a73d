"""Signed roots of the audit: `audit` of tocsin.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from tocsin.config_types import Duration, Section


class AuditSettings(Section):
    """`key` is a reference to an Ed25519 key (`tocsin audit keygen`); without it nothing is signed.

    Each `every` what is new in a chain is signed, and the signature kept in the audit itself (so
    in the store), appended to `file`, and sent to `channel` of the signed webhook. `trusted` are
    public keys that signed before, or that sign elsewhere.
    """

    key: str = ""
    trusted: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{43}=$")], ...] = ()
    every: Annotated[Duration, Field(ge=1_000)] = 60_000
    file: Path | None = None
    channel: str = ""
