"""Records packed into one row come out as they went in, from any offset."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.log.base import Outgoing, Record, TopicPartition
from tocsin.log.record_batch import MAX_BATCH_BYTES, MAX_BATCH_RECORDS, cut, pack, unpack

AT = TopicPartition("t", 3)

OUTGOING = st.builds(
    Outgoing,
    topic=st.just("t"),
    value=st.binary(max_size=40),
    key=st.none() | st.binary(max_size=10),
    headers=st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=3).map(tuple),
    timestamp=st.integers(min_value=-(2**63), max_value=2**63 - 1),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(OUTGOING, min_size=1, max_size=20), st.integers(0, 2**39), st.integers(-2, 22))
def test_unpack_gives_back_what_was_packed(sent: list[Outgoing], first: int, skipped: int) -> None:
    expected = [
        Record("t", 3, first + n, o.key, o.value, o.headers, o.timestamp)
        for n, o in enumerate(sent)
    ]
    found = list(unpack(AT, first, len(sent), pack(sent), first + skipped))
    assert found == expected[max(0, skipped) :]


def test_batches_are_cut_by_number_and_by_size() -> None:
    small, large = Outgoing("t", b"x"), Outgoing("t", bytes(MAX_BATCH_BYTES * 2))
    sent = [small] * (MAX_BATCH_RECORDS + 1) + [large, small, large, large]
    batches = list(cut(sent))
    assert [record for batch in batches for record in batch] == sent
    assert [len(batch) for batch in batches] == [MAX_BATCH_RECORDS, 1, 1, 1, 1, 1]
    assert list(cut([])) == []


def test_a_batch_is_filled_up_to_its_size() -> None:
    half = Outgoing("t", bytes(MAX_BATCH_BYTES // 2))
    assert [len(batch) for batch in cut([half] * 5)] == [2, 2, 1]
