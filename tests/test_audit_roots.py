"""Signed roots: what a chain alone does not show, shows against them, and the entry is named."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from tests.playbooks.act_bench import PARTITIONS, everything
from tocsin import audit, audit_keys
from tocsin.audit import Break, Head, Tampering, append, verify
from tocsin.audit_anchor import FileAnchor, anchored
from tocsin.audit_roots import CHAINS, KIND, MAX_LEAVES, is_root, merkle, root_body
from tocsin.clock import ManualClock
from tocsin.contracts import AuditEntry, Topics
from tocsin.errors import ConfigError, StoreUnavailable
from tocsin.log.base import Outgoing, Record, Topic
from tocsin.log.sqlite import SqliteLog
from tocsin.metrics import Metrics
from tocsin.notary import Notary
from tocsin.runtime import SinkRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

T0 = 1_774_000_000_000
MINUTE = 60_000
SIGNER = audit_keys.Signer(bytes(range(32)))
OTHER = audit_keys.Signer(bytes(32))
KEYS = {SIGNER.id: SIGNER.public}
LENGTH, SIGNED = 12, 5


def chain(
    length: int = LENGTH, *, name: str = "act-0", forged: int = -1, left_out: int = -1
) -> list[AuditEntry]:
    """A chain; a forger writes it anew with one entry changed or left out, hashes and all."""
    head: Head | None = None
    entries = []
    for number in range(length):
        if number != left_out:
            body = {"verb": "block", "target": "other" if number == forged else f"t-{number}"}
            entry, head = append(head, name, "effect.ok", body, T0 + number)
            entries.append(entry)
    return entries


def signed(
    entries: Sequence[AuditEntry], by: audit_keys.Signer = SIGNER, each: int = SIGNED
) -> list[AuditEntry]:
    """Roots over every `each` entries; what is left over is not signed."""
    head: Head | None = None
    roots = []
    for first in range(0, len(entries) - each + 1, each):
        hashes = [entry.hash for entry in entries[first : first + each]]
        body = root_body(entries[0].chain, first, hashes, T0 + first, by)
        root, head = append(head, f"{CHAINS}0", KIND, body, T0 + first)
        roots.append(root)
    return roots


def found(entries: Sequence[AuditEntry], roots: Sequence[AuditEntry] = ()) -> list[Break]:
    return list(verify(entries, roots=roots, keys=KEYS).breaks)


def test_a_tree_is_that_of_rfc_6962() -> None:
    leaves = [bytes([n]) for n in range(7)]

    def expected(of: list[bytes]) -> bytes:
        if len(of) == 1:
            return sha256(b"\0" + of[0]).digest()
        split = 1 << ((len(of) - 1).bit_length() - 1)
        return sha256(b"\1" + expected(of[:split]) + expected(of[split:])).digest()

    for count in range(1, 8):
        assert merkle(leaves[:count]) == expected(leaves[:count])
    with pytest.raises(ValueError, match="leaves"):
        merkle([])


def test_an_undisturbed_chain_fits_its_roots_wherever_they_stand() -> None:
    entries = chain()
    report = verify([*entries, *signed(entries)], roots=signed(entries), keys=KEYS)
    report.check()
    assert {each.chain: each.signed for each in report.chains} == {"act-0": 10, "roots-0": 0}


@pytest.mark.parametrize("victim", range(LENGTH - LENGTH % SIGNED))
def test_a_chain_written_anew_is_named_at_the_entry(victim: int) -> None:
    """The chain itself holds; only what was signed tells."""
    roots, forged = signed(chain()), chain(forged=victim)
    assert verify(forged).ok
    assert [(b.chain, b.seq, b.kind) for b in found([*forged, *roots], roots)] == [
        ("act-0", victim, Tampering.ALTERED)
    ]


@pytest.mark.parametrize("victim", range(LENGTH - LENGTH % SIGNED))
def test_so_is_one_from_which_an_entry_was_taken_or_put_in(victim: int) -> None:
    whole, shorter = chain(), chain(left_out=victim)
    assert verify(shorter).ok
    assert found(shorter, signed(whole))[0].seq == victim
    assert found(whole, signed(shorter))[0].seq == victim


def test_what_the_chain_itself_shows_is_named_as_before() -> None:
    entries = chain()
    roots = signed(entries)
    altered = [*entries]
    altered[3] = altered[3].model_copy(update={"body": {"verb": "nothing"}})
    assert [(b.seq, b.kind) for b in found([*altered, *roots], roots)] == [(3, Tampering.ALTERED)]
    dropped = entries[:3] + entries[4:]
    assert [(b.seq, b.kind) for b in found([*dropped, *roots], roots)] == [(3, Tampering.MISSING)]
    inserted = [*entries[:3], altered[3], *entries[3:]]
    assert [b.seq for b in found([*inserted, *roots], roots)] == [3]


def test_a_tail_that_was_cut_off_is_missing_from_the_log_and_late_in_a_copy() -> None:
    entries = chain()
    (gone,) = found([*entries[:7], *signed(entries)], signed(entries))
    assert (gone.seq, gone.kind) == (7, Tampering.MISSING)
    verify(entries[:7], roots=signed(entries), keys=KEYS, whole=False).check()
    (gone,) = found([], signed(entries))[:1]
    assert (gone.seq, gone.kind) == (0, Tampering.MISSING)


def test_roots_that_are_forged_altered_or_taken_away_are_named() -> None:
    entries = chain()
    roots = signed(entries)
    (stranger,) = found([*entries, *signed(entries, OTHER)])[:1]
    assert (stranger.chain, stranger.seq) == ("roots-0", 0)
    assert "key that is not known" in stranger.reason
    forged = signed(chain(forged=2))[:1]
    body = dict(forged[0].body) | {"signature": roots[0].body["signature"]}
    entry, _ = append(None, "roots-0", KIND, body, T0)
    assert "signature does not fit" in found([*entries, entry])[0].reason
    (gone,) = found([*entries, roots[0]], roots)
    assert (gone.chain, gone.seq, gone.kind) == ("roots-0", 1, Tampering.MISSING)


def test_two_copies_are_compared_entry_by_entry() -> None:
    one, other = chain(), chain(8, forged=6)
    as_map = [{"act-0": {e.seq: e.hash for e in entries}} for entries in (one, other)]
    (differing,) = audit.compare(*as_map)
    assert (differing.chain, differing.seq) == ("act-0", 6)
    assert audit.compare(as_map[0], {"act-0": {e.seq: e.hash for e in chain(3)}}) == []


def test_a_key_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("no base64!", "c2hvcnQ="):
        monkeypatch.setenv("ROOT_KEY", wrong)
        with pytest.raises(ConfigError, match=r"audit\.key"):
            audit_keys.Signer.of("env:ROOT_KEY")
    monkeypatch.setenv("ROOT_KEY", audit_keys.new_private())
    made = audit_keys.Signer.of("env:ROOT_KEY")
    assert audit_keys.trusted([audit_keys.encoded(made.public)], None) == {made.id: made.public}
    assert len(b64decode(audit_keys.encoded(made.public))) == 32


class TestTheNotary:
    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock(T0)

    async def run(
        self, path: Path, clock: ManualClock, steps: Sequence[Sequence[AuditEntry]], roots: int
    ) -> tuple[list[AuditEntry], Metrics]:
        """Feed entries, a minute between each lot, until there are so many roots; a file beside."""
        metrics = Metrics()
        log = SqliteLog(path / "log.db", clock=clock)
        await log.start()
        await log.create([Topic(name, PARTITIONS) for name in Topics.ALL])
        workers = [
            Notary(SIGNER, log, every=MINUTE, clock=clock, metrics=metrics),
            SinkRunner(FileAnchor(path / "roots"), log, clock=clock, metrics=metrics),
        ]
        async with asyncio.TaskGroup() as group:
            for worker in workers:
                group.create_task(worker.run())
            for lot in steps:
                await log.append([record(entry) for entry in lot])
                fed = metrics.account("notary").received + len(lot)
                await until(lambda fed=fed: metrics.account("notary").received >= fed)  # type: ignore[misc]
                before = metrics.account("anchor-file").sent
                clock.advance(MINUTE)
                await until(lambda n=before: metrics.account("anchor-file").sent > n)  # type: ignore[misc]
            await until(lambda: metrics.account("anchor-file").sent >= roots)
            for worker in workers:
                worker.stop()
        found = [AuditEntry.decode(r.value) for r in await everything(log, Topics.AUDIT)]
        await log.close()
        return found, metrics

    async def test_what_is_new_is_signed_each_minute_and_kept_in_a_file(
        self, tmp_path: Path, clock: ManualClock
    ) -> None:
        entries = chain()
        told, _ = await self.run(tmp_path, clock, [entries[:7], entries[7:]], roots=2)
        report = verify(told, roots=anchored(tmp_path / "roots")[0], keys=KEYS)
        report.check()
        assert next(each.signed for each in report.chains if each.chain == "act-0") == LENGTH
        kept, unreadable = anchored(tmp_path / "roots")
        assert {r.hash for r in kept} == {e.hash for e in told if is_root(e)}
        assert unreadable == []
        assert (tmp_path / "roots").stat().st_mode & 0o777 == 0o600

    async def test_a_restart_goes_on_where_it_was(self, tmp_path: Path, clock: ManualClock) -> None:
        entries = chain()
        await self.run(tmp_path, clock, [entries[:7]], roots=1)
        told, _ = await self.run(tmp_path, clock, [entries[7:]], roots=1)
        report = verify(told, roots=anchored(tmp_path / "roots")[0], keys=KEYS)
        report.check()
        assert next(each.signed for each in report.chains if each.chain == "act-0") == LENGTH

    async def test_a_storm_is_signed_in_bounded_stretches(
        self, tmp_path: Path, clock: ManualClock
    ) -> None:
        told, _ = await self.run(tmp_path, clock, [chain(2 * MAX_LEAVES + 1)], roots=3)
        verify(told, keys=KEYS).check()
        covered = [e.body["last"] - e.body["first"] + 1 for e in told if is_root(e)]
        assert covered == [MAX_LEAVES, MAX_LEAVES, 1]

    async def test_what_is_not_intact_is_never_signed(
        self, tmp_path: Path, clock: ManualClock
    ) -> None:
        entries = chain()
        entries[3] = entries[3].model_copy(update={"body": {"verb": "nothing"}})
        told, metrics = await self.run(tmp_path, clock, [entries], roots=2)
        assert metrics.account("notary").errors == {"audit_entry": 1, "audit_chain": 1}
        assert metrics.account("notary").balanced
        spans = [(e.body["first"], e.body["last"]) for e in told if is_root(e)]
        assert spans == [(0, 2), (4, LENGTH - 1)]


async def test_a_file_that_was_cut_off_goes_on_and_one_that_was_altered_is_told(
    tmp_path: Path,
) -> None:
    path, roots = tmp_path / "roots", signed(chain())
    anchor = FileAnchor(path)
    await anchor.write([as_read(roots[0])])
    with path.open("ab") as file:
        file.write(roots[1].encode()[:40])
    await anchor.write([as_read(roots[1])])
    assert [r.hash for r in anchored(path)[0]] == [r.hash for r in roots]
    assert anchored(path)[1] == []
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"nothing\n" + b"".join(lines[1:]))
    assert anchored(path)[1] == [1]
    with pytest.raises(StoreUnavailable):
        await FileAnchor(tmp_path / "roots" / "below").write([as_read(roots[0])])


def record(entry: AuditEntry) -> Outgoing:
    return Outgoing(Topics.AUDIT, entry.encode(), key=entry.chain.encode(), timestamp=entry.at)


def as_read(entry: AuditEntry) -> Record:
    return Record(Topics.AUDIT, 0, entry.seq, entry.chain.encode(), entry.encode())


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110  (a counter that a runner moves)
            await asyncio.sleep(0.01)
