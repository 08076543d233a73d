"""CEF lines whose keys come in an order that was seen before: one expression reads such a line.

A device writes few kinds of lines, and each has its keys in one order. An expression made of
those keys and of the texts that label custom fields is matched in a third of the time that
cutting the line into pairs takes, and it says beforehand which fields there are. It fits lines
only of which ingest.formats.cef would make the same: no backslash, no equals sign in a value, no
blank around one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.document import address
from ingest.formats import cef, syslog
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

    #: How a payload begins, and how many equals signs there are.
    Kind = tuple[str, int]
    Fits = Callable[[str], re.Match[str] | None]
    Expression = tuple[Groups, Fits]
    #: An expression for whole lines, and the functions for those with and without a header.
    Template = tuple[Fits, list[Function]]

#: Most kinds of lines that are known, and most templates of each.
MAX_KINDS = 1_024
MAX_TEMPLATES = 8

#: Most lines of a kind that are looked at to find its templates, and most keys of one.
MAX_LEARNED = 512
MAX_KEYS = 96

#: How much of a payload tells what kind it is, characters: version, vendor, and some of a product.
LEAD = 32

#: Most headers that are remembered.
MAX_HEADERS = 8_192

#: Longest payload that is looked at, characters.
MAX_PAYLOAD = 8_192

_KEY = re.compile(r"[\w.\-\[\]]{1,128}", re.ASCII)
_VALUE = r"([^=\\]*)"
_HEADER_VALUE = r"([^\s|\\=](?:[^|\\=]*[^\s|\\=])?)"
#: The same for printable ASCII without backslashes: the engine goes over what is not one character
#: several times as fast as over a class. The equals signs are counted, so none is left for these.
_QUICK_VALUE = "([^=]*)"
_QUICK_HEADER = "(?! )([^|]++)(?<! )"
#: Keys whose values nearly always are numbers, or addresses; a line where one is not has a form
#: of its own.
_NUMBERS = frozenset({"spt", "dpt", "in", "out", "cnt", "rt", "start", "end"})
_ADDRESSES = frozenset({"src", "dst"})
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
        self._seen: dict[tuple[Kind, int], int] = {}

    def made(
        self, payload: str, header: Header, origin: Origin, offset: int, id: str, original: str
    ) -> Made | None:
        """The event of a payload that begins with `CEF:`; None for one to be read pair by pair."""
        kind = (payload[:LEAD], payload.count("="))
        known = self._known.get(kind)
        if not _is_tidy(payload):
            return None
        if known is not None:
            for fits, functions in known:
                match = fits(payload)
                if match is not None:
                    function = functions[header is NO_HEADER]
                    return function(match.groups(), payload, header, origin, offset, id, original)
        if len(payload) > MAX_PAYLOAD:
            return None
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
        form = form_of(fields)
        if form is None:
            return
        # Of two forms with one hash some lines are learned sooner.
        seen = (kind, hash(form.written(_VALUE)))
        self._seen[seen] = count = self._seen.get(seen, 0) + 1
        one = self._find.by_keys("cef", fields)
        if count != FREQUENT or one is None or one.entry.condition is not None:
            return
        expression = form.expression(payload, fields)
        if expression is None:
            return
        groups, fits = expression
        runner = self._runners[one.program.id]
        keys = {name: class_of(value) for name, value in fields.items()}
        functions = [
            runner.grouped("cef", groups, keys, origin.source, headless=headless)
            for headless in (False, True)
        ]
        if not runner.by_source:
            known.append((fits, functions))


def _is_tidy(payload: str) -> bool:
    """Whether no value is empty or has a blank at either end."""
    return "  " not in payload and "= " not in payload and payload[-1] not in "= "


@dataclass(frozen=True, slots=True)
class Form:
    """What payloads have in common whose keys come in one order."""

    #: The values that are the same in all of them.
    fixed: dict[str, str]
    #: The keys of the extension in order.
    pairs: tuple[str, ...]
    #: The text of a label → the key of its field.
    labelled: dict[str, str]
    numbers: frozenset[str]
    addresses: frozenset[str]

    def written(self, value: str, header: str = _HEADER_VALUE) -> str:
        """The expression, with what may stand for a value that is nothing special."""
        head = "|".join(re.escape(self.fixed[name]) for name in _FIXED).replace("|", r"\|")
        varying = r"\|".join(header for _ in _VARYING)
        pairs = (f"{re.escape(name)}={self._value(name, value)}" for name in self.pairs)
        return rf"CEF:{head}\|{varying}\|" + " ".join(pairs)

    def _value(self, name: str, value: str) -> str:
        if name in self.fixed:
            return re.escape(self.fixed[name])
        if name in self.numbers:
            return "([0-9]++)"
        return "([0-9.]++)" if name in self.addresses else value

    def expression(self, payload: str, fields: dict[str, Any]) -> Expression | None:
        """The groups of such payloads and what fits them; None if that reads this one otherwise.

        What fits also fits payloads with backslashes, control characters or other blanks than
        the space, which show in the length of their JSON; it takes half the time.
        """
        strict = re.compile(self.written(_VALUE), re.DOTALL)
        fits = re.compile(self.written(_QUICK_VALUE, _QUICK_HEADER), re.DOTALL).fullmatch
        grouped = tuple(name for name in (*_VARYING, *self.pairs) if name not in self.fixed)
        for match in (strict.fullmatch(payload), fits(payload)):
            if match is None:
                return None
            read: dict[str, Any] = dict(zip(grouped, match.groups(), strict=True)) | self.fixed
            if self.labelled:
                read["labels"] = {text: read[name] for text, name in self.labelled.items()}
            if read != fields:
                return None
        known = described(strict, MAX_PAYLOAD)
        groups = Groups(known, grouped, 0, True, self.fixed, self.labelled, self.addresses)
        return groups, fits


def form_of(fields: dict[str, Any]) -> Form | None:
    """The form of payloads with such fields; None if they can have none."""
    labels: dict[str, str] = fields.get("labels", {})
    names = [*_VARYING, *(name for name in fields if name not in (*cef.HEADER, "labels"))]
    pairs = names[len(_VARYING) :]
    if not pairs or len(pairs) > MAX_KEYS or not all(name in fields for name in cef.HEADER):
        return None
    if not all(isinstance(fields[name], str) and _KEY.fullmatch(name) for name in names):
        return None
    fixed = {name: fields[name] for name in _FIXED}
    labelled: dict[str, str] = {}
    for name in pairs:
        if name.endswith("Label"):
            fixed[name] = fields[name]
            if fields[name] in labelled or name[:-5] not in fields:
                return None
            labelled[fields[name]] = name[:-5]
    if labelled.keys() != labels.keys():
        return None
    numbers = frozenset(name for name in pairs if name in _NUMBERS and _digits(fields[name]))
    addresses = frozenset(name for name in pairs if name in _ADDRESSES and _dotted(fields[name]))
    return Form(fixed, tuple(pairs), labelled, numbers, addresses)


def _digits(value: str) -> bool:
    return value.isdigit() and value.isascii()


def _dotted(value: str) -> bool:
    return ":" not in value and address(value) is not None


class Headers:
    """The headers before payloads of one origin after the other, by their text.

    A device writes many lines in a second: most headers were there before.
    """

    def __init__(self) -> None:
        self.origin: Origin | None = None
        self.known: dict[str, Header] = {}

    def of(self, text: str, end: int, origin: Origin) -> Header | None:
        """The header that ends at `end`, where `CEF:` begins; None for what is no common one."""
        if origin is not self.origin or len(self.known) >= MAX_HEADERS:
            self.origin = origin
            self.known.clear()
        head = syslog.before_mark(text, origin.received, origin.zone)
        if head is None or len(head[1]) != len(text) - end:
            return None
        self.known[text[:end]] = head[0]
        return head[0]
