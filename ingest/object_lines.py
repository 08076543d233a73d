"""Lines of JSON that differ only in their values: one expression reads such a line.

Where the lines of a product are frequent and have the same keys in the same order at every depth,
an expression made of one of them (ingest.mapping.json_lines) is matched in half the time that
reading the line, and writing it again to see that it is canonical, takes. Lines that vary do not
pay for that: expressions that seldom fit are given up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ingest.jsontext import MAX_DEPTH
from ingest.mapping.json_lines import Sample, shape_of
from ingest.mapping.line import NO_HEADER

if TYPE_CHECKING:
    import re
    from collections.abc import Callable

    from ingest.mapping.json_lines import Steps
    from ingest.mapping.origin import Origin
    from ingest.mapping.runner import Function, Made, Runner

    Template = tuple[Callable[[str], re.Match[str] | None], Function]

#: Most first keys that are known, and most expressions for the lines of one.
MAX_KINDS = 256
MAX_TEMPLATES = 8

#: Longest beginning of a line that tells its kind: the brace and the first key.
MAX_FIRST = 64

#: Most lines of a kind that are looked at to find what they are like, and most of their shapes.
MAX_LEARNED = 256
MAX_SHAPES = 64

#: After a first look at so many, some have to be alike, or no more are looked at.
FIRST_LOOK = 128
ALIKE = 8

#: How many of them have to be alike for an expression: what is rare is not worth one.
FREQUENT_LINE = 32

#: After so many lines of a kind, most of them have to fit.
TRIAL = 512


class _Kind:
    """The lines that begin with one key."""

    __slots__ = ("fitted", "learned", "missed", "seen", "templates")

    def __init__(self) -> None:
        self.templates: list[Template] = []
        self.fitted = 0
        self.missed = 0
        self.learned = 0
        self.seen: dict[Any, int] = {}


class ObjectLines:
    """What is known of the lines of each kind."""

    def __init__(self) -> None:
        self.kinds: dict[bytes, _Kind] = {}

    def made(self, data: bytes, origin: Origin, offset: int, id: str) -> Made | None:
        """The event of a line that begins with a brace; None for one that has to be read."""
        kind = self.kinds.get(data[: data.find(b'"', 2, MAX_FIRST)])
        if kind is None or not kind.templates:
            return None
        try:
            text = data.decode("ascii")
        except UnicodeDecodeError:
            return None
        for fits, function in kind.templates:
            match = fits(text)
            if match is not None:
                event = function(match.groups(), text, NO_HEADER, origin, offset, id, text)
                if event is None:
                    break
                kind.fitted += 1
                return event
        kind.missed += 1
        if kind.missed > TRIAL and kind.missed > kind.fitted:
            kind.templates, kind.learned = [], MAX_LEARNED
        return None

    def learn(
        self, data: bytes, record: dict[str, Any], runner: Runner, fixed: frozenset[Steps] | None
    ) -> None:
        """Note a canonical line that no expression fitted; make one of it where it is frequent.

        `fixed`: the paths whose values decide that the line is the runner's, None if not known.
        """
        first = data[: data.find(b'"', 2, MAX_FIRST)]
        if len(first) > MAX_FIRST:
            return
        kind = self.kinds.get(first)
        if kind is None:
            if len(self.kinds) >= MAX_KINDS:
                self.kinds.clear()
            kind = self.kinds[first] = _Kind()
        if kind.learned >= MAX_LEARNED:
            return
        kind.learned += 1
        if fixed is None or len(kind.templates) >= MAX_TEMPLATES or runner.by_source:
            return
        shape = shape_of(record, fixed)
        if shape is None or not data.isascii() or b"\\" in data:
            return
        if len(kind.seen) >= MAX_SHAPES:
            kind.seen.clear()
        kind.seen[shape] = count = kind.seen.get(shape, 0) + 1
        if kind.learned == FIRST_LOOK and max(kind.seen.values()) < ALIKE:
            kind.learned = MAX_LEARNED
        if count == FREQUENT_LINE and data.count(b"{") + data.count(b"[") <= MAX_DEPTH:
            template = runner.sampled(Sample(record, fixed))
            if template is not None and template[0](data.decode("ascii")) is not None:
                kind.templates.append(template)
