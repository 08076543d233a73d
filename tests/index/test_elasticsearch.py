"""The Elasticsearch store's care before it writes, on a cluster that refuses things."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig
from elasticsearch import ApiError, NotFoundError, OrjsonSerializer

from tests.index.documents import START, alert_documents, event_document
from tocsin.clock import ManualClock
from tocsin.config import StoreSettings
from tocsin.errors import StoreError, StoreUnavailable
from tocsin.index.elasticsearch import RETENTION_EVERY, ElasticsearchStore
from tocsin.index.templates import build

DAY = 86_400_000
SETTINGS = StoreSettings(backend="elasticsearch", retention=DAY)


def meta(status: int) -> ApiResponseMeta:
    node = NodeConfig("http", "es.example.com", 9200)
    return ApiResponseMeta(status, "1.1", HttpHeaders(), 0.0, node)


class Cluster:
    """Holds templates or not, lets templates be put or not, takes every document."""

    def __init__(self, *, there: bool, put: int = 200, delete: int = 200) -> None:
        self._there = there
        self._put = put
        self._delete = delete
        self.written = 0
        self.looked_for_months = 0
        self.cluster = self.indices = self
        serializers = SimpleNamespace(get_serializer=lambda _: OrjsonSerializer())
        self.transport = SimpleNamespace(serializers=serializers)

    def options(self) -> Cluster:
        return self

    async def put_component_template(self, **_: Any) -> None:
        if self._put != 200:
            raise ApiError("no", meta(self._put), {"error": {"reason": "not for you"}})

    async def put_index_template(self, **_: Any) -> None:
        self._there = True

    async def get_index_template(self, *, name: str) -> dict[str, Any]:
        assert name == "tocsin-*-default"
        if not self._there:
            raise NotFoundError("none", meta(404), {})
        templates = build("default", DAY)
        return {
            "index_templates": [
                {"name": name, "index_template": template}
                for name, template in templates.indices.items()
            ]
        }

    async def get(self, **_: Any) -> dict[str, Any]:
        self.looked_for_months += 1
        if self._delete != 200:
            raise ApiError("no", meta(self._delete), {})
        return {}

    async def bulk(self, *, operations: list[bytes]) -> Any:
        items = []
        for line in operations[::2]:
            ((operation, parameters),) = orjson.loads(line).items()
            item = {"_index": parameters["_index"], "_id": parameters["_id"], "status": 201}
            items.append({operation: item})
        self.written += len(items)
        return SimpleNamespace(body={"items": items})


def store_on(cluster: Cluster, clock: ManualClock | None = None) -> ElasticsearchStore:
    store = ElasticsearchStore(SETTINGS, clock=clock or ManualClock(START))
    store._client = cluster  # type: ignore[assignment]
    return store


async def test_the_first_write_installs_what_is_missing() -> None:
    cluster = Cluster(there=False)
    assert await store_on(cluster).write([event_document(1)]) == []
    assert cluster._there
    assert cluster.written == 1


async def test_a_key_that_may_only_write_is_fine_once_the_templates_are_there() -> None:
    cluster = Cluster(there=True, put=403)
    store = store_on(cluster)
    assert await store.write([event_document(1)]) == []
    assert await store.setup() == ["templates of namespace default: there already"]


async def test_nothing_is_written_without_templates() -> None:
    cluster = Cluster(there=False, put=403)
    store = store_on(cluster)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=r"403: not for you.*lacks a privilege"):
            await store.write([event_document(1)])
    assert cluster.written == 0
    with pytest.raises(StoreError, match="manage_index_templates") as caught:
        await store.setup()
    assert not isinstance(caught.value, StoreUnavailable)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_setup_on_a_busy_cluster_is_for_later(status: int) -> None:
    with pytest.raises(StoreUnavailable, match=str(status)):
        await store_on(Cluster(there=False, put=status)).setup()


async def test_months_are_looked_at_seldom_and_never_hold_writes_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock(START)
    cluster = Cluster(there=True, delete=500)
    store = store_on(cluster, clock)
    for _ in range(3):
        assert await store.write(alert_documents(1)) == []
    assert cluster.looked_for_months == 1
    assert "were not deleted" in caplog.text
    clock.advance(RETENTION_EVERY)
    assert await store.write(alert_documents(2)) == []
    assert cluster.looked_for_months == 2
    cluster._delete = 403
    clock.advance(RETENTION_EVERY)
    assert await store.write(alert_documents(3)) == []
    assert "delete_index" in caplog.text
