"""Saying why an event looks as it does: format, mapping, and the origin of each field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from ingest.mapping.line import Line
    from ingest.mapping.plain import Ran
    from ingest.mapping.program import Program


class Explained:
    """Watches the mappings of a library; `of` tells about the event that was made last."""

    def __init__(self) -> None:
        self._last: list[tuple[Line, Program, Ran]] = []

    def watch(self, line: Line, program: Program, ran: Ran) -> None:
        """Be told that a mapping ran."""
        self._last.append((line, program, ran))

    def of(self, document: Any) -> str:
        """What happened to the last raw record, as text."""
        seen, self._last = self._last, []
        lines = []
        for line, program, ran in seen[-1:]:
            lines.append(f"format   {line.format}")
            lines.append(f"mapping  {program.id} version {program.version} ({program.file})")
            if line.header:
                lines.append(f"header   host={line.header.host} program={line.header.program}")
            lines.append(f"fields   {', '.join(list(line.fields)[:40])}")
            for path, (number, reason) in sorted(ran.why.items()):
                lines.append(f"  {path:32} line {number}: {reason}")
        if not seen:
            parser = document.get("tocsin", {}).get("parser", {}).get("name", "none")
            lines.append(f"no mapping; parser {parser}")
        return "\n".join((*lines, orjson.dumps(document, option=orjson.OPT_INDENT_2).decode(), ""))
