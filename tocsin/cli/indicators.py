"""`tocsin indicators`: what the feeds hold, why a value is or is not in them, and looking back."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, cast

import click

from detect.indicators.feeds import Feeds
from detect.indicators.fetch import FetchError, client, fetch
from detect.indicators.guards import parents
from detect.indicators.lookback import Search
from detect.indicators.table import Table
from detect.indicators.values import classified
from tocsin.cli.knowledge import spool
from tocsin.cli.options import config_option, json_option
from tocsin.cli.output import json_lines, table
from tocsin.cli.topics import all_topics, build_log
from tocsin.clock import SystemClock, iso
from tocsin.config import load, secret
from tocsin.config_types import parse_duration
from tocsin.errors import ConfigError
from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from detect.indicators.collect import Report
    from detect.indicators.lookback import Scan
    from detect.indicators.values import Indicator
    from tocsin.config import Settings


@click.group()
def indicators() -> None:
    """Addresses, domains, URLs and hashes that feeds call bad."""


@indicators.command()
@config_option
@json_option
def check(config: Path | None, as_json: bool) -> None:
    """Read every feed and say what was kept, what was refused and why; 1 if a feed is unusable."""
    feeds = _feeds(load(config))
    reports = feeds.reports()
    if as_json:
        json_lines(asdict(report) | {"refused": dict(report.refused)} for report in reports)
    else:
        rows = ((r.feed, r.kept, _counts(r.kinds), _refused(r), r.problem) for r in reports)
        table("Feeds", ("feed", "kept", "kinds", "refused (for example)", "problem"), rows)
        size = feeds.table.size() / 1_000_000
        click.echo(f"{len(feeds.table)} indicators, {size:.1f} MB in memory")
    sys.exit(1 if any(report.problem for report in reports) else 0)


@indicators.command()
@config_option
@json_option
@click.argument("values", nargs=-1, required=True)
def lookup(config: Path | None, as_json: bool, values: tuple[str, ...]) -> None:
    """Which indicators each of VALUES would match; 1 if none does."""
    feeds = _feeds(load(config))
    found = []
    for value in values:
        known = classified(value)
        if known is None:
            raise ConfigError(
                f"'{printable(value)}' is no address, domain, hash, URL or mail address"
            )
        allowed = feeds.allowed.covers(*known)
        found += [(value, each, allowed) for each in _matching(feeds.table, *known)]
    if as_json:
        json_lines({"asked": v, **each._asdict(), "allowed": allowed} for v, each, allowed in found)
    else:
        rows = (
            (v, e.value, e.feed, e.level, iso(e.until) if e.until else "", e.about, a or "")
            for v, e, a in found
        )
        columns = ("asked", "indicator", "feed", "level", "until", "about", "allowed")
        table("Indicators", columns, rows)
    sys.exit(0 if found else 1)


@indicators.command("fetch")
@config_option
def fetch_now(config: Path | None) -> None:
    """Fetch every feed that has a url, now; 1 if one cannot be fetched."""
    failed = asyncio.run(_fetch(load(config)))
    sys.exit(1 if failed else 0)


@indicators.command()
@config_option
@json_option
@click.option("--since", default="", metavar="DURATION", help="How far back; else as configured.")
@click.option("--feed", "only", default="", help="Only the indicators of this feed.")
@click.option("--dry-run", is_flag=True, help="Say how many findings there would be.")
def backfill(config: Path | None, as_json: bool, since: str, only: str, dry_run: bool) -> None:
    """Match all indicators against the events that are in the log already.

    `tocsin run` does so by itself for every indicator that is new; this is for all of them, after
    `allow` was changed or a lookback was widened. What was found before is not found twice. With
    the embedded log `tocsin run` must be stopped meanwhile.
    """
    settings = load(config)
    feeds = _feeds(settings)
    try:
        span = parse_duration(since) if since else settings.indicators.lookback
    except ValueError as error:
        raise ConfigError(f"--since: {error}") from None
    rows = [rows for rows in feeds.table.feeds if only in ("", rows.feed)]
    if only and not rows:
        raise ConfigError(f"there is no feed {printable(only)}, or it cannot be read")
    start = SystemClock().now() - cast("int", span)
    scan = asyncio.run(_backfill(settings, feeds, Table(rows), start, dry_run))
    if as_json:
        json_lines([asdict(scan)])
        return
    done = "would be found" if dry_run else "found"
    click.echo(f"{scan.findings} findings {done} in {scan.read - scan.skipped} events")


def _feeds(settings: Settings) -> Feeds:
    if not settings.indicators.feeds:
        raise ConfigError("no feeds are configured: see indicators.feeds")
    feeds = Feeds(settings.indicators, spool(settings), SystemClock())
    feeds.refresh()
    return feeds


def _matching(held: Table, kind: str, value: str) -> Iterator[Indicator]:
    if kind == "domain":
        for parent in parents(value):
            yield from held.find(parent)
        return
    yield from held.find(value)
    if kind == "ip":
        yield from held.around(value)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def _refused(report: Report) -> str:
    return "; ".join(
        f"{count} {reason} ({report.examples[reason][0]})"
        for reason, count in report.refused.most_common()
    )


async def _fetch(settings: Settings) -> bool:
    failed = False
    for feed in settings.indicators.feeds:
        if not feed.url:
            continue
        async with client(feed, secret) as http:
            try:
                changed = await fetch(http, feed, spool(settings))
            except FetchError as error:
                failed = True
                click.echo(printable(f"{feed.name}: {error}"), err=True)
            else:
                click.echo(f"{feed.name}: {'new' if changed else 'nothing new'}")
    return failed


async def _backfill(settings: Settings, feeds: Feeds, wanted: Table, since: int, dry: bool) -> Scan:
    log = build_log(settings, SystemClock())
    await log.start()
    try:
        await log.create(all_topics(settings))
        return await Search(log, wanted, feeds.allowed, since=since, dry=dry).run()
    finally:
        await log.close()
