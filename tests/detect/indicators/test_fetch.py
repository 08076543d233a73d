"""Fetching feeds from a real server on this machine: TAXII 2.1, MISP, files, and bad days."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from detect.indicators import fetch as fetching
from detect.indicators import misp, stix
from detect.indicators.feeds import place
from detect.indicators.fetch import Fetcher, FetchError, client, fetch
from tests.detect.indicators.support import AT, collector
from tests.detect.indicators.test_feeds import EVENT, bundle, indicator
from tocsin.clock import ManualClock
from tocsin.enrichment_config import FeedSettings
from tocsin.errors import ConfigError
from tocsin.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from starlette.requests import Request


@asynccontextmanager
async def serving(handler: Callable[[Request], Awaitable[Response]]) -> AsyncIterator[str]:
    """A server on a port of its own; its address."""
    app = Starlette(routes=[Route("/{path:path}", handler)])
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off")
    server = uvicorn.Server(config)
    async with asyncio.TaskGroup() as group, asyncio.timeout(30):
        group.create_task(server.serve())
        while True:
            if server.started:
                break
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True


def feed(type: str, url: str, **more: Any) -> FeedSettings:
    return FeedSettings.model_validate({"name": "feed", "type": type, "url": url, **more})


def no_secret(reference: str) -> str:
    return {"env:TOKEN": "t0ken", "env:PASSWORD": "pa55"}[reference]


async def fetched(settings: FeedSettings, spool: Path) -> bool:
    async with client(settings, no_secret) as http:
        return await fetch(http, settings, spool)


def names(directory: Path) -> list[str]:
    return sorted(file.name for file in directory.iterdir())


class Taxii:
    """A collection that gives a few objects a page, as TAXII 2.1 says."""

    def __init__(self, objects: list[dict[str, Any]]) -> None:
        self.objects = objects
        self.asked: list[dict[str, str]] = []
        self.accept = ""

    async def answer(self, request: Request) -> Response:
        assert request.url.path == "/api/collections/c1/objects/"
        query = dict(request.query_params)
        self.asked.append(query)
        self.accept = request.headers["accept"]
        after = query.get("added_after", "")
        added = [each for each in self.objects if each["modified"] > after]
        start = int(query.get("next", "0"))
        page = added[start : start + 2]
        more = len(added) > start + 2
        envelope: dict[str, Any] = {"more": more, "objects": page} if page else {}
        if more:
            envelope["next"] = str(start + 2)
        headers = {"X-TAXII-Date-Added-Last": page[-1]["modified"]} if page else {}
        return Response(
            orjson.dumps(envelope), media_type="application/taxii+json;version=2.1", headers=headers
        )


def objects(*numbers: int) -> list[dict[str, Any]]:
    return [
        indicator(n, f"[ipv4-addr:value = '203.0.113.{n}']", modified=f"2026-01-0{n}T00:00:00.000Z")
        for n in numbers
    ]


class TestTaxii:
    async def test_pages_then_only_what_is_new(self, tmp_path: Path) -> None:
        server = Taxii(objects(1, 2, 3, 4, 5))
        async with serving(server.answer) as url:
            settings = feed("taxii", f"{url}/api/collections/c1/")
            assert await fetched(settings, tmp_path)
            assert server.accept == "application/taxii+json;version=2.1"
            assert [each.get("next") for each in server.asked] == [None, "2", "4"]
            assert self.values(settings, tmp_path) == [1, 2, 3, 4, 5]
            assert not await fetched(settings, tmp_path)
            assert server.asked[-1]["added_after"] == "2026-01-05T00:00:00.000Z"
            newer = indicator(
                1, "[ipv4-addr:value = '203.0.113.9']", modified="2026-01-06T00:00:00.000Z"
            )
            server.objects.append(newer)
            assert await fetched(settings, tmp_path)
        assert self.values(settings, tmp_path) == [2, 3, 4, 5, 9]

    def values(self, settings: FeedSettings, spool: Path) -> list[int]:
        into = collector(type="taxii", url="https://example.com", path=None)
        stix.read(place(settings, spool), into)
        return sorted(int(each.value.rpartition(".")[2]) for each in into.rows)

    async def test_a_lost_state_fetches_all_again_and_nothing_twice(self, tmp_path: Path) -> None:
        async with serving(Taxii(objects(1, 2, 3)).answer) as url:
            settings = feed("taxii", f"{url}/api/collections/c1/")
            await fetched(settings, tmp_path)
            (tmp_path / "feed.state").write_bytes(b"damaged")
            await fetched(settings, tmp_path)
        assert self.values(settings, tmp_path) == [1, 2, 3]

    async def test_an_empty_collection_is_an_empty_feed(self, tmp_path: Path) -> None:
        async with serving(Taxii([]).answer) as url:
            settings = feed("taxii", f"{url}/api/collections/c1/")
            assert not await fetched(settings, tmp_path)
        assert place(settings, tmp_path).read_bytes() == b""

    @pytest.mark.parametrize(
        ("answer", "message"),
        [
            (b"<html>", "no JSON"),
            (b"[]", "no JSON object"),
            (b'{"objects": 7}', "no envelope"),
            (b'{"more": true, "objects": [{"id": "x"}]}', "more and not where"),
        ],
    )
    async def test_what_is_no_taxii(self, tmp_path: Path, answer: bytes, message: str) -> None:
        async def broken(request: Request) -> Response:
            return Response(answer)

        async with serving(broken) as url:
            with pytest.raises(FetchError, match=message):
                await fetched(feed("taxii", url), tmp_path)
        assert names(tmp_path) == []

    async def test_pages_without_end(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fetching, "MAX_PAGES", 3)

        async def endless(request: Request) -> Response:
            return Response(b'{"more": true, "next": "x", "objects": [{"id": "x"}]}')

        async with serving(endless) as url:
            with pytest.raises(FetchError, match="more than 3 pages"):
                await fetched(feed("taxii", url), tmp_path)


class TestMisp:
    async def test_new_altered_and_withdrawn_events(self, tmp_path: Path) -> None:
        first, second = (f"00000000-0000-4000-8000-{number:012d}" for number in range(2))
        manifest = {first: {"timestamp": 1}, second: {"timestamp": 1}, "../../etc": {}}
        asked: list[str] = []

        async def server(request: Request) -> Response:
            name = request.path_params["path"]
            asked.append(name)
            return Response(orjson.dumps(manifest if name == "feed/manifest.json" else EVENT))

        async with serving(server) as url:
            settings = feed("misp", f"{url}/feed")
            assert await fetched(settings, tmp_path)
            assert asked == ["feed/manifest.json", f"feed/{first}.json", f"feed/{second}.json"]
            assert not await fetched(settings, tmp_path)
            assert len(asked) == 4
            manifest = {first: {"timestamp": 2}}
            assert await fetched(settings, tmp_path)
            assert asked[4:] == ["feed/manifest.json", f"feed/{first}.json"]
        directory = place(settings, tmp_path)
        assert names(directory) == [f"{first}.json", misp.MANIFEST]
        into = collector(type="misp")
        misp.read(directory, into)
        assert len(into.rows) == 3


class TestFiles:
    async def test_only_what_has_changed_is_fetched(self, tmp_path: Path) -> None:
        body, asked = [b"203.0.113.7\n"], list[str | None]()

        async def server(request: Request) -> Response:
            etag = f'"{len(body[0])}"'
            asked.append(request.headers.get("if-none-match"))
            if asked[-1] == etag:
                return Response(status_code=304)
            return Response(body[0], headers={"ETag": etag})

        async with serving(server) as url:
            settings = feed("csv", url)
            assert await fetched(settings, tmp_path)
            assert not await fetched(settings, tmp_path)
            body[0] = b"203.0.113.70\n"
            assert await fetched(settings, tmp_path)
        assert asked == [None, '"12"', '"12"']
        assert place(settings, tmp_path).read_bytes() == b"203.0.113.70\n"

    async def test_credentials_are_sent_and_never_told(self, tmp_path: Path) -> None:
        seen: list[str] = []

        async def server(request: Request) -> Response:
            seen.append(request.headers["authorization"])
            return Response(status_code=401)

        async with serving(server) as url:
            for more in ({"token": "env:TOKEN"}, {"username": "u", "password": "env:PASSWORD"}):
                with pytest.raises(FetchError) as caught:
                    await fetched(feed("csv", f"{url}/list?key=k3y", **more), tmp_path)
                assert "answers 401" in str(caught.value)
                assert not any(word in str(caught.value) for word in ("t0ken", "pa55", "k3y"))
        assert seen == ["Bearer t0ken", "Basic dTpwYTU1"]

    async def test_an_answer_without_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fetching, "MAX_ANSWER", 1_000)

        async def server(request: Request) -> Response:
            return Response(b"x" * 5_000)

        async with serving(server) as url:
            with pytest.raises(FetchError, match="more than 1000 bytes"):
                await fetched(feed("csv", url), tmp_path)
        assert names(tmp_path) == []

    async def test_redirects_are_not_followed(self, tmp_path: Path) -> None:
        async def server(request: Request) -> Response:
            return Response(status_code=302, headers={"Location": "http://127.0.0.1:1/"})

        async with serving(server) as url:
            with pytest.raises(FetchError, match="answers 302"):
                await fetched(feed("csv", url), tmp_path)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://feeds.example.com/x", "must begin with https://"),
        ("ftp://127.0.0.1/x", "must begin with https://"),
        ("https://u:p@feeds.example.com/x", "no password in the url"),
    ],
)
def test_urls_that_cannot_be_meant(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        client(feed("csv", url), no_secret)


def test_certificates_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing"):
        client(feed("csv", "https://example.com", ca_file=tmp_path / "missing"), no_secret)


class TestFetcher:
    async def test_a_server_that_is_away_costs_nothing_but_news(self, tmp_path: Path) -> None:
        up = [True]

        async def server(request: Request) -> Response:
            return Response(bundle(*objects(1)) if up[0] else b"", 200 if up[0] else 503)

        metrics, clock = Metrics(), ManualClock(AT)
        async with serving(server) as url:
            settings = feed("stix", url, every="1h")
            fetcher = Fetcher((settings,), tmp_path, clock, metrics, no_secret)
            assert not fetcher.idle
            async with asyncio.TaskGroup() as group:
                group.create_task(fetcher.run())
                await until(lambda: fetcher.idle)
                up[0] = False
                clock.advance(3_600_000)
                await until(lambda: metrics.account("fetch").errors["feed"] == 1)
                assert place(settings, tmp_path).read_bytes() == bundle(*objects(1))
                up[0] = True
                clock.advance(fetching.RETRY)
                fetcher.stop()
        assert metrics.account("fetch").errors.total() == 1

    async def test_feeds_of_files_are_not_asked_for(self, tmp_path: Path) -> None:
        local = FeedSettings(name="x", type="csv", path=tmp_path / "list")
        fetcher = Fetcher((local,), tmp_path, ManualClock(AT), Metrics(), no_secret)
        assert (fetcher.empty, fetcher.idle) == (True, True)


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while True:
            if reached():
                return
            await asyncio.sleep(0.01)


async def test_nobody_answers(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="ConnectError"):
        await fetched(feed("csv", "http://127.0.0.1:1/"), tmp_path)


def test_the_client_verifies() -> None:
    assert isinstance(client(feed("csv", "https://example.com"), no_secret), httpx.AsyncClient)
