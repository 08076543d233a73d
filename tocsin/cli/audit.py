"""`tocsin audit`: whether the record of decisions and effects is whole, wherever it stands."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tocsin import audit as chains
from tocsin.audit_anchor import anchored
from tocsin.audit_keys import Signer, encoded, new_private, trusted
from tocsin.audit_keys import key_id as named
from tocsin.cli.lists import read_store
from tocsin.cli.options import config_option, json_option
from tocsin.cli.output import json_lines, table
from tocsin.cli.topics import build_log, log_file, values
from tocsin.clock import SystemClock
from tocsin.config import load
from tocsin.contracts import AuditEntry, Topics
from tocsin.errors import LogUnavailable, StoreError
from tocsin.index.store import AUDIT, MAX_LIMIT
from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tocsin.config import Settings
    from tocsin.index import Store

    Hashes = Mapping[str, Mapping[int, str]]

#: Exit code if the store could not be read.
UNREAD = 3


@click.group()
def audit() -> None:
    """The hash chain of decisions and effects, and the signatures over it."""


@audit.command()
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE"
)
def keygen(out: Path) -> None:
    """Make a key that signs the audit's roots, for `audit.key: file:FILE`; it replaces nothing."""
    private = new_private()
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{private}\n")
    public = Signer.of(f"file:{out}").public
    click.echo(f"private key: {out} (keep it away from the log and the store)")
    click.echo(f"public key {named(public)}, for audit.trusted elsewhere: {encoded(public)}")


@audit.command()
@config_option
@json_option
@click.option(
    "--roots",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A copy of signed roots, besides audit.file; may be repeated.",
)
@click.option("--log-only", is_flag=True, help="Leave the store's copy alone.")
def verify(config: Path | None, as_json: bool, roots: tuple[Path, ...], log_only: bool) -> None:
    """Verify the log's and the store's copy, against each other and against the signed roots.

    Exit code 1 if an entry was altered, removed or inserted; the first of each chain is named.
    """
    settings = load(config)
    keys = _keys(settings)
    found, breaks = _anchored(settings, roots)
    entries = asyncio.run(_entries(settings))
    reports = {"log": chains.verify(entries, roots=found, keys=keys)}
    silent = ""
    if not log_only:
        try:
            copy = read_store(settings, lambda store: _stored(store, _names(entries)))
        except StoreError as error:
            silent = f"the store's copy was not verified: {error}"
        else:
            reports["store"] = chains.verify(copy, roots=found, keys=keys, whole=False)
            breaks += _between(_hashes(entries), _hashes(copy))
    _tell(reports, breaks, as_json)
    if silent:
        click.echo(printable(silent), err=True)
    if keys is None:
        click.echo("no roots are signed here: `tocsin audit keygen`, then audit.key", err=True)
    if breaks or not all(report.ok for report in reports.values()):
        sys.exit(1)
    sys.exit(UNREAD if silent else 0)


def _keys(settings: Settings) -> dict[str, bytes] | None:
    own = Signer.of(settings.audit.key) if settings.audit.key else None
    return trusted(settings.audit.trusted, own) or None


def _anchored(
    settings: Settings, more: Sequence[Path]
) -> tuple[list[AuditEntry], list[chains.Break]]:
    """The roots of all files, and what is wrong with the files themselves."""
    files = list(more)
    if settings.audit.file is not None and settings.audit.file.exists():
        files.append(settings.audit.file)
    found: list[AuditEntry] = []
    breaks: list[chains.Break] = []
    for path in files:
        roots, unreadable = anchored(path)
        found += roots
        breaks += [
            chains.Break(str(path), number, chains.Tampering.ALTERED, "this line is no root")
            for number in unreadable[:1]
        ]
    return found, breaks


def _tell(
    reports: Mapping[str, chains.Report], breaks: Sequence[chains.Break], as_json: bool
) -> None:
    told = [(copy, each) for copy, report in reports.items() for each in report.chains]
    if as_json:
        json_lines({"copy": copy, **asdict(each)} for copy, each in told)
        json_lines({"copy": "both", "chain": b.chain, "broken": asdict(b)} for b in breaks)
        return
    columns = ("copy", "chain", "entries", "duplicates", "signed", "verdict")
    rows: list[tuple[object, ...]] = [
        (copy, c.chain, c.entries, c.duplicates, c.signed, c.broken or "holds") for copy, c in told
    ]
    table("Audit", columns, [*rows, *(("both", b.chain, "", "", "", b) for b in breaks)])


def _between(log: Hashes, store: Hashes) -> list[chains.Break]:
    """Where the copies differ, and what only the store has: it is written after the log."""
    found = chains.compare(log, store)
    for chain in sorted(store):
        end, copied = max(log.get(chain, {-1: ""})), max(store[chain])
        if copied > end:
            reason = f"the store has entries up to {copied}, the log has not"
            found.append(chains.Break(chain, end + 1, chains.Tampering.MISSING, reason))
    return found


def _hashes(entries: Iterable[AuditEntry]) -> dict[str, dict[int, str]]:
    found: dict[str, dict[int, str]] = {}
    for entry in entries:
        found.setdefault(entry.chain, {})[entry.seq] = entry.hash
    return found


def _names(entries: Iterable[AuditEntry]) -> set[str]:
    return {entry.chain for entry in entries}


async def _stored(store: Store, known: set[str]) -> list[AuditEntry]:
    """Every entry of the store's copy, chain by chain, by number."""
    newest = await store.list(AUDIT, limit=MAX_LIMIT)
    found: list[AuditEntry] = []
    for chain in sorted(known | {str(each.get("chain", "")) for each in newest}):
        first, seen = 0, set[tuple[int, str]]()
        while bodies := await store.links(chain, first):
            page = [_checked(body) for body in bodies]
            found += [e for e in page if (e.seq, e.hash) not in seen]
            if len(bodies) < MAX_LIMIT:
                break
            # Several entries may have the last number: read it again, and go on where it was one.
            seen = {(e.seq, e.hash) for e in page}
            first = page[-1].seq if page[-1].seq > first else first + 1
    return found


def _checked(body: object) -> AuditEntry:
    try:
        return AuditEntry.model_validate(body)
    except ValueError:
        return _unreadable()


async def _entries(settings: Settings) -> list[AuditEntry]:
    path = log_file(settings)
    if path is not None and not path.exists():
        raise LogUnavailable(f"there is no log {path}: the first `tocsin run` makes it")
    log = build_log(settings, SystemClock())
    await log.start()
    try:
        return [_entry(value) async for value in values(log, Topics.AUDIT)]
    finally:
        await log.close()


def _entry(value: bytes) -> AuditEntry:
    try:
        return AuditEntry.decode(value)
    except ValueError:
        return _unreadable()


def _unreadable() -> AuditEntry:
    """What is no entry at all becomes one that cannot verify, and so is named."""
    return AuditEntry(chain="(unreadable)", seq=-1, at=0, kind="", body={}, previous="", hash="")
