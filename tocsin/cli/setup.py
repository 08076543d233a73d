"""`tocsin setup` and `tocsin kibana install`: what servers need before the first record."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from tocsin.cli.options import config_option
from tocsin.cli.topics import all_topics, build_log
from tocsin.clock import SystemClock
from tocsin.config import load, secret
from tocsin.index import build_store
from tocsin.kibana import install

if TYPE_CHECKING:
    from pathlib import Path

    from tocsin.config import Settings

kibana_url = click.option("--url", default="http://127.0.0.1:5601", show_default=True)
kibana_key = click.option(
    "--api-key", default="", metavar="REFERENCE", help="env:NAME or file:PATH of an API key."
)


@click.command()
@config_option
@click.option("--kibana", "kibana_at", default="", metavar="URL", help="Install its objects too.")
@kibana_key
def setup(config: Path | None, kibana_at: str, api_key: str) -> None:
    """Create topics and index templates, and Kibana's objects; safe to repeat."""
    settings = load(config)
    for line in asyncio.run(_setup(settings)):
        click.echo(line)
    if kibana_at:
        _install(settings, kibana_at, api_key)


async def _setup(settings: Settings) -> list[str]:
    clock = SystemClock()
    log, store = build_log(settings, clock), build_store(settings.store, settings.data_dir, clock)
    await log.start()
    try:
        topics = all_topics(settings)
        await log.create(topics)
        done = [f"topic {t.name}: {await log.partitions(t.name)} partitions" for t in topics]
        await store.start()
        return done + await store.setup()
    finally:
        await store.close()
        await log.close()


@click.group()
def kibana() -> None:
    """Kibana's data views, alert queue and dashboard."""


@kibana.command("install")
@config_option
@kibana_url
@kibana_key
def install_kibana(config: Path | None, url: str, api_key: str) -> None:
    """Import Tocsin's objects into Kibana; existing ones are replaced."""
    _install(load(config), url, api_key)


def _install(settings: Settings, url: str, api_key: str) -> None:
    key = secret(api_key) if api_key else ""
    for line in install(url, api_key=key):
        click.echo(line)
