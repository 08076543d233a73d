"""Questions to a real Elasticsearch, and to OASIS's TAXII server if TOCSIN_MEDALLION names it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest

from dev.elasticsearch import ElasticsearchServer
from responders.activity import ElasticsearchActivity, ElasticsearchConfig
from responders.base import Call
from responders.taxii import Taxii, TaxiiConfig
from tests.detect.indicators.test_feeds import indicator
from tests.live.test_taxii_live import COLLECTION, medallion, post, up
from tocsin.clock import ManualClock, SystemClock, iso
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]


def event(number: int, ip: str, ago: int, action: str) -> dict[str, Any]:
    return {
        "@timestamp": iso(SystemClock().now() - ago),
        "event": {"action": action, "outcome": "failure", "original": f"line {number}"},
        "source": {"ip": ip},
        "user": {"name": "root"},
        "host": {"name": "web-1"},
    }


async def test_what_else_an_address_did(tmp_path: Path) -> None:
    kinds = {"ip": [("source", "ip"), ("destination", "ip"), ("client", "ip")]}
    properties: dict[str, Any] = {"@timestamp": {"type": "date"}}
    for kind, fields in kinds.items():
        for parent, name in fields:
            properties[parent] = {"properties": {name: {"type": kind}}}
    words = {"type": "keyword"}
    properties |= {
        "event": {"properties": {n: words for n in ("action", "outcome", "original", "dataset")}},
        "user": {"properties": {"name": words, "email": words}},
        "host": {"properties": {"name": words}},
    }
    hour = 3_600_000
    events = [event(n, "203.0.113.66", n * hour, "ssh_login") for n in range(3)]
    events += [event(7, "203.0.113.66", 30 * hour, "old"), event(8, "203.0.113.6", 0, "other")]
    bulk = b"".join(b'{"create":{}}\n' + orjson.dumps(each) + b"\n" for each in events)
    with ElasticsearchServer(tmp_path) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
            index = "/tocsin-events-test"
            await http.put(index, json={"mappings": {"properties": properties}})
            headers = {"content-type": "application/x-ndjson"}
            put = await http.post(f"{index}/_bulk?refresh=true", content=bulk, headers=headers)
            assert put.json()["errors"] is False
        config = ElasticsearchConfig(url=server.url, allow_http=True)
        connector = ElasticsearchActivity(config)

        async def ask(entity: str, **given: Any) -> dict[str, Any]:
            inputs = {"entity": entity, **given}
            return await connector.act(Call("events.activity", entity, inputs, "k", 20_000))

        told = await ask("203.0.113.66")
        assert (told["found"], told["events"]) == (True, 3)
        assert told["actions"] == {"ssh_login": 3}
        assert told["examples"][0] == "line 0"
        assert told["first"] < told["last"]
        assert (await ask("203.0.113.66", hours=48))["events"] == 4
        assert (await ask("root"))["events"] == 4
        assert (await ask("nobody"))["found"] is False
        assert (await ask('x" OR *'))["found"] is False
        await connector.close()
        unheard = ElasticsearchActivity(
            ElasticsearchConfig(url=server.url, index="no-such", allow_http=True)
        )
        none = await unheard.act(Call("events.activity", "a", {"entity": "a"}, "k", 20_000))
        assert none["found"] is False
        await unheard.close()


async def test_a_collection_of_a_real_taxii_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAXII_PASSWORD", "pa55")
    with medallion(tmp_path) as url:
        clock = ManualClock(SystemClock().now())
        config = TaxiiConfig(
            url=f"{url}/collections/{COLLECTION}",
            username="reader",
            password="env:TAXII_PASSWORD",  # noqa: S106  (a reference)
            allow_http=True,
        )
        connector = Taxii(config, clock=clock)

        async def known(value: str) -> bool:
            call = Call("taxii.lookup", value, {"indicator": value}, "k", 20_000)
            return bool((await connector.act(call))["found"])

        async with httpx.AsyncClient(auth=("reader", "pa55")) as http:
            await up(http, url)
            made = [indicator(n, f"[ipv4-addr:value = '203.0.113.{n}']") for n in range(8)]
            await post(http, url, *made)
            assert "answers" in await connector.check()
            assert [n for n in range(9) if await known(f"203.0.113.{n}")] == list(range(8))
            newer = indicator(
                3, "[ipv4-addr:value = '203.0.113.99']", modified="2026-02-01T00:00:00.000Z"
            )
            await post(http, url, newer)
            clock.advance(3_600_001)
            assert await known("203.0.113.99")
            assert not await known("203.0.113.3")
        await connector.close()
        monkeypatch.setenv("TAXII_PASSWORD", "wrong-canary")
        stranger = Taxii(config, clock=clock)
        with pytest.raises(ConnectorError) as caught:
            await stranger.act(Call("taxii.lookup", "a.b", {"indicator": "a.b"}, "k", 20_000))
        assert (caught.value.kind, "canary" in str(caught.value)) == ("denied", False)
        await stranger.close()
