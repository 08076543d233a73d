"""What becomes of good lines on a bad day: cut, flipped, spliced, blown up, full of rubbish."""

from __future__ import annotations

import json
import random
from functools import cache
from typing import Any

from tests.flow.world import END
from tocsin.cli.story import story

#: Pieces that break parsers: of numbers, of times, of JSON, of encodings, of terminals, of CEL.
SHARDS = (
    b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\x1b[2J", b"\r", b"\t", b'"', b"\\", b"\\u0000",
    b"\\ud800", b"{", b"}", b"[" * 50, b"null", b"NaN", b"1e999", b"-1", b"9" * 40, b"0x10",
    b"Feb 30 25:61:61", b"9999-12-31T23:59:59Z", b"0000-00-00T00:00:00Z", b"1969-12-31T23:59:59Z",
    b"2026-01-01T00:00:00+99:99", b"::ffff:203.0.113.7", b"203.0.113.999", b"fe80::1%eth0",
    b"%00%2e%2e%2f", "\N{RIGHT-TO-LEFT OVERRIDE}".encode(), "\N{FULLWIDTH DIGIT ONE}".encode(),
    b"${jndi:ldap://x}", b"' OR 1=1--", b"@timestamp", b"event", b"tocsin", b"a" * 5_000,
)  # fmt: skip


#: Values that no field of an event expects.
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 2**63, 1e308, "", " ", "\0", "a" * 3_000, [], {}, [[]], [None], {"": {}},
    {"a": {"b": {"c": 1}}}, ["x", 1, None, {"y": []}], "203.0.113.999", "not a time", "\ud800",
    {"keyword": "x"}, [{"ip": "203.0.113.7"}] * 3,
)  # fmt: skip

#: An ECS event as another shipper would send it, and one of an application of one's own.
DOCUMENTS: tuple[dict[str, Any], ...] = (
    {
        "@timestamp": "2026-11-18T10:00:00.000Z",
        "ecs": {"version": "8.11.0"},
        "event": {"id": "e-1", "category": ["authentication"], "outcome": "failure"},
        "host": {"name": "web-01", "ip": ["192.0.2.10"]},
        "source": {"ip": "203.0.113.77", "port": 40022},
        "user": {"name": "root", "id": "0"},
        "process": {"name": "sshd", "pid": 77, "command_line": "sshd: root [priv]"},
        "message": "Failed password for root from 203.0.113.77 port 40022 ssh2",
        "tocsin": {"origin": "raw/0/0", "tenant": "other"},
    },
    {
        "time": 1_794_999_000,
        "level": "error",
        "msg": "login failed",
        "client": {"ip": "203.0.113.77", "tags": ["a", "b"]},
        "Records": [{"eventVersion": "1.09"}, {}],
    },
)


def chance(seed: int) -> random.Random:
    """The same accidents for the same seed."""
    return random.Random(seed)  # noqa: S311  (a seed, not a secret)


@cache
def good_lines() -> tuple[bytes, ...]:
    """The lines of the story, a small one."""
    chapters = story(END, noise=60)
    return tuple(line.data for chapter in chapters for line in chapter.lines if line.data)


def mutated(rng: random.Random) -> bytes:
    """A line of the story after one to four accidents."""
    line = bytearray(rng.choice(good_lines()))
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(line))
        to = min(len(line), at + rng.randint(0, 12))
        match rng.randrange(7):
            case 0:
                line[at:to] = rng.randbytes(to - at)
            case 1:
                del line[at:to]
            case 2:
                line[at:to] = rng.choice(SHARDS)
            case 3:
                line[at:at] = rng.choice(SHARDS)
            case 4:
                line[at:] = rng.choice(good_lines())[at:]
            case 5:
                del line[at:]
            case _:
                line[at:at] = line[at:to] * rng.randint(1, 40)
    return bytes(line)


def mutated_document(rng: random.Random) -> bytes:
    """A JSON event of the story, of a shipper or of an application, with odd values and names."""
    texts = [line for line in good_lines() if line.startswith(b"{") and line.endswith(b"}")]
    document = json.loads(rng.choice([*texts, *(json.dumps(each).encode() for each in DOCUMENTS)]))
    for _ in range(rng.randint(1, 4)):
        _spoil(document, rng)
    return json.dumps(document).encode()


def _spoil(value: Any, rng: random.Random) -> None:
    """Walk down some way, and put something odd there, under a name that is there or is not."""
    while isinstance(value, dict) and value:
        key = rng.choice(list(value))
        if isinstance(value[key], dict) and value[key] and rng.random() < 0.7:
            value = value[key]
            continue
        name = rng.choice([key, key, "", key + ".x", "@timestamp", "event", "a.b.c", "\x00"])
        value[name] = json.loads(json.dumps(rng.choice(ODD)))
        return
