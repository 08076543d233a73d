"""Log messages as tables: what a program says, and which event it is.

A `Phrase` is an anchored pattern and the event it stands for; the named groups of the pattern
are put where `FIELDS` says. A program's phrases are looked up by the first word of the message,
so a message meets one or two patterns, and one that no phrase knows meets none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ingest.document import endpoint, whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tocsin.contracts import Document

#: Longest message that patterns are applied to, characters; longer ones stay unparsed text.
MAX_PHRASE = 8_192


#: Group → (object, field within it) of ECS.
FIELDS: dict[str, tuple[str, ...]] = {
    "user": ("user", "name"),
    "uid": ("user", "id"),
    "effective": ("user", "effective", "name"),
    "target": ("user", "target", "name"),
    "group": ("group", "name"),
    "gid": ("group", "id"),
    "command": ("process", "command_line"),
    "cwd": ("process", "working_directory"),
    "service": ("service", "name"),
    "domain": ("source", "domain"),
    "reason": ("event", "reason"),
    "method": ("system", "auth", "ssh", "method"),
    "signature": ("system", "auth", "ssh", "signature"),
    "session": ("system", "auth", "session", "id"),
    "terminal": ("system", "auth", "terminal"),
}


@dataclass(frozen=True, slots=True)
class Phrase:
    """One thing a program says: `word` is the first word of the message.

    Groups of `pattern` may be those of FIELDS, `host`, `port`, and others that the program's
    parser reads itself. A group may be empty in the message; then its field is left out.
    """

    word: str
    pattern: re.Pattern[str]
    action: str
    type: tuple[str, ...] = ("info",)
    outcome: str = ""
    category: tuple[str, ...] = ("authentication",)
    reason: str = ""
    #: (number of the group, objects its field stands in, field): worked out once for `fill`.
    plan: tuple[tuple[int, tuple[str, ...], str], ...] = field(init=False, default=())
    #: Numbers of the groups `host` and `port`, 0 where the pattern has none.
    endpoint: tuple[int, int] = field(init=False, default=(0, 0))

    def __post_init__(self) -> None:
        groups = self.pattern.groupindex
        plan = tuple(
            (number, FIELDS[name][:-1], FIELDS[name][-1])
            for name, number in groups.items()
            if name in FIELDS
        )
        object.__setattr__(self, "plan", plan)
        object.__setattr__(self, "endpoint", (groups.get("host", 0), groups.get("port", 0)))


def phrase(
    pattern: str,
    action: str,
    type: str = "info",
    outcome: str = "",
    *,
    category: str = "authentication",
    word: str = "",
    reason: str = "",
) -> Phrase:
    """A Phrase; `word` is taken from the pattern where its first word is literal."""
    return Phrase(
        word=word or pattern.split(" ", 1)[0],
        pattern=re.compile(pattern, re.DOTALL | re.ASCII),
        action=action,
        type=tuple(type.split()),
        outcome=outcome,
        category=tuple(category.split()),
        reason=reason,
    )


def by_word(phrases: Sequence[Phrase]) -> dict[str, tuple[Phrase, ...]]:
    """The table that `recognise` looks messages up in; the order within a word is kept."""
    table: dict[str, tuple[Phrase, ...]] = {}
    for entry in phrases:
        table[entry.word] = (*table.get(entry.word, ()), entry)
    return table


def recognise(
    document: Document, message: str, table: Mapping[str, tuple[Phrase, ...]]
) -> Phrase | None:
    """Fill `document` from the first phrase that is the whole `message`; None if none is."""
    phrases = table.get(message.partition(" ")[0])
    if phrases is None or len(message) > MAX_PHRASE:
        return None
    for entry in phrases:
        match = entry.pattern.fullmatch(message)
        if match is not None:
            describe(document, entry)
            fill(document, entry, match)
            return entry
    return None


def describe(document: Document, entry: Phrase) -> None:
    """Set event.action, category, type, outcome and reason."""
    event = document["event"]
    event["action"] = entry.action
    event["category"] = [*entry.category]
    event["type"] = [*entry.type]
    if entry.outcome:
        event["outcome"] = entry.outcome
    if entry.reason:
        event["reason"] = entry.reason


def fill(document: Document, entry: Phrase, match: re.Match[str]) -> None:
    """Put the groups that matched something where they belong."""
    host, port = entry.endpoint
    if host and (text := match[host]):
        document["source"] = endpoint(text, match[port] if port else None)
    for number, parents, name in entry.plan:
        text = match[number]
        if text:
            node = document
            for parent in parents:
                if parent in node:
                    node = node[parent]
                else:
                    node[parent] = node = {}
            node[name] = text


def pid(text: str) -> int | None:
    """A process id, None where the text is none."""
    return whole(text, 2**31 - 1)
