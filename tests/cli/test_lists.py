"""Looking at alerts, runs, leases and the audit."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests.cli.conftest import ATTACKER, HOSTILE
from tocsin.audit import append
from tocsin.cli.topics import values
from tocsin.clock import SystemClock
from tocsin.contracts import AuditEntry, Topics
from tocsin.index import FILE_NAME, StoreDocument
from tocsin.index.sqlite import SqliteStore
from tocsin.index.store import AUDIT, KINDS
from tocsin.log.base import Outgoing
from tocsin.log.sqlite import SqliteLog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Made, Ran


#: The number of kind "audit" in the embedded store's file.
AUDIT_ROW = KINDS.index(AUDIT)


def test_run_until_idle_does_everything_and_ends(made: Made) -> None:
    assert made.product.held[ATTACKER] == 1
    assert list((made.directory / "reports").glob("*.html"))


@pytest.mark.parametrize("kind", ["alerts", "runs", "leases", "dead-letters"])
def test_lists_are_tables_for_people_and_json_for_programs(
    made: Made, tocsin: Callable[..., Ran], kind: str
) -> None:
    table = tocsin(kind, "list", "-c", made.config)
    rows = tocsin(kind, "list", "-c", made.config, "--json")
    assert (table.code, rows.code) == (0, 0)
    assert len(rows.rows()) >= 1
    assert rows.err == ""
    one = tocsin(kind, "list", "-c", made.config, "--json", "--limit", 1)
    assert one.rows() == rows.rows()[:1]


def test_alerts_say_what_happened(made: Made, tocsin: Callable[..., Ran]) -> None:
    rows = tocsin("alerts", "list", "-c", made.config, "--json").rows()
    names = {row["rule"]["name"] for row in rows}
    assert {"SSH Brute Force", "SSH Login After Brute Force"} <= names
    assert "SSH" in tocsin("alerts", "list", "-c", made.config).out


def test_leases_name_verb_target_and_end(made: Made, tocsin: Callable[..., Ran]) -> None:
    (lease,) = tocsin("leases", "list", "-c", made.config, "--json").rows()
    assert (lease["verb"], lease["target"]) == ("containment.webhook", ATTACKER)
    assert lease["state"] == "active"
    assert ATTACKER in tocsin("leases", "list", "-c", made.config).out


def hostile(kind: str) -> StoreDocument:
    """The newest document of a kind, with hostile text wherever text may stand."""
    at = SystemClock().now() + 1_000
    match kind:
        case "alerts":
            about = {"id": HOSTILE, "first_seen": HOSTILE, "last_seen": HOSTILE, "count": HOSTILE}
            body: dict[str, Any] = {
                "message": HOSTILE,
                "event": {"severity": HOSTILE},
                "tocsin": {"alert": about},
            }
            return StoreDocument("alerts", "x", 1, at, body)
        case "runs":
            data = {"outcome": HOSTILE}
            body = {"at": at, "run_id": HOSTILE, "kind": HOSTILE, "step": HOSTILE, "data": data}
            return StoreDocument("runs", "x", None, at, body)
        case "leases":
            body = dict.fromkeys(("state", "verb", "target"), HOSTILE)
            body |= {"holders": [{"run_id": HOSTILE}], "expires": at}
            return StoreDocument("leases", "x", 1, at, body)
        case _:
            body = dict.fromkeys(("id", "stage", "code", "attempts", "origin", "reason"), HOSTILE)
            return StoreDocument("dead_letters", "x", None, at, {**body, "at": at})


async def _store(directory: Path, document: StoreDocument) -> None:
    store = SqliteStore(directory / "data" / "store.sqlite", clock=SystemClock())
    await store.start()
    assert await store.write([document]) == []
    await store.close()


@pytest.mark.parametrize("kind", ["alerts", "runs", "leases", "dead-letters"])
def test_hostile_text_does_not_drive_the_terminal(
    made: Made, tocsin: Callable[..., Ran], kind: str
) -> None:
    asyncio.run(_store(made.directory, hostile(kind)))
    for options in ((), ("--json",)):
        ran = tocsin(kind, "list", "-c", made.config, "--limit", 1, *options)
        assert ran.code == 0, ran.err
        assert all(line.isprintable() for line in (ran.out + ran.err).splitlines())
        # It is there, and what looks like markup of the table is text.
        assert "[bold]" in "".join(ran.out.split())
    (row,) = tocsin(kind, "list", "-c", made.config, "--limit", 1, "--json").rows()
    assert row == hostile(kind).body | ({"at": row["at"]} if "at" in row else {}) | (
        {"expires": row["expires"]} if "expires" in row else {}
    )


@pytest.mark.parametrize("kind", ["alerts", "runs", "leases", "dead-letters"])
def test_before_the_first_run_there_is_no_store_and_looking_makes_none(
    tmp_path: Path, tocsin: Callable[..., Ran], kind: str
) -> None:
    config = tmp_path / "tocsin.yaml"
    config.write_text("data_dir: data\n", "utf-8")
    ran = tocsin(kind, "list", "-c", config)
    assert ran.code == 3
    assert "there is no store in" in ran.err
    assert list(tmp_path.iterdir()) == [config]


@pytest.mark.parametrize("limit", ["0", "-1", "10001", "x"])
def test_an_impossible_limit_is_refused(made: Made, tocsin: Callable[..., Ran], limit: str) -> None:
    ran = tocsin("alerts", "list", "-c", made.config, "--limit", limit)
    assert ran.code == 2
    assert "--limit" in ran.err


class TestAudit:
    def test_a_good_chain_holds(self, made: Made, tocsin: Callable[..., Ran]) -> None:
        ran = tocsin("audit", "verify", "-c", made.config, "--json")
        assert ran.code == 0
        chains = ran.rows()
        assert sum(chain["entries"] for chain in chains) >= 2
        assert all(chain["broken"] is None for chain in chains)
        assert "holds" in tocsin("audit", "verify", "-c", made.config).out

    def test_an_altered_entry_is_named(self, made: Made, tocsin: Callable[..., Ran]) -> None:
        """Altered in the file, with a checksum that fits: only the chain can tell."""
        chain, seq = asyncio.run(_rewrite(made.directory / "data" / "log.sqlite"))
        ran = tocsin("audit", "verify", "-c", made.config, "--json")
        assert ran.code == 1
        broken = [row["broken"] for row in ran.rows() if row["broken"]]
        assert [(b["chain"], b["seq"], b["kind"]) for b in broken] == [(chain, seq, "altered")]
        assert tocsin("audit", "verify", "-c", made.config).code == 1

    @pytest.mark.parametrize("deed", ["altered", "removed", "inserted"])
    def test_the_stores_copy_is_verified_too(
        self, made: Made, tocsin: Callable[..., Ran], deed: str
    ) -> None:
        chain, seq = _spoil(made.directory / "data" / FILE_NAME, deed)
        ran = tocsin("audit", "verify", "-c", made.config, "--json")
        assert ran.code == 1
        wrong = [(r["copy"], r["chain"], r["broken"]["seq"]) for r in ran.rows() if r["broken"]]
        assert ("store", chain, seq) in wrong
        assert not [each for each in wrong if each[0] == "log"]
        assert tocsin("audit", "verify", "-c", made.config, "--log-only").code == 0

    def test_a_store_that_goes_on_where_the_log_ends_tells_of_a_cut(
        self, made: Made, tocsin: Callable[..., Ran]
    ) -> None:
        chain, last = asyncio.run(_cut(made.directory / "data" / "log.sqlite"))
        ran = tocsin("audit", "verify", "-c", made.config, "--json")
        assert ran.code == 1
        (gone,) = [r["broken"] for r in ran.rows() if r["broken"]]
        assert (gone["chain"], gone["seq"], gone["kind"]) == (chain, last, "missing")

    def test_a_key_is_made_once_and_told_by_its_public_half(
        self, tmp_path: Path, tocsin: Callable[..., Ran]
    ) -> None:
        path = tmp_path / "audit.key"
        made = tocsin("audit", "keygen", "--out", path)
        assert made.code == 0
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.read_text("utf-8").strip() not in made.out
        assert tocsin("audit", "keygen", "--out", path).code == 3

    def test_a_record_that_is_no_entry_is_named(
        self, made: Made, tocsin: Callable[..., Ran]
    ) -> None:
        asyncio.run(_append(made.directory / "data" / "log.sqlite", b"no entry"))
        ran = tocsin("audit", "verify", "-c", made.config)
        assert ran.code == 1
        assert "unreadable" in ran.out

    def test_without_a_log_it_says_so_and_makes_none(
        self, tmp_path: Path, tocsin: Callable[..., Ran]
    ) -> None:
        config = tmp_path / "tocsin.yaml"
        config.write_text("data_dir: data\n", "utf-8")
        ran = tocsin("audit", "verify", "-c", config)
        assert ran.code == 3
        assert "there is no log" in ran.err
        assert list(tmp_path.iterdir()) == [config]


async def _rewrite(path: Path) -> tuple[str, int]:
    """Give one audit entry another time; returns its chain and number."""
    entries = await _entries(path)
    chain = max({e.chain for e in entries}, key=lambda c: sum(e.chain == c for e in entries))
    altered = [e for e in entries if e.chain == chain]
    target = altered[0]
    kept = [e.model_copy(update={"at": e.at + 1}) if e is target else e for e in entries]
    with sqlite3.connect(path) as connection:
        connection.execute(
            "DELETE FROM batches WHERE id >> 40 IN (SELECT id FROM partitions WHERE topic = ?)",
            (Topics.AUDIT,),
        )
    connection.close()
    await _append(path, *(entry.encode() for entry in kept))
    return target.chain, target.seq


def _spoil(path: Path, deed: str) -> tuple[str, int]:
    """Do something to the copy of a chain in the store; the chain and the entry's number."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT seq, body FROM documents WHERE kind = ?", (AUDIT_ROW,))
        found = {orjson.loads(body)["seq"]: (seq, orjson.loads(body)) for seq, body in rows
                 if orjson.loads(body)["chain"].startswith("act")}  # fmt: skip
        row, body = found[1]
        if deed == "removed":
            connection.execute("DELETE FROM documents WHERE seq = ?", (row,))
        elif deed == "altered":
            text = orjson.dumps(body | {"at": body["at"] + 1})
            connection.execute("UPDATE documents SET body = ? WHERE seq = ?", (text, row))
        else:
            twin, _ = append(
                {"seq": 0, "hash": body["previous"]}, body["chain"], body["kind"], {}, body["at"]
            )
            columns = "kind, id, version, at, stored, body"
            connection.execute(
                f"INSERT INTO documents ({columns}) SELECT kind, ?, version, at, stored, ? "  # noqa: S608
                "FROM documents WHERE seq = ?",
                (twin.hash, orjson.dumps(twin.model_dump(mode="json")), row),
            )
    connection.close()
    return body["chain"], body["seq"]


async def _cut(path: Path) -> tuple[str, int]:
    """Take the last entry of a chain out of the log; its chain and number."""
    entries = await _entries(path)
    last = max((e for e in entries if e.chain.startswith("act")), key=lambda e: e.seq)
    with sqlite3.connect(path) as connection:
        connection.execute(
            "DELETE FROM batches WHERE id >> 40 IN (SELECT id FROM partitions WHERE topic = ?)",
            (Topics.AUDIT,),
        )
    connection.close()
    await _append(path, *(entry.encode() for entry in entries if entry is not last))
    return last.chain, last.seq


async def _entries(path: Path) -> list[AuditEntry]:
    log = SqliteLog(path, clock=SystemClock())
    await log.start()
    try:
        return [AuditEntry.decode(value) async for value in values(log, Topics.AUDIT)]
    finally:
        await log.close()


async def _append(path: Path, *entries: bytes) -> None:
    log = SqliteLog(path, clock=SystemClock())
    await log.start()
    try:
        await log.append([Outgoing(Topics.AUDIT, entry, partition=0) for entry in entries])
    finally:
        await log.close()
