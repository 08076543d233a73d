"""Making dead letters: a record that cannot be processed keeps its bytes and learns its reason.

A letter holds its original in Base64, a third more than it was, so the letter of a large record
would be larger than a record may be: such an original is cut into several letters, each with its
number. `joined` puts them together again.
"""

from __future__ import annotations

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
