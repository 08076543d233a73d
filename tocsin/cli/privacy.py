"""`tocsin privacy`: whose data is sealed, erasing a person, and opening what was sealed."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
import orjson

from ingest.privacy import open_original, open_sealed
from tocsin.cli.knowledge import subjects_file
from tocsin.cli.options import config_option, json_option, limit_option
from tocsin.cli.output import json_lines, table
from tocsin.clock import SystemClock, iso
from tocsin.config import load
from tocsin.errors import BadInput, ConfigError
from tocsin.subject_keys import SubjectKeys
from tocsin.subjects import subject_name
from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tocsin.config import Settings
    from tocsin.contracts import Document

tenant_option = click.option("--tenant", default="default", show_default=True)


@click.group()
def privacy() -> None:
    """The people whose data is sealed, each under a key of their own."""


@privacy.command("list")
@config_option
@limit_option
@json_option
@click.argument("start", default="")
def list_subjects(config: Path | None, limit: int, as_json: bool, start: str) -> None:
    """Subjects that have a key, whose name begins with START."""
    with _keys(load(config)) as keys:
        found = keys.subjects(start.casefold(), limit)
    if as_json:
        json_lines({"subject": s.subject, "key": s.id, "made": iso(s.made)} for s in found)
        return
    rows = ((subject.subject, subject.id, iso(subject.made)) for subject in found)
    table("Subjects", ("subject", "key", "since"), rows)


@privacy.command()
@config_option
@tenant_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.argument("subject")
def erase(config: Path | None, tenant: str, yes: bool, subject: str) -> None:
    """Destroy the key of SUBJECT: what was sealed under it can never be read again, by anyone.

    Wherever copies of it lie. Older backups of the file of keys have to go too.
    """
    settings, name = load(config), subject_name(tenant, subject)
    with _keys(settings) as keys:
        if not yes:
            click.confirm(f"Erase {printable(name)} for ever?", abort=True)
        if not keys.erase(name):
            raise ConfigError(
                f"there is no key of {printable(name)}; `tocsin privacy list` shows the subjects"
            )
    click.echo(
        f"{printable(name)} is erased; backups of {subjects_file(settings)} may still hold the key"
    )


@privacy.command("open")
@config_option
def open_events(config: Path | None) -> None:
    """Events from standard input, one a line, with what can be opened back in its place."""
    with _keys(load(config)) as keys:
        for line in sys.stdin.buffer:
            try:
                document = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise ConfigError(f"a line is no JSON: {error}") from None
            json_lines([restored(document, keys)])


def restored(document: Any, keys: SubjectKeys) -> dict[str, Any]:
    """The event with its sealed fields as they were; those whose key is gone stay as they are."""
    if not isinstance(document, dict):
        raise ConfigError("a line is no event")
    own = document.get("tocsin")
    privacy = own.get("privacy") if isinstance(own, dict) else None
    event = document.get("event")
    id = event.get("id") if isinstance(event, dict) else None
    if not isinstance(privacy, dict) or not isinstance(id, str):
        return document
    kept = []
    for sealed in privacy.get("sealed", []):
        key = keys.by_id(str(sealed.get("key")))
        if key is None:
            kept.append(sealed)
            continue
        try:
            _put(document, sealed["field"], open_sealed(sealed, key.secret, id))
        except ValueError as error:
            raise ConfigError(f"event {printable(id)}: {error}") from None
    privacy["sealed"] = kept
    return document


def _put(document: Document, path: str, value: Any) -> None:
    *parents, name = path.split(".")
    node: Any = document
    for parent in parents:
        child = node.get(parent)
        if isinstance(child, list):
            return  # which of several it was is not known any more
        if not isinstance(child, dict):
            child = node[parent] = {}
        node = child
    node[name] = value


def opened(settings: Settings, original: bytes, source: str) -> bytes:
    """The bytes of a sealed dead letter; raises ConfigError if they cannot be had."""
    with _keys(settings) as keys:
        try:
            return open_original(original, source, keys)
        except BadInput as error:
            raise ConfigError(str(error)) from None


@contextmanager
def _keys(settings: Settings) -> Iterator[SubjectKeys]:
    path = subjects_file(settings)
    if not path.exists():
        raise ConfigError(f"there is no file of keys {path}: nothing was sealed yet")
    keys = SubjectKeys(path, SystemClock())
    try:
        yield keys
    finally:
        keys.close()
