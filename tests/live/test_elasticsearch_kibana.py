"""Every panel's question, asked of a real Elasticsearch that holds what Tocsin stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from elasticsearch import AsyncElasticsearch

from dev.elasticsearch import ElasticsearchServer
from tests.index.documents import START, alert, event, record, run_event
from tests.kibana.checker import Layer, aggregation, fields, kql_filter, layers
from tocsin.alert_document import alert_document
from tocsin.clock import ManualClock
from tocsin.config import StoreSettings
from tocsin.contracts import Topics
from tocsin.index.elasticsearch import ElasticsearchStore
from tocsin.index.sink import IndexSink
from tocsin.kibana.board import INDEX_EXPRESSIONS, OPEN, QUEUE_COLUMNS, objects

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]

OUTCOMES = ("succeeded", "failed", "refused", "dry_run", "unknown", "timed_out", "started", "let")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ElasticsearchServer]:
    with ElasticsearchServer(tmp_path_factory.mktemp("elasticsearch")) as server:
        yield server


@pytest.fixture
async def client(node: ElasticsearchServer) -> AsyncIterator[AsyncElasticsearch]:
    """A client of a node with 12 events, 4 alerts (one revised) and 8 run events; redelivered."""
    clock = ManualClock(START)
    settings = StoreSettings(backend="elasticsearch", url=node.url)
    store = ElasticsearchStore(settings, clock=clock)
    await store.start()
    severities = {"a": 21, "b": 47, "c": 73, "d": 99}
    content: dict[str, list[bytes | dict[str, Any]]] = {
        Topics.EVENTS: [event(n, dataset=("system.auth", "web.access")[n % 2]) for n in range(12)],
        Topics.ALERTS: [
            *(alert_document(alert(1, name=name, severity=s)) for name, s in severities.items()),
            alert_document(alert(2, name="a", severity=21)),
        ],
        Topics.RUNS: [run_event(n, kind).encode() for n, kind in enumerate(OUTCOMES)],
        Topics.AUDIT: [],
    }
    for topic, values in content.items():
        records = [record(topic, value, n) for n, value in enumerate(values)]
        for _ in range(2):
            batch = await IndexSink(topic, store, clock).write(records)
            assert (batch.sent, batch.outputs) == (len(records), [])
    await store.refresh()
    await store.close()
    client = AsyncElasticsearch(node.url)
    yield client
    await client.close()


async def ask(client: AsyncElasticsearch, layer: Layer) -> Any:
    return await client.search(
        index=INDEX_EXPRESSIONS[layer.view],
        size=0,
        query=kql_filter(layer.query),
        aggs=aggregation(layer) or None,
        track_total_hits=True,
    )


def leaves(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The innermost buckets that hold documents."""
    if "bucket" not in answer:
        return [answer]
    found = answer["bucket"]["buckets"]
    buckets = found.values() if isinstance(found, dict) else found
    return [leaf for bucket in buckets if bucket["doc_count"] for leaf in leaves(bucket)]


async def test_every_panel_is_answered(client: AsyncElasticsearch) -> None:
    asked = layers(objects())
    assert len(asked) == 12
    for layer in asked:
        answer = await ask(client, layer)
        assert answer["hits"]["total"]["value"] > 0, layer.panel
        assert leaves(answer.get("aggregations", {})), f"{layer.panel}: no buckets"


async def test_the_figures_are_right(client: AsyncElasticsearch) -> None:
    asked = {layer.panel: layer for layer in layers(objects())}

    async def total(panel: str) -> int:
        answer = await ask(client, asked[panel])
        measure = answer.get("aggregations", {}).get("measure")
        return int(measure["value"] if measure else answer["hits"]["total"]["value"])

    async def groups(panel: str) -> dict[str, int]:
        found = (await ask(client, asked[panel]))["aggregations"]["bucket"]["buckets"]
        rows = found.items() if isinstance(found, dict) else ((b["key"], b) for b in found)
        return {str(key): bucket["doc_count"] for key, bucket in rows}

    assert await total("open") == 4
    assert await total("grave") == 2
    assert await total("ended") == 6
    assert await total("seen") == 12, "the events' data view must leave the other streams out"
    assert await groups("by-severity") == {"Critical": 1, "High": 1, "Medium": 1, "Low": 1}
    assert len(await groups("by-rule")) == 4
    assert await groups("by-source") == {"192.0.2.7": 4}
    assert await groups("techniques") == {"T1110": 4}
    assert await groups("event-volume") == {"system.auth": 6, "web.access": 6}
    assert set(await groups("actions-by-outcome")) == set(OUTCOMES[:6])


async def test_every_field_has_a_type_that_kibana_can_group_by(client: AsyncElasticsearch) -> None:
    for view, used in fields(objects()).items():
        answer = await client.field_caps(
            index=INDEX_EXPRESSIONS[view], fields=sorted({field for field, _ in used})
        )
        for field, _ in used:
            for type, caps in answer["fields"][field].items():
                assert caps["aggregatable"], f"{view}: {field} is {type}"
            assert len(answer["fields"][field]) == 1, f"{view}: {field} has several types"


async def test_the_queue_has_a_row_for_each_open_alert(client: AsyncElasticsearch) -> None:
    answer = await client.search(
        index=INDEX_EXPRESSIONS["tocsin-alerts"],
        query=kql_filter(OPEN),
        sort=[{"@timestamp": "desc"}],
        fields=[{"field": column} for column in QUEUE_COLUMNS],
    )
    hits = answer["hits"]["hits"]
    assert len(hits) == 4
    for hit in hits:
        assert set(hit["fields"]) == set(QUEUE_COLUMNS)
