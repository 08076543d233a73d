"""Saying why an event looks as it does: format, mapping, and the origin of each field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from ingest.mapping.library import Mapped
    from ingest.mapping.line import Line
    from ingest.normalize import Normalizer


class Explained:
    """Watches a normalizer; `of` tells about the event it made last."""

    def __init__(self, normalizer: Normalizer) -> None:
        normalizer.watch = self._watch
        self._last: list[tuple[Line, Mapped]] = []

    def _watch(self, line: Line, mapped: Mapped) -> None:
        self._last.append((line, mapped))

    def of(self, document: Any) -> str:
        """What happened to the last raw record, as text."""
        seen, self._last = self._last, []
        lines = []
        for line, mapped in seen[-1:]:
            program = mapped.program
            lines.append(f"format   {line.format}")
            lines.append(f"mapping  {program.id} version {program.version} ({program.file})")
            if line.header is not None:
                lines.append(f"header   host={line.header.host} program={line.header.program}")
            lines.append(f"fields   {', '.join(list(line.fields)[:40])}")
            for path, (number, reason) in sorted(mapped.ran.why.items()):
                lines.append(f"  {path:32} line {number}: {reason}")
        if not seen:
            parser = document.get("tocsin", {}).get("parser", {}).get("name", "none")
            lines.append(f"no mapping; parser {parser}")
        return "\n".join((*lines, orjson.dumps(document, option=orjson.OPT_INDENT_2).decode(), ""))
