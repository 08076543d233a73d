"""The store on a real Elasticsearch: the contract, and everything that only a server shows."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from elasticsearch import AsyncElasticsearch, Elasticsearch

from dev.elasticsearch import ElasticsearchServer
from tests.cli.asking import alert as alert_of
from tests.cli.conftest import target
from tests.flow.test_secrets import assert_no_leaks, left_behind
from tests.index.contract import StoreContract
from tests.index.documents import (
    START,
    alert,
    alert_documents,
    event,
    event_document,
    lease_event,
    record,
)
from tests.live.audit_copy import AuditCopy, forged_after
from tests.live.audit_site import STAGES, audited, verified
from tocsin.alert_document import alert_document
from tocsin.cli.pipeline import Pipeline
from tocsin.clock import ManualClock
from tocsin.config import StoreSettings, load
from tocsin.contracts import DeadLetter, Topics
from tocsin.errors import StoreUnavailable
from tocsin.index.elasticsearch import ElasticsearchStore
from tocsin.index.sink import IndexSink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tocsin.index.store import Store

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]

DAY = 86_400_000
_namespaces = (f"t{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ElasticsearchServer]:
    with ElasticsearchServer(tmp_path_factory.mktemp("elasticsearch")) as server:
        yield server


def connect(node: ElasticsearchServer, namespace: str, clock: ManualClock) -> ElasticsearchStore:
    settings = StoreSettings(
        backend="elasticsearch", url=node.url, namespace=namespace, retention=30 * DAY
    )
    return ElasticsearchStore(settings, clock=clock)


@pytest.fixture
def namespace() -> str:
    """One of its own for each test."""
    return next(_namespaces)


@pytest.fixture
async def store(node: ElasticsearchServer, namespace: str) -> AsyncIterator[ElasticsearchStore]:
    store = connect(node, namespace, ManualClock(START))
    await store.start()
    yield store
    await store.close()


@pytest.fixture
async def client(node: ElasticsearchServer) -> AsyncIterator[AsyncElasticsearch]:
    client = AsyncElasticsearch(node.url)
    yield client
    await client.close()


class TestElasticsearchStore(StoreContract):
    async def settled(self, store: Store) -> None:
        assert isinstance(store, ElasticsearchStore)
        await store.refresh()


async def test_setup_again_changes_nothing(
    store: ElasticsearchStore, client: AsyncElasticsearch, namespace: str
) -> None:
    async def templates() -> tuple[Any, Any]:
        indices = await client.indices.get_index_template(name=f"tocsin-*-{namespace}")
        components = await client.cluster.get_component_template(name="tocsin@*")
        return indices.body, components.body

    await store.setup()
    before = await templates()
    assert len(before[0]["index_templates"]) == 4
    await store.setup()
    await store.write([event_document(1)])
    assert await templates() == before


async def test_a_thousand_events_are_a_thousand_however_often_they_come(
    store: ElasticsearchStore,
) -> None:
    sets = ("system.auth", "nginx.access", "aws.cloudtrail", "never.heard.of")
    documents = [event_document(n, dataset=sets[n % len(sets)]) for n in range(1000)]
    assert await store.write(documents) == []
    assert await store.write(documents[300:]) == []
    assert await store.write(list(reversed(documents))) == []
    await store.refresh()
    assert await store.count("events") == 1000
    assert len(await store.list("events", limit=1000)) == 1000


async def test_events_stand_in_data_streams_of_their_own(
    store: ElasticsearchStore, client: AsyncElasticsearch, namespace: str
) -> None:
    await store.write(
        [event_document(1), event_document(2, dataset="odd one"), *alert_documents(1)]
    )
    found = await client.indices.resolve_index(name=f"logs-tocsin.*-{namespace}")
    assert sorted(stream["name"] for stream in found["data_streams"]) == [
        f"logs-tocsin.alerts-{namespace}",
        f"logs-tocsin.generic-{namespace}",
        f"logs-tocsin.system.auth-{namespace}",
    ]
    assert found["indices"] == []
    state = await client.indices.get_alias(name=f"tocsin-alerts-{namespace}")
    assert list(state) == [f"tocsin-alerts-{namespace}-2026.03"]


async def test_types_are_those_of_the_template(
    store: ElasticsearchStore, client: AsyncElasticsearch, namespace: str
) -> None:
    strange = {"acme": {"deep": {"er": [1, {"x": "y"}]}}, "source": {"ip": "no address", "port": 7}}
    record_ = {"aws": {"cloudtrail": {"requestParameters": {"a": 1}, "insight": {"b": [1]}}}}
    await store.write([event_document(1, **strange), event_document(2, **record_)])
    await store.refresh()
    answer = await client.indices.get_mapping(index=f"logs-tocsin.system.auth-{namespace}")
    (index,) = answer.body.values()
    fields = index["mappings"]["properties"]
    assert fields["source"]["properties"]["ip"]["type"] == "ip"
    assert fields["acme"]["type"] == "flattened"
    trail = fields["aws"]["properties"]["cloudtrail"]["properties"]
    assert trail["requestParameters"]["type"] == trail["insight"]["type"] == "flattened"
    # An address that is none is kept and not searchable, the event is not lost for it.
    assert await store.count("events") == 2
    assert len(await store.list("events", limit=5, where={"acme.deep.er.x": "y"})) == 1


async def test_a_thousand_new_vendor_fields_are_one_field(
    store: ElasticsearchStore, client: AsyncElasticsearch, namespace: str
) -> None:
    many = [event_document(n, acme={f"key{n}_{k}": k for k in range(50)}) for n in range(100)]
    assert await store.write(many) == []
    answer = await client.indices.get_mapping(index=f"logs-tocsin.system.auth-{namespace}")
    (index,) = answer.body.values()
    assert index["mappings"]["properties"]["acme"]["type"] == "flattened"


async def test_a_mapping_conflict_becomes_a_dead_letter_and_the_others_go_on(
    store: ElasticsearchStore,
) -> None:
    clock = ManualClock(START)
    values = [event(1), event(2, user="root"), event(3, user={"name": {"first": "x"}}), event(4)]
    records = [record(Topics.EVENTS, value, n) for n, value in enumerate(values)]
    batch = await IndexSink(Topics.EVENTS, store, clock).write(records)
    assert (batch.sent, batch.dead["store_refused"], batch.accounted) == (2, 2, 4)
    letters = [DeadLetter.decode(outgoing.value) for outgoing in batch.outputs]
    assert [each.origin for each in letters] == ["events/0/1", "events/0/2"]
    assert "mapping" in letters[0].reason
    assert letters[0].original == records[1].value
    again = [record(Topics.DEAD_LETTERS, outgoing.value) for outgoing in batch.outputs]
    assert (await IndexSink(Topics.DEAD_LETTERS, store, clock).write(again)).sent == 2
    await store.refresh()
    assert await store.count("events") == 2
    assert len(await store.list("dead_letters", limit=9, where={"code": "store_refused"})) == 2


async def test_a_refused_revision_leaves_the_older_one(store: ElasticsearchStore) -> None:
    clock = ManualClock(START)
    broken = alert_document(alert(2))
    broken["source"] = "a text"
    records = [record(Topics.ALERTS, b) for b in (alert_document(alert(1)), broken)]
    batch = await IndexSink(Topics.ALERTS, store, clock).write(records)
    assert (batch.sent, batch.dead["store_refused"]) == (1, 1)
    await store.refresh()
    (state,) = await store.list("alerts", limit=9)
    assert state["tocsin"]["alert"]["revision"] == 1


async def test_a_removed_template_is_put_back_before_anything_else_is_written(
    store: ElasticsearchStore, client: AsyncElasticsearch, namespace: str
) -> None:
    await store.setup()
    await client.indices.delete_index_template(name=f"tocsin-logs-{namespace}")
    with pytest.raises(StoreUnavailable, match="no such index"):
        await store.write([event_document(1)])
    assert await store.write([event_document(1)]) == []
    found = await client.indices.resolve_index(name=f"logs-tocsin.*-{namespace}")
    assert len(found["data_streams"]) == 1


async def test_expired_months_of_alert_state_go(
    node: ElasticsearchServer, namespace: str, client: AsyncElasticsearch
) -> None:
    await client.indices.create(index=f"tocsin-alerts-{namespace}-2020.01")
    found = await client.indices.get(index=f"tocsin-alerts-{namespace}-*")
    made = int(found[f"tocsin-alerts-{namespace}-2020.01"]["settings"]["index"]["creation_date"])
    clock = ManualClock(made + 1)
    store = connect(node, namespace, clock)
    await store.start()
    await store.write(alert_documents(1, name="first", at=made))
    assert await client.indices.exists(index=f"tocsin-alerts-{namespace}-2020.01")
    clock.advance(31 * DAY)
    await store.write(alert_documents(1, name="second", at=made))
    assert not await client.indices.exists(index=f"tocsin-alerts-{namespace}-2020.01")
    await store.refresh()
    assert await store.count("alerts") == 2
    await store.close()


async def test_runs_and_leases_come_through_the_sink(store: ElasticsearchStore) -> None:
    sink = IndexSink(Topics.RUNS, store, ManualClock(START))
    events = [lease_event(-1, changed) for changed in (START, START + 5, START + 2)]
    values = [each.model_copy(update={"id": f"l{n}"}).encode() for n, each in enumerate(events)]
    batch = await sink.write([record(Topics.RUNS, value, n) for n, value in enumerate(values)])
    assert (batch.sent, batch.outputs) == (3, [])
    await store.refresh()
    assert await store.count("runs") == 3
    (lease,) = await store.list("leases", limit=9, where={"target": "192.0.2.7"})
    assert lease["changed"] == START + 5


def test_audit_verify_names_what_somebody_did_to_the_stores_copy(
    node: ElasticsearchServer, namespace: str, tmp_path: Path
) -> None:
    store = {"backend": "elasticsearch", "url": node.url, "namespace": namespace}
    with target() as product:
        config = audited(tmp_path, product.url, store=store)
        asyncio.run(contained(config, 4))
    whole = verified(config)
    assert (whole.code, whole.broken) == (0, [])
    assert whole.total("store", "entries") == whole.total("log", "entries") >= 4

    with Elasticsearch(node.url) as client:
        copy = AuditCopy(client, namespace)
        entries = copy.chain()
        name, victim = entries[1].chain, entries[1]
        with copy.altered(victim):
            assert verified(config).broken == [("store", name, 1, "altered")]
            assert verified(config, "--log-only").code == 0
        with copy.dropped(victim):
            assert verified(config).broken == [("store", name, 1, "missing")]
        with copy.inserted(forged_after(entries[0])):
            assert ("store", name, 1, "inserted") in verified(config).broken
        with copy.inserted(forged_after(entries[-1])):
            assert verified(config).broken == [("both", name, len(entries), "missing")]
        # Written anew up to its end, the chain holds by itself; the log's copy tells.
        with copy.rewritten(entries, 1):
            assert ("both", name, 1, "altered") in verified(config).broken
    assert verified(config).code == 0


async def contained(config: Path, effects: int) -> None:
    """Run the pipeline until so many addresses are contained and everything is in the store."""
    pipeline = Pipeline(load(config), stages=STAGES)
    async with pipeline, asyncio.TaskGroup() as group:
        # The same target each time: one chain has all of them.
        await pipeline.log.append([alert_of(n) for n in range(1, effects + 1)])
        group.create_task(pipeline.run())
        assert await pipeline.settle(60), pipeline.down()
        pipeline.stop()


async def test_no_secret_is_in_any_document(
    node: ElasticsearchServer,
    namespace: str,
    client: AsyncElasticsearch,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = {"backend": "elasticsearch", "url": node.url, "namespace": namespace}
    left = await left_behind(tmp_path, monkeypatch, patience=120, store=store)
    await client.indices.refresh(index=f"*-{namespace}*")
    found = await client.search(index=f"*-{namespace}*", size=10_000)
    assert found["hits"]["total"]["value"] > 50
    left.kept["documents"] = str(found["hits"]["hits"]).encode()
    assert_no_leaks(left)


async def test_a_kill_in_the_middle_loses_nothing_and_doubles_nothing(
    node: ElasticsearchServer, namespace: str
) -> None:
    clock = ManualClock(START)
    store = connect(node, namespace, clock)
    await store.start()
    sink = IndexSink(Topics.EVENTS, store, clock)
    batches = [
        [record(Topics.EVENTS, event(n), n) for n in range(start, start + 500)]
        for start in range(0, 10_000, 500)
    ]
    failing = asyncio.Event()

    async def write_for_ever() -> None:
        for number, batch in enumerate(itertools.cycle(batches)):
            assert (await sink.write(batch)).sent == len(batch)
            if number == 4:
                failing.set()

    writing = asyncio.create_task(write_for_ever())
    await failing.wait()
    await asyncio.to_thread(node.kill)
    with pytest.raises(StoreUnavailable):
        await writing
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await sink.write(batches[0])
    node.start()
    for batch in batches:
        result = await sink.write(batch)
        assert (result.sent, result.outputs) == (500, [])
    await store.refresh()
    assert await store.count("events") == 10_000
    await store.close()
