"""CEF lines whose keys come in an order that was seen before: one expression reads such a line.

A device writes few kinds of lines, and each has its keys in one order. An expression made of
those keys and of the texts that label custom fields is matched in a third of the time that
cutting the line into pairs takes, and it says beforehand which fields there are. It fits lines
only of which ingest.formats.cef would make the same: no backslash, no equals sign in a value, no
blank around one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ingest.formats import cef
from ingest.mapping.emitting import Groups
from ingest.mapping.line import NO_HEADER
from ingest.mapping.regexes import described
from ingest.mapping.runner import FREQUENT, class_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ingest.mapping.line import Header
    from ingest.mapping.origin import Origin
    from ingest.mapping.recognition import Recognizer
    from ingest.mapping.runner import Function, Made, Runner

    #: Version, vendor, product, and how many equals signs there are.
    Kind = tuple[str, str, str, int]
    #: An expression for whole lines, and the functions for those with and without a header.
    Template = tuple[Callable[[str], re.Match[str] | None], list[Function]]

#: Most kinds of lines that are known, and most templates of each.
MAX_KINDS = 1_024
MAX_TEMPLATES = 8

#: Most lines of a kind that are looked at to find its templates, and most keys of one.
MAX_LEARNED = 512
MAX_KEYS = 96

#: Longest payload that is looked at, characters.
MAX_PAYLOAD = 8_192

_KEY = re.compile(r"[\w.\-\[\]]{1,128}", re.ASCII)
_VALUE = r"([^=\\]*)"
_HEADER_VALUE = r"([^\s|\\=](?:[^|\\=]*[^\s|\\=])?)"
_FIXED = ("cefVersion", "deviceVendor", "deviceProduct")
_VARYING = cef.HEADER[len(_FIXED) :]


class Templates:
    """What is known of the lines of each kind."""

    def __init__(self, find: Recognizer, runners: dict[str, Runner]) -> None:
        self._find = find
        self._runners = runners
        self._known: dict[Kind, list[Template]] = {}
        #: How many lines of a kind fitted nothing, and how often keys came in an order.
        self._missed: dict[Kind, int] = {}
        self._seen: dict[tuple[Kind, tuple[str, ...]], int] = {}

    def made(
        self, payload: str, header: Header, origin: Origin, offset: int, id: str, original: str
    ) -> Made | None:
        """The event of a payload that begins with `CEF:`; None for one to be read pair by pair."""
        parts = payload.split("|", 3)
        if len(parts) < 4 or len(payload) > MAX_PAYLOAD or not _is_tidy(payload):
            return None
        kind = (parts[0], parts[1], parts[2], payload.count("="))
        for fits, functions in self._known.get(kind, ()):
            match = fits(payload)
            if match is not None:
                function = functions[header is NO_HEADER]
                return function(match.groups(), payload, header, origin, offset, id, original)
        missed = self._missed.get(kind, 0)
        if missed < MAX_LEARNED:
            if len(self._missed) >= MAX_KINDS:
                self._missed.clear()
                self._known.clear()
                self._seen.clear()
            self._missed[kind] = missed + 1
            self._learn(kind, payload, origin)
        return None

    def _learn(self, kind: Kind, payload: str, origin: Origin) -> None:
        """Make a template of a payload whose keys have become frequent in their order."""
        known = self._known.setdefault(kind, [])
        fields = cef.frame(payload)
        if fields is None or len(known) >= MAX_TEMPLATES:
            return
        seen = (kind, tuple(fields))
        self._seen[seen] = count = self._seen.get(seen, 0) + 1
        groups = groups_of(payload, fields) if count == FREQUENT else None
        one = self._find.by_keys("cef", fields)
        if groups is None or one is None or one.entry.condition is not None:
            return
        runner = self._runners[one.program.id]
        keys = {name: class_of(value) for name, value in fields.items()}
        functions = [
            runner.grouped("cef", groups, keys, origin.source, headless=headless)
            for headless in (False, True)
        ]
        if not runner.by_source:
            known.append((groups.regex.pattern.fullmatch, functions))


def _is_tidy(payload: str) -> bool:
    """Whether no value is empty or has a blank at either end."""
    return "  " not in payload and "= " not in payload and payload[-1] not in "= "


def groups_of(payload: str, fields: dict[str, Any]) -> Groups | None:
    """The expression for payloads with the keys of this one; None if there cannot be one."""
    labels: dict[str, str] = fields.get("labels", {})
    names = [*_VARYING, *(name for name in fields if name not in (*cef.HEADER, "labels"))]
    pairs = names[len(_VARYING) :]
    if not pairs or len(pairs) > MAX_KEYS or not all(name in fields for name in cef.HEADER):
        return None
    if not all(isinstance(fields[name], str) and _KEY.fullmatch(name) for name in names):
        return None
    fixed = {name: fields[name] for name in _FIXED}
    labelled: dict[str, str] = {}
    written = []
    for name in pairs:
        if name.endswith("Label"):
            fixed[name] = fields[name]
            if fields[name] in labelled or name[:-5] not in fields:
                return None
            labelled[fields[name]] = name[:-5]
        value = re.escape(fields[name]) if name in fixed else _VALUE
        written.append(f"{re.escape(name)}={value}")
    head = "|".join(re.escape(fixed[name]) for name in _FIXED).replace("|", r"\|")
    varying = r"\|".join(_HEADER_VALUE for _ in _VARYING)
    pattern = re.compile(rf"CEF:{head}\|{varying}\|" + " ".join(written), re.DOTALL)
    grouped = tuple(name for name in names if name not in fixed)
    made = Groups(described(pattern, MAX_PAYLOAD), grouped, 0, True, fixed, labelled)
    match = pattern.fullmatch(payload)
    if match is None or labelled.keys() != labels.keys():
        return None
    read = dict(zip(grouped, match.groups(), strict=True)) | fixed
    if labels:
        read["labels"] = {text: read[name] for text, name in labelled.items()}
    return made if read == fields else None
