"""Saying why an event looks as it does: format, mapping, and the origin of each field."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest.mapping.line import Line
    from ingest.mapping.plain import Ran
    from ingest.mapping.program import Program


#: Most fields of a line that are looked at, and how much of a value is shown, characters.
MAX_FIELDS, MAX_SHOWN = 2_000, 60

#: What every event has, and what is made of other fields.
_OWN = ("tocsin", "ecs", "related")


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
        if "dead_letter" in document:
            letter = document["dead_letter"]
            lines.append(f"no event: {letter['code']}: {letter['reason']}")
        elif not seen:
            lines += _generic(document)
        return "\n".join((*lines, orjson.dumps(document, option=orjson.OPT_INDENT_2).decode(), ""))


def _generic(document: dict[str, Any]) -> list[str]:
    """What is known of an event that no mapping made: which fields have the values of the line's.

    The generic mapping goes by names and values and keeps no account: a field that was made of
    parts of a value is not told.
    """
    parser = document.get("tocsin", {}).get("parser", {}).get("name", "none")
    frame = parser.removeprefix("generic.")
    lines = [f"format   {frame}", f"mapping  none knows this line; parser {parser}"]
    if parser == frame or frame == "text":
        return lines
    fields = dict(islice(_leaves(document.get(frame), ""), MAX_FIELDS))
    names: dict[str, str] = {}
    for name, value in fields.items():
        names.setdefault(value, name)
    lines.append(f"fields   {', '.join(list(fields)[:40])}")
    others = {key: part for key, part in document.items() if key not in (frame, *_OWN)}
    for path, value in sorted(_leaves(others, "")):
        if value in names and not path.startswith("event.original"):
            lines.append(f"  {path:32} {names[value]} = {value[:MAX_SHOWN]!r}")
    return lines


def _leaves(node: Any, path: str) -> Iterator[tuple[str, str]]:
    """Dotted path and text of each value."""
    if isinstance(node, dict):
        for key, child in node.items():
            yield from _leaves(child, f"{path}.{key}" if path else key)
    elif isinstance(node, list):
        for child in node:
            yield from _leaves(child, path)
    elif node is not None:
        yield path, str(node)
