"""Fetching feeds at the rim: TAXII 2.1 collections, MISP feeds, and plain files over HTTPS.

What is fetched is written beside the log and read from there, so a server that is away costs
nothing but news. Files replace their predecessors whole; the answer is bounded in size, TLS is
always verified, and plain HTTP is for this machine alone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import orjson

from detect.indicators import misp, stix
from detect.indicators.collect import short
from detect.indicators.feeds import place
from tocsin.errors import ConfigError, TocsinError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tocsin.clock import Clock
    from tocsin.enrichment_config import FeedSettings
    from tocsin.metrics import Metrics

_log = logging.getLogger(__name__)

#: Largest answer, bytes, and most pages of a collection that are read at one time.
MAX_ANSWER = 256 * 1024 * 1024
MAX_PAGES = 10_000
#: Objects asked for in a page; servers may give fewer.
PAGE = 1_000
#: Seconds for one request to connect, and to wait for more of an answer.
PATIENCE = 30.0
#: Seconds between two looks at what is due, and before a server that failed is asked again.
TICK, RETRY = 1.0, 60_000

_TAXII = "application/taxii+json;version=2.1"
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})
_UUID = re.compile(r"[0-9a-fA-F-]{36}")


class FetchError(TocsinError):
    """A feed cannot be fetched just now; the message says why and names no secret."""

    code = "feed"
    retriable = True


def check(feed: FeedSettings, secret: Callable[[str], str]) -> None:
    """Raises ConfigError for a feed's url, secrets or certificates."""
    if feed.url:
        _options(feed, secret)


def client(feed: FeedSettings, secret: Callable[[str], str]) -> httpx.AsyncClient:
    """An HTTP client for one feed; raises ConfigError as `check` does."""
    return httpx.AsyncClient(timeout=PATIENCE, follow_redirects=False, **_options(feed, secret))


def _options(feed: FeedSettings, secret: Callable[[str], str]) -> dict[str, Any]:
    url = urlsplit(feed.url)
    if url.scheme != "https" and not (url.scheme == "http" and url.hostname in _HERE):
        raise ConfigError(f"indicators.feeds: {feed.name}: its url must begin with https://")
    if url.username or url.password:
        raise ConfigError(
            f"indicators.feeds: {feed.name}: no password in the url: use username and password"
        )
    headers = {"User-Agent": "tocsin"}
    if feed.token:
        headers["Authorization"] = f"Bearer {secret(feed.token)}"
    password = secret(feed.password) if feed.password else ""
    try:
        context = ssl.create_default_context(cafile=feed.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"indicators.feeds: {feed.name}: {feed.ca_file}: {error}") from None
    auth = (feed.username, password) if feed.username else None
    return {"auth": auth, "headers": headers, "verify": context}


class Fetcher:
    """Keeps the fetched feeds up to date; one of the pipeline's workers."""

    name = "fetch"

    def __init__(
        self,
        feeds: tuple[FeedSettings, ...],
        spool: Path,
        clock: Clock,
        metrics: Metrics,
        secret: Callable[[str], str],
    ) -> None:
        """`secret` resolves references. Raises ConfigError for a feed that cannot be meant."""
        self._feeds = tuple(feed for feed in feeds if feed.url)
        self._spool = spool
        self._clock = clock
        self._metrics = metrics
        self._clients = {feed.name: client(feed, secret) for feed in self._feeds}
        self._due = dict.fromkeys(self._clients, 0)
        self._stopping = asyncio.Event()
        self._asked: set[str] = set()

    @property
    def empty(self) -> bool:
        """Whether no feed is to be fetched."""
        return not self._feeds

    @property
    def idle(self) -> bool:
        """Whether every feed was asked once."""
        return len(self._asked) == len(self._feeds)

    async def run(self) -> None:
        """Until `stop`."""
        try:
            while not self._stopping.is_set():
                for feed in self._feeds:
                    if self._clock.now() >= self._due[feed.name] and not self._stopping.is_set():
                        await self._attempt(feed)
                with suppress(TimeoutError):
                    async with asyncio.timeout(TICK):
                        await self._stopping.wait()
        finally:
            for each in self._clients.values():
                await each.aclose()

    def stop(self) -> None:
        """After the request under way."""
        self._stopping.set()

    async def _attempt(self, feed: FeedSettings) -> None:
        try:
            await fetch(self._clients[feed.name], feed, self._spool)
            wait = feed.every
        except (FetchError, OSError) as error:
            _log.warning("feed %s: %s; what was fetched before stays in use", feed.name, error)
            self._metrics.error(self.name, "feed")
            wait = min(feed.every, RETRY)
        self._due[feed.name] = self._clock.now() + wait
        self._asked.add(feed.name)


async def fetch(http: httpx.AsyncClient, feed: FeedSettings, spool: Path) -> bool:
    """Bring one feed up to date; True if anything changed. Raises FetchError, OSError."""
    match feed.type:
        case "taxii":
            return await _collection(http, feed, spool)
        case "misp":
            return await _misp(http, feed, spool)
        case _:
            return await _file(http, feed, spool)


async def _file(http: httpx.AsyncClient, feed: FeedSettings, spool: Path) -> bool:
    state_file, target = spool / f"{feed.name}.state", place(feed, spool)
    state = _state(state_file) if target.exists() else {}
    asked = {"If-None-Match": state.get("etag"), "If-Modified-Since": state.get("modified")}
    headers = {name: value for name, value in asked.items() if isinstance(value, str)}
    status, told, body = await _get(http, feed.url, headers)
    if status == httpx.codes.NOT_MODIFIED:
        return False
    await asyncio.to_thread(_write, target, body)
    kept = {"etag": told.get("etag"), "modified": told.get("last-modified")}
    await asyncio.to_thread(_write, state_file, orjson.dumps(kept))
    return True


async def _collection(http: httpx.AsyncClient, feed: FeedSettings, spool: Path) -> bool:
    """What was added to a TAXII collection since the last time (TAXII 2.1, 5.4)."""
    state_file, target = spool / f"{feed.name}.state", place(feed, spool)
    state = _state(state_file) if target.exists() else {}
    after = short(state.get("added_after"))
    added: list[dict[str, Any]] = []
    async for objects, last in _pages(http, f"{feed.url.rstrip('/')}/objects/", after):
        added += objects
        after = last or after
    if added or not state:
        await asyncio.to_thread(_merge, target, added)
        await asyncio.to_thread(_write, state_file, orjson.dumps({"added_after": after}))
    return bool(added)


async def _pages(
    http: httpx.AsyncClient, url: str, after: str
) -> AsyncIterator[tuple[list[dict[str, Any]], str]]:
    query = {"limit": str(PAGE), "match[type]": "indicator"}
    if after:
        query["added_after"] = after
    for _ in range(MAX_PAGES):
        _, told, body = await _get(http, url, {"Accept": _TAXII}, query)
        envelope = _json(body, url) if body.strip() else {}
        objects = envelope.get("objects") or []
        if not isinstance(objects, list):
            raise FetchError(f"{url} answers with no envelope of objects")
        yield (
            [each for each in objects if isinstance(each, dict)],
            short(told.get("x-taxii-date-added-last")),
        )
        if not envelope.get("more") or not objects:
            return
        following = envelope.get("next")
        if isinstance(following, str) and following:
            query["next"] = following
        elif last := short(told.get("x-taxii-date-added-last")):
            query["added_after"] = last
        else:
            raise FetchError(f"{url} says there is more and not where")
    raise FetchError(f"{url} has more than {MAX_PAGES} pages")


def _merge(target: Path, added: list[dict[str, Any]]) -> None:
    """Write all objects, one a line; of several versions of one the newest."""
    newest: dict[str, dict[str, Any]] = {}
    before = stix.objects(target.read_bytes()) if target.exists() else ()
    for each in (*before, *added):
        id = short(each.get("id"))
        if id not in newest or short(each.get("modified")) >= short(newest[id].get("modified")):
            newest[id] = each
    _write(target, b"".join(orjson.dumps(each) + b"\n" for each in newest.values()))


async def _misp(http: httpx.AsyncClient, feed: FeedSettings, spool: Path) -> bool:
    """The events of a MISP feed that are new or altered; the manifest is written last."""
    base, directory = feed.url.rstrip("/"), place(feed, spool)
    _, _, body = await _get(http, f"{base}/{misp.MANIFEST}", {})
    manifest = {id: each for id, each in _json(body, base).items() if _UUID.fullmatch(id)}
    if len(manifest) > misp.MAX_EVENTS:
        raise FetchError(f"{base} has {len(manifest)} events, at most {misp.MAX_EVENTS} are read")
    before = _state(directory / misp.MANIFEST)
    for id, told in manifest.items():
        if before.get(id) != told or not await asyncio.to_thread((directory / f"{id}.json").exists):
            _, _, event = await _get(http, f"{base}/{id}.json", {})
            _json(event, base)
            await asyncio.to_thread(_write, directory / f"{id}.json", event)
    await asyncio.to_thread(_forget, directory, manifest)
    if manifest == before:
        return False
    await asyncio.to_thread(_write, directory / misp.MANIFEST, orjson.dumps(manifest))
    return True


def _forget(directory: Path, manifest: dict[str, Any]) -> None:
    """Take away events that the feed no longer has."""
    for file in directory.glob("*.json"):
        if _UUID.fullmatch(file.stem) and file.stem not in manifest:
            file.unlink()


async def _get(
    http: httpx.AsyncClient, url: str, headers: dict[str, str], query: dict[str, str] | None = None
) -> tuple[int, httpx.Headers, bytes]:
    """Status (200, 206 or 304), headers and body; raises FetchError for everything else."""
    try:
        async with http.stream("GET", url, headers=headers, params=query) as answer:
            if answer.status_code not in (200, 206, httpx.codes.NOT_MODIFIED):
                raise FetchError(f"{_shown(url)} answers {answer.status_code}")
            body = bytearray()
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > MAX_ANSWER:
                    raise FetchError(f"{_shown(url)} answers with more than {MAX_ANSWER} bytes")
            return answer.status_code, answer.headers, bytes(body)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FetchError(f"{_shown(url)}: {type(error).__name__}: {error}") from None


def _shown(url: str) -> str:
    """Without the query, where keys of feeds like to stand."""
    return url.partition("?")[0]


def _json(body: bytes, url: str) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise FetchError(f"{_shown(url)} answers with no JSON: {error}") from None
    if not isinstance(found, dict):
        raise FetchError(f"{_shown(url)} answers with no JSON object")
    return found


def _state(path: Path) -> dict[str, Any]:
    """What was remembered; nothing where it cannot be read, and all is fetched anew."""
    try:
        found = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
