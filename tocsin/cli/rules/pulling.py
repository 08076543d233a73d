"""`tocsin rules pull URL --sha256 …`: a release of rules, checked before it takes its place."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from detect.rule_diff import compare
from detect.sigma import load_rules
from tocsin.cli.options import config_option, json_option
from tocsin.cli.output import json_lines
from tocsin.cli.rules.differing import summary
from tocsin.cli.rules.fetching import ARCHIVES, PullError, fetch, name_of
from tocsin.config import load
from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detect.rule_diff import Change
    from detect.sigma import RuleSet
    from tocsin.config import Settings

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@click.command()
@click.argument("url")
@click.option("--sha256", "digest", required=True, help="The archive's SHA-256, from its release.")
@click.option(
    "--to",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where it goes; by default data_dir/rules and the name in the URL.",
)
@config_option
@json_option
def pull(url: str, digest: str, to: Path | None, config: Path | None, as_json: bool) -> None:
    """Fetch an archive of rules (.tar.gz or .zip) and put it into place.

    URL begins with https:// and its host stands in rules.hosts. The archive must have the given
    SHA-256 and hold rules; else nothing is changed. What it replaces is kept as FILE.previous. A
    running pipeline takes the new rules by itself if rules.paths names the file.
    """
    settings = load(config)
    if not _SHA256.fullmatch(digest):
        raise ConfigError("--sha256 takes 64 hexadecimal digits")
    place = to or settings.data_dir / "rules" / name_of(url)
    if not place.name.endswith(ARCHIVES):
        raise ConfigError(f"{place} must end in {', '.join(ARCHIVES)}: so archives are recognised")
    place.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays: it says how the archive is read.
    draft = place.with_name(f".{os.getpid()}-{place.name}")
    try:
        with draft.open("xb") as stream:
            size = fetch(url, digest, settings.rules.hosts, stream)
            os.fsync(stream.fileno())
        new = _checked(draft, settings)
        old = _loaded([place] if place.exists() else [], settings)
        _replace(draft, place)
    finally:
        draft.unlink(missing_ok=True)
    changes = compare(old, new)
    if as_json:
        json_lines([{"file": str(place), "bytes": size, **_numbers(changes)}])
    click.echo(f"{place}: {summary(changes, old, new)}", err=True)
    if new.errors:
        click.echo(f"{len(new.errors)} mistakes in it: tocsin rules lint {place}", err=True)
    if not any(place.resolve() == path.resolve() for path in settings.rules.paths):
        click.echo(f"it is not used yet: add {place} to rules.paths", err=True)


def _numbers(changes: Sequence[Change]) -> dict[str, int]:
    kinds = Counter(change.kind for change in changes)
    return {kind: kinds[kind] for kind in ("added", "removed", "changed")}


def _checked(draft: Path, settings: Settings) -> RuleSet:
    """The rules in the archive; raises PullError if there is none."""
    loaded = _loaded([draft], settings)
    if not (loaded.rules or loaded.correlations or loaded.unsupported):
        first = f": {loaded.errors[0]}" if loaded.errors else ""
        raise PullError(f"the archive holds no rule{first}. Nothing was changed.")
    return loaded


def _loaded(paths: list[Path], settings: Settings) -> RuleSet:
    lists = settings.rules.placeholders
    return load_rules(paths, builtin=False, allow_errors=True, placeholders=lists)


def _replace(draft: Path, place: Path) -> None:
    """Put the draft into place at once; what was there is kept beside it."""
    if place.exists():
        previous = place.with_name(f"{place.name}.previous")
        previous.unlink(missing_ok=True)
        os.link(place, previous)
    draft.replace(place)
