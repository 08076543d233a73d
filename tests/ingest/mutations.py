"""How lines break: flipped, cut, repeated, spliced, nested, filled with what no parser expects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

#: Longest line that repetition makes, bytes; once in a while the longest that is an event at all.
LONG = 65_536
LONGEST = 1_048_576

#: Of so many lines one is as long as an event may be.
RARE = 2_000

_ODD = (
    *(
        b"\0",
        b"\0" * 9,
        b"\xff",
        b"\xfe\xff",
        b"\xed\xa0\x80",
        b"\xf0\x9f",
        b"\xc0\xaf",
        b"\x1b[31m",
    ),
    *(b"\r\n", b"\n", b"\t", b"\x0b", b"\x7f", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xc2\xa0"),
    *(b"9" * 25, b"-1", b"18446744073709551616", b"1e400", b"NaN", b"-0", b"0x1f", b"00", b"1.5"),
    *(b"\xd9\xa3", b"\xc2\xb2", b"\xe2\x85\xa7", b"\xc4\xb0", b"\xc3\x9f", b"\xe2\x84\xaa"),
    *(b"'", b'"', b"\\", b"\\\\", b'\\"', b"|", b"\\|", b"=", b"==", b" = ", b",", b";", b":"),
    *(b"[", b"]", b"{", b"}", b"(", b")", b"<", b">", b"<!DOCTYPE a>", b"&lt;", b"&#0;", b"%00"),
    *(b"\\ud800", b"\\u0000", b"null", b"true", b"-", b"", b" ", b"  ", b"N/A", b"(null)"),
    *(b"::", b"0.0.0.0", b"fe80::1%eth0", b"999.1.1.1", b"::ffff:192.0.2.1", b"[2001:db8::1]:80"),
    *(b"<34>", b"<999>", b"CEF:0|", b"LEEF:2.0|", b"type=SYSCALL msg=audit(", b"<Event>", b'] "'),
    *(
        b"Feb 30 25:61:61",
        b"0000-00-00T00:00:00Z",
        b"9999-12-31T23:59:60Z",
        b"1e18",
        b"-62135596801",
    ),
    *(
        b"http://",
        b"http://[",
        b"https://u:p@h:99999/%zz?#",
        b"\\\\host\\share",
        b"C:\\",
        b"/",
        b"//",
    ),
)

_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 65_536, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 1.5, -0.0, 1e308),
    *("", " ", "-", "null", "\0", "\ufffd", "x" * 300, "192.0.2.1", "192.0.2.1, 192.0.2.2", "::"),
    *(
        "2024-05-01T10:00:00Z",
        "9" * 30,
        "1e400",
        "success",
        "Ä",
        "İ",
        "{}",
        "[]",
        '{"a":{"b":[1]}}',
    ),
    *([], {}, [[]], [{}], [None], [1, "a", None, {"b": []}], {"": ""}, {"a.b": 1}, {".": 1}),
    *({"name": "x", "value": {"a": [1]}}, [["a", "b"]], {"type": {}}, {"a": {"a": {"a": 1}}}),
    *(
        ["192.0.2.1", 7, {"ip": "x"}],
        {"ip": ["::1", "no"]},
        [True],
        {"$date": 1},
        "%{x}",
        "a=b c=d",
    ),
)


def mutated(seeds: list[bytes], dice: Random) -> bytes:
    """A mutant of one of the seeds: one to four mutations, now and then none."""
    line = dice.choice(seeds)
    for _ in range(dice.choice((1, 1, 1, 2, 2, 3, 4))):
        line = dice.choice(_MUTATIONS)(line, seeds, dice)
    if dice.randrange(RARE) == 0:
        return _repeated(line, dice, LONGEST)
    return line[:LONGEST]


def _flip(line: bytes, seeds: list[bytes], dice: Random) -> bytes:
    changed = bytearray(line)
    for _ in range(dice.choice((1, 1, 2, 4, 16))):
        if changed:
            changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)


def _cut(line: bytes, seeds: list[bytes], dice: Random) -> bytes:
    start, stop = _span(line, dice)
    return dice.choice((line[:start], line[stop:], line[:start] + line[stop:]))


def _splice(line: bytes, seeds: list[bytes], dice: Random) -> bytes:
    other = dice.choice(seeds)
    start, stop = _span(other, dice)
    at, end = _span(line, dice)
    return dice.choice((line[:at] + other[start:], line[:at] + other[start:stop] + line[end:]))


def _insert(line: bytes, seeds: list[bytes], dice: Random) -> bytes:
    at = dice.randrange(len(line) + 1)
    until = dice.choice((at, at, at + 1, _span(line, dice)[1]))
    return line[:at] + dice.choice(_ODD) + line[max(at, until) :]


def _token(line: bytes, seeds: list[bytes], dice: Random) -> bytes:
    """Another word, or something odd, for a word."""
    mark = dice.choice((b" ", b"=", b"|", b",", b'"', b"\t", b":"))
    words = line.split(mark)
    at = dice.randrange(len(words))
    words[at] = dice.choice((dice.choice(_ODD), dice.choice(words), b""))
    return mark.join(words)


def _again(line: bytes, seeds: list[bytes], dice: Random) -> bytes:
    """A piece twice: duplicated keys, headers and brackets."""
    start, stop = _span(line, dice)
    return line[:stop] + line[start:stop] + line[stop:]


def _repeat(line: bytes, seeds: list[bytes], dice: Random) -> bytes:
    if dice.randrange(8):  # long lines are dear: few of them
        return _repeated(line, dice, dice.choice((200, 1_000, 4_000)))
    return _repeated(line, dice, dice.choice((16_384, LONG)))


def _repeated(line: bytes, dice: Random, size: int) -> bytes:
    start = dice.randrange(len(line) + 1)
    piece = line[start : start + dice.choice((1, 1, 2, 3, 5, 8, 16, 40, 200))]
    if dice.randrange(4) == 0:
        piece = dice.choice(_ODD)
    piece = piece or b" "
    at = start if dice.randrange(2) else dice.randrange(len(line) + 1)
    return line[:at] + piece * max(1, (size - len(line)) // len(piece)) + line[at:]


def _nest(line: bytes, seeds: list[bytes], dice: Random) -> bytes:
    depth = dice.choice((2, 5, 19, 40, 63, 64, 65, 300, 5_000))
    opening, closing = dice.choice(
        ((b'{"a":', b"}"), (b"[", b"]"), (b'{"Records":[', b"]}"), (b"<a>", b"</a>"), (b"(", b")"))
    )
    if dice.randrange(3) == 0:
        return opening * depth + line + closing * depth
    at, end = _span(line, dice)
    return line[:at] + opening * depth + line[at:end] + closing * depth + line[end:]


def _wrap(line: bytes, seeds: list[bytes], dice: Random) -> bytes:
    """The line as a shipper or a relay hands it on."""
    text = line.decode("utf-8", "replace")
    kind = dice.randrange(4)
    if kind == 0:
        return b"<34>1 2024-05-01T10:00:00Z h app 7 - - " + line
    if kind == 1:
        return b"May  1 10:00:00 web1 app[7]: " + line
    if kind == 2:
        return orjson.dumps({"message": text, "@timestamp": "2024-05-01T10:00:00Z"})
    return orjson.dumps({"log": text, "kubernetes": {"pod": {"name": "x"}}})


def _values(line: bytes, seeds: list[bytes], dice: Random) -> bytes:
    """Values of another type than anyone expects, where a line is JSON."""
    try:
        tree = orjson.loads(line)
    except orjson.JSONDecodeError:
        return _token(line, seeds, dice)
    for _ in range(dice.choice((1, 1, 2, 5))):
        _change(tree, dice)
    try:
        return orjson.dumps(tree)
    except orjson.JSONEncodeError:  # nested deeper than is written
        return line


def _change(tree: Any, dice: Random) -> None:
    """Change one value somewhere below, in place."""
    node = tree
    while isinstance(node, (dict, list)) and node:
        keys: Any = list(node) if isinstance(node, dict) else range(len(node))
        key = dice.choice(keys)
        child = node[key]
        if isinstance(child, (dict, list)) and child and dice.randrange(5):
            node = child
            continue
        if isinstance(node, dict) and dice.randrange(6) == 0:
            other = dice.choice(list(node))
            node[key], node[other] = node[other], child
        elif dice.randrange(8) == 0:
            node[key] = [child] if dice.randrange(2) else {"value": child}
        else:
            # Copied, so that no mutant changes the table or holds itself.
            node[key] = orjson.loads(orjson.dumps(dice.choice(_VALUES)))
        return


def _span(line: bytes, dice: Random) -> tuple[int, int]:
    start = dice.randrange(len(line) + 1)
    return start, min(len(line), start + dice.choice((1, 4, 16, 64, 256)))


_MUTATIONS: tuple[Callable[[bytes, list[bytes], Random], bytes], ...] = (
    *(_flip, _cut, _splice, _insert, _insert, _token, _token, _again, _repeat, _nest, _wrap),
    *(_values, _values, _values),
)
