"""Syslog framing: any chunking gives the same messages, no byte is lost, no count is a bomb."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest.sources.framing import MAX_COUNT, Fault, Framer, Framing

MAX = 40


def framed(*chunks: bytes, max_line: int = MAX, framing: Framing = "auto") -> list[bytes]:
    """The messages of a stream; there must be no fault."""
    messages, faults = both(*chunks, max_line=max_line, framing=framing)
    assert faults == []
    return messages


def both(
    *chunks: bytes, max_line: int = MAX, framing: Framing = "auto"
) -> tuple[list[bytes], list[Fault]]:
    framer = Framer(max_line, framing)
    messages = [message for chunk in chunks for message in framer.feed(chunk)]
    messages += framer.end()
    return messages, framer.faults


def plainly(data: bytes, max_line: int, framing: Framing) -> tuple[list[bytes], list[Fault]]:
    """The same, written for the whole stream at once: obviously right, and slow."""
    messages, faults = [], []
    counted = framing == "octet-counted"
    while data:
        prefix = re.match(rb"([1-9]\d{0,7}) ", data)
        believed = (
            framing != "newline"
            and prefix is not None
            and int(prefix[1]) <= MAX_COUNT
            and (counted or data[prefix.end() : prefix.end() + 1] == b"<")
        )
        if believed and prefix is not None:
            count, data = int(prefix[1]), data[prefix.end() :]
            message, data, whole = data[:count], data[count:], len(data) >= count
            if count > max_line:
                faults.append(Fault("too_long", message[:max_line]))
            elif not whole:
                faults.append(Fault("truncated", message))
            else:
                messages.append(message.removesuffix(b"\n").removesuffix(b"\r"))
            counted = True
        else:
            message, _, data = data.partition(b"\n")
            if len(message) > max_line:
                faults.append(Fault("too_long", message[:max_line]))
            else:
                messages.append(message.removesuffix(b"\r"))
            counted = framing == "octet-counted"
    return messages, faults


def counted(message: bytes) -> bytes:
    return b"%d %s" % (len(message), message)


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"<13>one\n<13>two\n", [b"<13>one", b"<13>two"]),
        (b"<13>one\r\n<13>two", [b"<13>one", b"<13>two"]),
        (b"7 <13>one7 <13>two", [b"<13>one", b"<13>two"]),
        (b"7 <13>one<13>two\n9 <13>three", [b"<13>one", b"<13>two", b"<13>three"]),
        (b"8 <13>one\n8 <13>two\n", [b"<13>one", b"<13>two"]),
        (b"8 <13>a\nb\n\n7 <13>one", [b"<13>a\nb", b"", b"<13>one"]),
        (b"7 <13>one3 two4 last", [b"<13>one", b"two", b"last"]),
        (b"3 two\n", [b"3 two"]),
        (b"12 drummers\n<13>x\n", [b"12 drummers", b"<13>x"]),
        (b"99999999 <13>x\n<13>y\n", [b"99999999 <13>x", b"<13>y"]),
        (b"123456789 <13>x\n", [b"123456789 <13>x"]),
        (b"2024-05-01T10:00:00Z host app: x\n", [b"2024-05-01T10:00:00Z host app: x"]),
        (b"0 <13>x\n", [b"0 <13>x"]),
        (b"42", [b"42"]),
        (b"42 ", [b"42 "]),
        (b"\n\n", [b"", b""]),
        (b"", []),
        (b"\xff\x00\xfe\n", [b"\xff\x00\xfe"]),
    ],
)
def test_each_message_is_recognised_for_itself(stream: bytes, expected: list[bytes]) -> None:
    assert framed(stream) == expected


def test_a_framing_that_is_told_is_not_guessed() -> None:
    assert framed(b"7 <13>one\n", framing="newline") == [b"7 <13>one"]
    assert framed(b"3 one3 two", framing="octet-counted") == [b"one", b"two"]


def test_the_longest_line_is_taken_and_one_byte_more_is_not() -> None:
    longest = b"x" * MAX
    assert framed(longest + b"\n" + counted(b"<" + longest[1:])) == [longest, b"<" + longest[1:]]
    for stream in (longest + b"x\nnext\n", counted(b"<" + longest) + b"next\n"):
        messages, faults = both(stream)
        assert messages == [b"next"]
        assert [fault.code for fault in faults] == ["too_long"]
        assert len(faults[0].beginning) == MAX


def test_a_line_without_an_end_is_kept_as_far_as_it_may_be_and_passed_over() -> None:
    framer = Framer(MAX)
    for _ in range(1_000):
        assert framer.feed(b"x" * 100) == []
    assert [fault.code for fault in framer.faults] == ["too_long"]
    assert len(framer._rest) <= MAX
    assert framer.feed(b"y\n<13>next\n") == [b"<13>next"]


def test_a_count_that_lies_costs_no_memory_and_the_stream_goes_on() -> None:
    framer = Framer(MAX)
    assert framer.feed(b"%d <13>" % MAX_COUNT) == []
    left = MAX_COUNT - 4
    while left:
        size = min(left, 1 << 20)
        assert framer.feed(b"z" * size) == []
        assert len(framer._rest) <= MAX + 10
        left -= size
    assert framer.feed(b"7 <13>one") == [b"<13>one"]
    assert framer.faults == [Fault("too_long", b"<13>" + b"z" * (MAX - 4))]


def test_half_a_counted_message_is_a_fault_with_what_there_is() -> None:
    messages, faults = both(b"7 <13>one20 <13>tw")
    assert messages == [b"<13>one"]
    assert faults == [Fault("truncated", b"<13>tw")]


def chunks_of(data: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(bounds)]


STREAMS = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.binary(max_size=60).map(counted),
        st.binary(max_size=60).map(lambda text: counted(b"<13>" + text)),
        st.binary(max_size=60).map(lambda text: b"<13>" + text + b"\n"),
        st.text("0123456789 <>\r\nab", max_size=30).map(str.encode),
        st.integers(0, 10**10).map(lambda number: b"%d <" % number),
    ),
    max_size=8,
).map(b"".join)
FRAMINGS = st.sampled_from(["auto", "octet-counted", "newline"])


@settings(deadline=None)
@given(STREAMS, st.lists(st.integers(0, 1_000), max_size=30), FRAMINGS)
@example(b"12345678 <", [8], "auto")
@example(b"41 <13>" + b"x" * 40, [7, 44], "auto")
def test_any_chunking_gives_what_the_plain_way_gives(
    stream: bytes, cuts: list[int], framing: Framing
) -> None:
    assert both(*chunks_of(stream, cuts), framing=framing) == plainly(stream, MAX, framing)


@settings(deadline=None)
@given(STREAMS, FRAMINGS)
def test_byte_by_byte_gives_the_same(stream: bytes, framing: Framing) -> None:
    single = [stream[at : at + 1] for at in range(len(stream))]
    assert both(*single, framing=framing) == plainly(stream, MAX, framing)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=MAX - 4).filter(lambda text: b"\n" not in text)))
def test_what_is_sent_arrives_in_either_framing(texts: list[bytes]) -> None:
    sent = [b"<13>" + text.removesuffix(b"\r") for text in texts]
    assert framed(b"".join(message + b"\n" for message in sent)) == sent
    assert framed(b"".join(map(counted, sent))) == sent
