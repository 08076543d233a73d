"""TAXII 2.1 against medallion, the reference server of OASIS.

It is not among Tocsin's own tools: `pip install medallion==3.0.0` into an environment of its own,
and let TOCSIN_MEDALLION name its `medallion` command.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest

from detect.indicators import stix
from detect.indicators.feeds import place
from detect.indicators.fetch import FetchError, client, fetch
from tests.detect.indicators.support import collector
from tests.detect.indicators.test_feeds import indicator
from tocsin.enrichment_config import FeedSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.live

COLLECTION = "91a7b528-80eb-42ed-a74d-c6fbd5a26116"
TAXII = "application/taxii+json;version=2.1"


@contextmanager
def medallion(directory: Path) -> Iterator[str]:
    """The server with one empty collection; the address of its API root."""
    command = os.environ.get("TOCSIN_MEDALLION", "")
    if not command:
        pytest.skip("no medallion: TOCSIN_MEDALLION names its command")
    data: dict[str, Any] = {
        "/discovery": {"title": "A server", "default": "/api/", "api_roots": ["/api/"]},
        "api": {
            "information": {
                "title": "A root",
                "versions": [TAXII],
                "max_content_length": 9_999_999,
            },
            "status": [],
            "collections": [
                {
                    "id": COLLECTION,
                    "title": "A collection",
                    "can_read": True,
                    "can_write": True,
                    "media_types": ["application/stix+json;version=2.1"],
                    "manifest": [],
                    "objects": [],
                }
            ],
        },
    }
    (directory / "data.json").write_bytes(orjson.dumps(data))
    config = {
        "backend": {
            "module": "medallion.backends.memory_backend",
            "module_class": "MemoryBackend",
            "filename": str(directory / "data.json"),
        },
        "users": {"reader": "pa55"},
        "taxii": {"max_page_size": 3},
    }
    (directory / "config.json").write_bytes(orjson.dumps(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [command, "--port", str(port), str(directory / "config.json")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}/api"
    finally:
        process.terminate()
        process.wait(20)


async def up(http: httpx.AsyncClient, url: str) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await http.get(f"{url}/", headers={"Accept": TAXII})
            except httpx.ConnectError:
                await asyncio.sleep(0.1)
            else:
                return


async def post(http: httpx.AsyncClient, url: str, *objects: dict[str, Any]) -> None:
    answer = await http.post(
        f"{url}/collections/{COLLECTION}/objects/",
        content=orjson.dumps({"objects": objects}),
        headers={"Accept": TAXII, "Content-Type": TAXII},
    )
    assert answer.status_code == 202, answer.text
    assert answer.json()["failure_count"] == 0, answer.text


async def test_a_collection_is_read_in_pages_and_then_only_its_news(tmp_path: Path) -> None:
    with medallion(tmp_path) as url:
        settings = FeedSettings(
            name="live",
            type="taxii",
            url=f"{url}/collections/{COLLECTION}/",
            username="reader",
            password="env:PASSWORD",  # noqa: S106  (a reference)
        )
        async with client(settings, lambda _: "pa55") as http:
            await up(http, url)
            made = [indicator(n, f"[ipv4-addr:value = '203.0.113.{n}']") for n in range(8)]
            await post(http, url, *made, {**made[0], "id": "malware--1", "type": "malware"})
            assert await fetch(http, settings, tmp_path)
            assert values(settings, tmp_path) == list(range(8))
            assert not await fetch(http, settings, tmp_path)
            newer = indicator(
                3, "[ipv4-addr:value = '203.0.113.99']", modified="2026-02-01T00:00:00.000Z"
            )
            await post(http, url, newer)
            assert await fetch(http, settings, tmp_path)
            assert values(settings, tmp_path) == [0, 1, 2, 4, 5, 6, 7, 99]
        async with client(settings, lambda _: "wrong") as http:
            with pytest.raises(FetchError, match="answers 401"):
                await fetch(http, settings, tmp_path)


def values(settings: FeedSettings, spool: Path) -> list[int]:
    into = collector(type="stix")
    stix.read(place(settings, spool), into)
    return sorted(int(each.value.rpartition(".")[2]) for each in into.rows)
