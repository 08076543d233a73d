"""Making dead letters: a record that cannot be processed keeps its bytes and learns its reason.

A letter holds its original in Base64, a third more than it was, so the letter of a large record
would be larger than a record may be: such an original is cut into several letters, each with its
number. `joined` puts them together again. `template` and `group_id` show which letters have one
cause, `lineage` which are of one record.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tocsin.contracts import DeadLetter, Topics
from tocsin.ids import digest
from tocsin.log.base import Outgoing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tocsin.log.base import Headers, Record

#: Longest reason kept, characters: a reason may quote hostile input.
MAX_REASON = 500

#: Most bytes of an original in one letter: with everything below, and control characters of
#: headers six times as long in JSON, a letter stays within MAX_RECORD.
MAX_PART = 4 * 1024 * 1024

#: Most bytes of headers, and of a key, that a letter keeps; ours have a few hundred.
MAX_HEADERS = MAX_KEY = 256 * 1024

#: In front of originals that privacy rules have sealed (ingest.privacy).
SEALED = b"\x00tocsin-sealed\x001\x00"

#: Digits of the header `attempts` that are believed.
_MAX_ATTEMPTS = 6


def dead_letters(
    stage: str, record: Record, code: str, reason: str, now: int, parser: str = ""
) -> list[Outgoing]:
    """The records of `dead-letters` for `record`: one, or the parts of a large one in order.

    Their ids are the same however often they are made. `code` is from a bounded set (a metric
    label), `reason` is for a person.
    """
    origin = str(record.position)
    parts = _parts(record.value)
    key = record.key if record.key is None or len(record.key) <= MAX_KEY else None
    common = DeadLetter(
        id=digest("dead-letter", stage, origin),
        stage=stage,
        code=code,
        reason=_text(reason)[:MAX_REASON],
        origin=origin,
        original=parts[0],
        key=key,
        headers=dict(_headers(record.headers)),
        parser=parser,
        attempts=_attempts(record) + 1,
        parts=len(parts),
        at=now,
    )
    letters = [common]
    for number, part in enumerate(parts[1:], 2):
        id = digest("dead-letter-part", common.id, number)
        letters.append(common.model_copy(update={"id": id, "original": part, "part": number}))
    return [Outgoing(Topics.DEAD_LETTERS, one.encode(), key, timestamp=now) for one in letters]


def _parts(value: bytes) -> list[bytes]:
    return [value[at : at + MAX_PART] for at in range(0, len(value), MAX_PART)] or [b""]


def _headers(headers: Headers) -> Iterator[tuple[str, str]]:
    """Headers as text, as many as fit."""
    left = MAX_HEADERS
    for name, value in headers:
        left -= len(name.encode("utf-8", "replace")) + len(value)
        if left < 0:
            return
        yield _text(name), value.decode("utf-8", "replace")


def _attempts(record: Record) -> int:
    """How often the record was tried before; the header may hold anything."""
    header = record.header("attempts") or b""
    return int(header) if header.isdigit() and len(header) <= _MAX_ATTEMPTS else 0


def _text(text: str) -> str:
    """Without lone surrogates, which JSON cannot hold and messages about bad input do."""
    return text.encode("utf-8", "replace").decode()


def joined(letters: Iterable[DeadLetter]) -> DeadLetter | None:
    """The letter with the whole original, None while parts of it are missing.

    `letters` are parts of one original, in any order and any number of times.
    """
    parts = {letter.part: letter for letter in letters}
    first = parts.get(1)
    if first is None or len(parts) != first.parts:
        return None
    original = b"".join(parts[number].original for number in sorted(parts))
    return first.model_copy(update={"original": original, "parts": 1})


def lineage(letter: DeadLetter) -> str:
    """What the letters of one record have in common, however often it was tried.

    A replayed record stands somewhere else in the log and keeps the identity that `origin-id`
    gives it.
    """
    first = digest("dead-letter", letter.stage, letter.origin)
    return f"{letter.stage}/{letter.headers.get('origin-id', first)}"


#: Bytes of an original that are looked at for its template, and characters that a template has.
_LOOKED_AT, MAX_TEMPLATE = 2_048, 160

#: Share of control and undecodable characters above which an original is no text.
_BINARY = 0.1

#: In this order: what is taken for an address must not be taken for numbers first.
_MASKS = re.compile(
    r"""
      (?P<key>"[A-Za-z_@][A-Za-z_@.\-]{0,60}"(?=\s*:))
    | (?P<quoted>"(?:[^"\\]|\\.)*(?:"|\Z) | (?<![A-Za-z0-9])'(?:[^'\\]|\\.){0,200}')
    | (?P<uuid>\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b)
    | (?P<mail>[\w.+\-]{1,64}@[\w\-]{1,63}(?:\.[\w\-]{1,63}){1,8})
    | (?P<mac>\b[0-9a-fA-F]{2}(?:[:-][0-9a-fA-F]{2}){5}\b)
    | (?P<ip>\b\d{1,3}(?:\.\d{1,3}){3}\b
        | (?<![\w:])(?:(?:[0-9a-fA-F]{1,4}:){3,7}[0-9a-fA-F]{1,4}
                      |(?:[0-9a-fA-F]{1,4}:){1,6}(?::[0-9a-fA-F]{1,4}){1,6}
                      |(?:[0-9a-fA-F]{1,4}:){1,7}:
                      |::(?:[0-9a-fA-F]{1,4}:){0,6}[0-9a-fA-F]{1,4})(?![\w:]))
    | (?P<hex>\b0[xX][0-9a-fA-F]+\b | \b(?=[a-fA-F]*\d)[0-9a-fA-F]{8,}\b)
    | (?P<number>\d+(?:[.,:]\d+)*)
    """,
    re.VERBOSE,
)
_SHOWN = {
    "quoted": '"*"',
    "uuid": "<uuid>",
    "mail": "<mail>",
    "mac": "<mac>",
    "ip": "<ip>",
    "hex": "<hex>",
    "number": "<n>",
}


def template(original: bytes) -> str:
    """The first line of an original with everything masked that differs from one to the next.

    Letters of one cause have one template: quoted texts, addresses, identifiers and numbers go,
    the names of fields and the words of the program stay.
    """
    if original.startswith(SEALED):
        return "<sealed>"
    text = original[:_LOOKED_AT].decode("utf-8", "replace").strip(" \t\r\n\0\ufeff")
    if not text:
        return "<blank>"
    odd = sum(not (char.isprintable() or char.isspace()) or char == "\ufffd" for char in text)
    if odd > _BINARY * len(text):
        return "<binary>"
    line = text.splitlines()[0]
    masked = " ".join(_MASKS.sub(_mask, line).split())
    return masked if len(masked) <= MAX_TEMPLATE else masked[: MAX_TEMPLATE - 1] + "…"


def _mask(found: re.Match[str]) -> str:
    kind = found.lastgroup or ""
    return _SHOWN.get(kind, found[0])


def group_id(letter: DeadLetter) -> str:
    """The name of the letters that have stage, code and template in common."""
    return digest("dead-letter-group", letter.stage, letter.code, template(letter.original))[:12]
