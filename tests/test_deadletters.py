"""Dead letters keep every byte, fit a record, and cannot themselves be poisoned."""

from __future__ import annotations

import pytest

from tocsin.contracts import DeadLetter, Topics
from tocsin.deadletters import (
    MAX_HEADERS,
    MAX_KEY,
    MAX_PART,
    MAX_REASON,
    MAX_TEMPLATE,
    dead_letters,
    group_id,
    joined,
    lineage,
    template,
)
from tocsin.log.base import MAX_RECORD, Record


def record(value: bytes = b"line", **changes: object) -> Record:
    base = Record(Topics.RAW, 2, 17, b"host-1", value, (("source", b"sshd"),), 1_000)
    return base._replace(**changes)  # type: ignore[arg-type]  # the fields' own names


def letters(of: Record, reason: str = "cannot be read") -> list[DeadLetter]:
    made = dead_letters("normalize", of, "not_text", reason, 5_000, parser="syslog")
    assert all(len(outgoing.value) <= MAX_RECORD for outgoing in made)
    assert {(outgoing.topic, outgoing.timestamp) for outgoing in made} == {("dead-letters", 5_000)}
    return [DeadLetter.decode(outgoing.value) for outgoing in made]


def test_a_letter_says_where_why_and_what() -> None:
    (letter,) = letters(record(b"\x00\xff\x80"))
    assert letter.original == b"\x00\xff\x80"
    assert (letter.origin, letter.stage, letter.code) == ("raw/2/17", "normalize", "not_text")
    assert (letter.reason, letter.parser, letter.at) == ("cannot be read", "syslog", 5_000)
    assert (letter.key, letter.headers) == (b"host-1", {"source": "sshd"})
    assert (letter.part, letter.parts, letter.attempts) == (1, 1, 1)


def test_the_same_record_has_the_same_letter_whenever_it_is_made() -> None:
    (one,) = letters(record())
    (two,) = letters(record(timestamp=9), "another reason")
    (other,) = letters(record(offset=18))
    assert one.id == two.id != other.id


@pytest.mark.parametrize("size", [MAX_PART, MAX_PART + 1, MAX_RECORD])
def test_the_largest_record_keeps_all_its_bytes(size: int) -> None:
    value = bytes(range(256)) * (size // 256) + b"z" * (size % 256)
    made = letters(record(value))
    assert len(made) == -(-size // MAX_PART)
    assert len({letter.id for letter in made}) == len(made)
    whole = joined(reversed(made))
    assert whole is not None
    assert whole.original == value
    assert whole.id == made[0].id


def test_an_empty_record_has_a_letter_too() -> None:
    (letter,) = letters(record(b""))
    assert joined([letter]) == letter


def test_parts_are_not_joined_while_one_is_missing() -> None:
    made = letters(record(bytes(MAX_PART * 2)))
    assert joined(made[:1]) is None
    assert joined(made[1:]) is None
    assert joined([*made, *made]) is not None
    assert joined([]) is None


@pytest.mark.parametrize(
    ("header", "attempts"),
    [(b"3", 4), (b"", 1), (b"many", 1), (b"-1", 1), (b"\xff", 1), (b"9" * 5_000, 1)],
)
def test_attempts_are_counted_and_a_hostile_header_is_not_believed(
    header: bytes, attempts: int
) -> None:
    (letter,) = letters(record(headers=(("attempts", header),)))
    assert letter.attempts == attempts


def test_a_reason_that_json_cannot_hold_and_a_long_one_are_made_harmless() -> None:
    (letter,) = letters(record(), "bad \ud800 text " + "x" * 1_000)
    assert letter.reason.startswith("bad ? text xxx")
    assert len(letter.reason) == MAX_REASON


def test_headers_and_key_are_bounded_so_that_the_letter_fits() -> None:
    """Control characters take six times their size in JSON: the worst there is."""
    headers = (("source", b"sshd"), *((f"h{n}", b"\x01" * 60_000) for n in range(200)))
    (letter,) = letters(record(b"x" * MAX_PART, headers=headers, key=b"k" * (MAX_KEY + 1)))
    assert letter.headers["source"] == "sshd"
    assert sum(len(value) for value in letter.headers.values()) <= MAX_HEADERS
    assert letter.key is None


def test_the_fullest_letter_fits_a_record() -> None:
    full = record(
        b"\xff" * MAX_PART,
        headers=(("h", b"\x01" * (MAX_HEADERS - 1)),),
        key=b"k" * MAX_KEY,
    )
    (letter,) = letters(full, "\x01" * MAX_REASON)
    assert len(letter.headers["h"]) == MAX_HEADERS - 1
    assert letter.key == b"k" * MAX_KEY


class TestTemplate:
    @pytest.mark.parametrize(
        ("original", "expected"),
        [
            (b"<13>Nov 22 08:01:02 web-01 app[4242]: cannot open 192.0.2.7:443",
             "<<n>>Nov <n> <n> web-<n> app[<n>]: cannot open <ip>:<n>"),
            (b"user 'ada l' from 2001:db8::1 mac 00:00:5e:00:53:01 ada@example.com",
             'user "*" from <ip> mac <mac> <mail>'),
            (b'{"user": "ada", "n": 7, "ok": true, "a b": 1',
             '{"user": "*", "n": <n>, "ok": true, "*": <n>'),
            (b'{"cut": "off', '{"cut": "*"'),
            (b"id 123e4567-e89b-42d3-a456-426614174000 h d41d8cd98f00b204e9800998ecf8427e 0xFF",
             "id <uuid> h <hex> <hex>"),
            (b"took 1.5e3 s, 10,000 times; it's fine, isn't it",
             "took <n>e<n> s, <n> times; it's fine, isn't it"),
            (b"Std::vector and a : b", "Std::vector and a : b"),
            (b"facade decade deadbeef cafebabe1", "facade decade deadbeef <hex>"),
            (b"first line\nsecond line", "first line"),
            (b"\xef\xbb\xbf  \r\n text\t\t here ", "text here"),
            (b"", "<blank>"),
            (b" \r\n\0", "<blank>"),
            (bytes(range(128, 160)) * 8, "<binary>"),
            (b"\x00tocsin-sealed\x001\x00abc", "<sealed>"),
        ],
    )  # fmt: skip
    def test_what_differs_is_masked(self, original: bytes, expected: str) -> None:
        assert template(original) == expected

    def test_it_is_short_and_quick_whatever_the_original(self) -> None:
        for hostile in (b"x" * 10**6, b'"' * 10**6, b"1:" * 10**6, b"a@" * 10**6, b"'\\" * 10**6):
            assert len(template(hostile)) <= MAX_TEMPLATE

    def test_letters_of_one_cause_are_one_group(self) -> None:
        lines = [b"app[%d]: user %d has no quota" % (n, n * 7) for n in range(5)]
        groups = {group_id(letters(record(line))[0]) for line in lines}
        assert len(groups) == 1
        assert group_id(letters(record(b"app[1]: quota exceeded"))[0]) not in groups


class TestLineage:
    def test_a_record_tried_again_is_the_same_record(self) -> None:
        (first,) = letters(record())
        headers = (("source", b"sshd"), ("origin-id", first.id.encode()), ("attempts", b"1"))
        (second,) = letters(record(offset=99, headers=headers))
        assert first.id != second.id
        assert lineage(first) == lineage(second)
        assert (first.attempts, second.attempts) == (1, 2)

    def test_parts_are_of_one_record_and_other_records_are_not(self) -> None:
        one, two = letters(record(bytes(MAX_PART + 1)))
        assert lineage(one) == lineage(two)
        assert lineage(letters(record(offset=18))[0]) != lineage(one)
