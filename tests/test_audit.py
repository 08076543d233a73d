"""The audit chain names what was done to it, whatever was done."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.audit import GENESIS, Head, Tampering, append, verify
from tocsin.contracts import AuditEntry
from tocsin.errors import AuditError
from tocsin.ids import canonical_json

if TYPE_CHECKING:
    import random

LENGTH = 6


def chain(name: str = "decide-0", length: int = LENGTH) -> list[AuditEntry]:
    head: Head | None = None
    entries = []
    for number in range(length):
        body = {"run": f"run-{number}", "note": None}
        entry, head = append(head, name, "effect", body, 1_000 + number)
        entries.append(entry)
    return entries


def rehashed(entry: AuditEntry, **changes: object) -> AuditEntry:
    """The entry as a forger leaves it: changed, and with a hash that fits."""
    changed = entry.model_copy(update=changes)
    content = changed.model_dump(mode="json", exclude={"hash"})
    digest = sha256(changed.previous.encode() + canonical_json(content)).hexdigest()
    return changed.model_copy(update={"hash": digest})


def only_break(entries: list[AuditEntry]) -> tuple[int, Tampering]:
    (found,) = verify(entries).breaks
    return found.seq, found.kind


def test_an_intact_chain_verifies_and_reports_its_head() -> None:
    entries = chain()
    (report,) = verify(entries).chains
    assert report.broken is None
    assert report.entries == LENGTH
    assert report.head == {"seq": LENGTH - 1, "hash": entries[-1].hash}


def test_the_hash_is_sha256_of_previous_and_canonical_json() -> None:
    first, second = chain()[:2]
    assert first.previous == GENESIS
    assert second.previous == first.hash
    assert rehashed(second) == second


def test_entries_verify_after_a_trip_through_the_log() -> None:
    assert verify(AuditEntry.decode(entry.encode()) for entry in chain()).ok


def test_a_body_that_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError):
        append(None, "decide-0", "effect", {"secret": object()}, 0)


@pytest.mark.parametrize("victim", range(LENGTH))
@pytest.mark.parametrize("change", [{"at": 7}, {"kind": "x"}, {"body": {"run": "other"}}])
def test_an_altered_entry_is_named(victim: int, change: dict[str, object]) -> None:
    entries = chain()
    entries[victim] = entries[victim].model_copy(update=change)
    assert only_break(entries) == (victim, Tampering.ALTERED)


@pytest.mark.parametrize("victim", range(LENGTH - 1))
def test_an_altered_entry_with_a_fitting_hash_is_named(victim: int) -> None:
    entries = chain()
    entries[victim] = rehashed(entries[victim], body={"run": "other"})
    assert only_break(entries) == (victim, Tampering.ALTERED)


@pytest.mark.parametrize("victim", range(LENGTH - 1))
def test_a_missing_entry_is_named(victim: int) -> None:
    entries = chain()
    del entries[victim]
    assert only_break(entries) == (victim, Tampering.MISSING)


def test_all_of_a_gap_is_named() -> None:
    entries = chain()
    del entries[2:4]
    assert "2 to 3 not found before 4" in str(verify(entries).breaks[0])


@pytest.mark.parametrize("victim", range(LENGTH - 1))
def test_a_moved_entry_is_named(victim: int) -> None:
    entries = chain()
    entries.append(entries.pop(victim))
    assert only_break(entries) == (victim, Tampering.REORDERED)


@pytest.mark.parametrize("place", range(LENGTH))
def test_an_inserted_entry_is_named(place: int) -> None:
    entries = chain()
    entries.insert(place, rehashed(entries[place], body={"run": "forged"}))
    assert only_break(entries) == (place, Tampering.INSERTED)


@pytest.mark.parametrize("place", range(LENGTH))
def test_an_inserted_entry_without_a_fitting_hash_is_named(place: int) -> None:
    entries = chain()
    entries.insert(place, entries[place].model_copy(update={"body": {"run": "forged"}}))
    assert only_break(entries) == (place, Tampering.INSERTED)


def test_an_entry_of_another_chain_does_not_fit() -> None:
    entries = chain()
    stranger = chain("act-0")[2]
    entries[2] = stranger.model_copy(update={"chain": "decide-0"})
    assert only_break(entries) == (2, Tampering.ALTERED)


def test_chains_are_told_apart() -> None:
    good, bad = chain("act-0"), chain("decide-0")
    del bad[3]
    mixed = [entry for pair in zip(good, [*bad, bad[-1]], strict=True) for entry in pair]
    report = verify(mixed)
    assert [(found.chain, found.seq) for found in report.breaks] == [("decide-0", 3)]
    with pytest.raises(AuditError, match=r"decide-0: entry 3 missing"):
        report.check()


@given(st.randoms(use_true_random=False), st.integers(1, 5))
def test_delivery_at_least_once_is_no_tampering(chance: random.Random, restarts: int) -> None:
    entries = chain()
    delivered: list[AuditEntry] = []
    done = 0
    for _ in range(restarts):
        end = chance.randint(done, LENGTH)
        delivered += entries[chance.randint(0, done) : end]
        done = max(done, end)
    delivered += entries[chance.randint(0, done) :]
    report = verify(delivered)
    report.check()
    assert report.chains[0].duplicates == len(delivered) - LENGTH


def test_a_cut_off_tail_shows_against_a_noted_head() -> None:
    entries = chain()
    heads = {"decide-0": Head(seq=LENGTH - 1, hash=entries[-1].hash)}
    assert verify(entries, heads).ok
    (found,) = verify(entries[:-2], heads).breaks
    assert (found.seq, found.kind) == (LENGTH - 2, Tampering.MISSING)
    (gone,) = verify([], heads).breaks
    assert (gone.seq, gone.kind) == (0, Tampering.MISSING)


def test_a_rewritten_chain_shows_against_a_noted_head() -> None:
    entries = chain()
    heads = {"decide-0": Head(seq=4, hash=entries[4].hash)}
    forged, head = append(None, "decide-0", "effect", {"run": "other"}, 1)
    rewritten = [forged]
    for entry in entries[1:]:
        following, head = append(head, entry.chain, entry.kind, entry.body, entry.at)
        rewritten.append(following)
    assert verify(rewritten).ok
    (found,) = verify(rewritten, heads).breaks
    assert (found.seq, found.kind) == (4, Tampering.ALTERED)
