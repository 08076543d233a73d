"""Registered domain, public suffix and subdomain of host names (ECS url, dns.question, …)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tocsin.files import Watched
from tocsin.public_suffix import Suffixes

if TYPE_CHECKING:
    from pathlib import Path

    from tocsin.contracts import Document

_ENDPOINTS = ("source", "destination", "client", "server")


class Domains:
    """Adds the parts of host names; `path` is a list newer than the one that came along."""

    def __init__(self, path: Path | None = None) -> None:
        self._file = None if path is None else Watched(path, Suffixes.read)
        self._suffixes = Suffixes()

    def refresh(self) -> None:
        """Read the list again if it has changed."""
        if self._file is not None and (read := self._file.current()) is not None:
            self._suffixes = read

    def apply(self, document: Document) -> None:
        """Add the parts of `url.domain`, `dns.question.name` and the endpoints' domains."""
        if "url" in document:
            self._add(document["url"], "domain")
        if "dns" in document and isinstance(document["dns"], dict):
            self._add(document["dns"].get("question"), "name")
        for name in _ENDPOINTS:
            if name in document:
                self._add(document[name], "domain")

    def problems(self) -> list[str]:
        """What is wrong with the list now."""
        return [self._file.problem] if self._file is not None and self._file.problem else []

    def _add(self, body: Any, field: str) -> None:
        if not isinstance(body, dict) or "registered_domain" in body:
            return
        if not isinstance(host := body.get(field), str):
            return
        registered, suffix, below = self._suffixes.parts(host)
        if suffix:
            body.setdefault("top_level_domain", suffix)
        if registered:
            body["registered_domain"] = registered
        if below:
            body.setdefault("subdomain", below)
