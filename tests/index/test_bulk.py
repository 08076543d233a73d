"""Every item of a bulk answer is settled: done, refused, or put off."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig
from elasticsearch import ApiError, OrjsonSerializer

from tests.index.documents import START, alert_documents, event_document
from tocsin.index import bulk
from tocsin.index.store import StoreDocument, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Answer = tuple[int, dict[str, Any] | None]


def api_error(status: int, reason: str = "no") -> ApiError:
    node = NodeConfig("http", "es.example.com", 9200)
    meta = ApiResponseMeta(status, "1.1", HttpHeaders(), 0.0, node)
    return ApiError(reason, meta, {"error": {"type": "some_exception", "reason": reason}})


class Cluster:
    """Answers a bulk request as `script` says, given its headers and the number of the request."""

    def __init__(self, script: Callable[[dict[str, Any], int], Answer]) -> None:
        self._script = script
        self.requests: list[list[dict[str, Any]]] = []
        serializers = SimpleNamespace(get_serializer=lambda _: OrjsonSerializer())
        self.transport = SimpleNamespace(serializers=serializers)

    def options(self) -> Cluster:
        return self

    async def bulk(self, *, operations: Sequence[bytes]) -> Any:
        headers = [orjson.loads(line) for line in operations[::2]]
        self.requests.append(headers)
        items = []
        for header in headers:
            ((operation, parameters),) = header.items()
            status, error = self._script(parameters, len(self.requests))
            item = {"_index": parameters["_index"], "_id": parameters["_id"], "status": status}
            items.append({operation: item | ({"error": error} if error else {})})
        return SimpleNamespace(body={"items": items})


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "BACKOFF_FIRST", 0.0)


def actions(*documents: StoreDocument) -> list[bulk.Action]:
    prepared, refused = bulk.prepare(documents, "default")
    assert refused == []
    return prepared


async def send(cluster: Cluster, made: Sequence[bulk.Action]) -> bulk.Outcome:
    return await bulk.send(cluster, made)  # type: ignore[arg-type]


EVENTS = [event_document(n) for n in range(4)]
CONFLICT = {
    "type": "document_parsing_exception",
    "reason": "failed to parse field [source]",
    "caused_by": {"type": "x", "reason": "found a concrete value"},
}


@pytest.mark.parametrize("status", [200, 201, 409])
async def test_done_is_done(status: int) -> None:
    outcome = await send(Cluster(lambda *_: (status, None)), actions(*EVENTS))
    assert outcome == bulk.Outcome()


async def test_a_mapping_conflict_is_the_documents_own_fault() -> None:
    cluster = Cluster(lambda p, _: (400, CONFLICT) if p["_id"] == "event-2" else (201, None))
    outcome = await send(cluster, actions(*EVENTS))
    (refused,) = outcome.refused
    assert (refused.kind, refused.id, refused.code) == ("events", "event-2", "mapping")
    assert refused.reason == "failed to parse field [source]: found a concrete value"
    assert outcome.put_off == []


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_busy_server_is_asked_again_for_what_it_did_not_take(status: int) -> None:
    def script(parameters: dict[str, Any], request: int) -> Answer:
        return (status, None) if request < 3 and parameters["_id"] == "event-1" else (201, None)

    cluster = Cluster(script)
    assert await send(cluster, actions(*EVENTS)) == bulk.Outcome()
    assert [len(request) for request in cluster.requests] == [4, 1, 1]


@pytest.mark.parametrize(
    ("status", "type"),
    [
        (429, "es_rejected_execution_exception"), (500, "io_exception"), (503, "unavailable"),
        (403, "security_exception"), (403, "cluster_block_exception"), (401, "security_exception"),
    ],
)  # fmt: skip
async def test_what_passes_or_is_mended_is_never_refused(status: int, type: str) -> None:
    error = {"type": type, "reason": f"because {type}"}
    cluster = Cluster(lambda p, _: (status, error) if p["_id"] == "event-1" else (201, None))
    outcome = await send(cluster, actions(*EVENTS))
    assert outcome.refused == []
    assert outcome.put_off == [f"because {type}"]
    assert not outcome.missing


async def test_a_missing_stream_is_put_off_and_told() -> None:
    error = {"type": "index_not_found_exception", "reason": "no such index"}
    outcome = await send(Cluster(lambda *_: (404, error)), actions(EVENTS[0]))
    assert (outcome.refused, outcome.put_off, outcome.missing) == ([], ["no such index"], True)


@pytest.mark.parametrize("status", [400, 401, 403, 409, 500])
async def test_a_request_refused_as_a_whole_refuses_no_document(status: int) -> None:
    def script(*_: Any) -> Answer:
        raise api_error(status, "not like this")

    outcome = await send(Cluster(script), actions(*EVENTS))
    assert outcome.refused == []
    assert len(outcome.put_off) == 4


async def test_a_request_that_is_too_large_is_taken_apart() -> None:
    """The one document that is too large by itself is refused, the others are written."""

    class Proxy(Cluster):
        async def bulk(self, *, operations: Sequence[bytes]) -> Any:
            if sum(map(len, operations)) > 6000:
                raise api_error(413)
            return await super().bulk(operations=operations)

    cluster = Proxy(lambda *_: (201, None))
    large = event_document(9, message="x" * 10_000)
    outcome = await send(cluster, actions(*EVENTS, large))
    assert [(each.id, each.code) for each in outcome.refused] == [("event-9", "too_large")]
    assert outcome.put_off == []
    written = [header["create"]["_id"] for request in cluster.requests for header in request]
    assert sorted(written) == [f"event-{n}" for n in range(4)]


async def test_an_answer_with_fewer_items_than_asked_is_not_taken_for_success() -> None:
    class Forgetful(Cluster):
        async def bulk(self, *, operations: Sequence[bytes]) -> Any:
            answer = await super().bulk(operations=operations)
            answer.body["items"].pop()
            return answer

    outcome = await send(Forgetful(lambda *_: (201, None)), actions(*EVENTS))
    assert outcome.put_off == ["1 documents were not answered"]


async def test_one_id_in_two_streams_is_told_apart() -> None:
    state = StoreDocument("events", "same", None, START, EVENTS[0].body)
    run = StoreDocument("runs", "same", None, START, {"kind": "started", "seq": 0})

    class Backing(Cluster):
        async def bulk(self, *, operations: Sequence[bytes]) -> Any:
            answer = await super().bulk(operations=operations)
            for item in answer.body["items"]:
                ((_, result),) = item.items()
                result["_index"] = f".ds-{result['_index']}-2026.03.31-000001"
            return answer

    cluster = Backing(lambda p, _: (400, CONFLICT) if "actions" in p["_index"] else (201, None))
    outcome = await send(cluster, actions(state, run))
    assert [each.kind for each in outcome.refused] == ["runs"]


def test_equal_documents_are_sent_once_and_versions_only_the_newest() -> None:
    documents = [d for revision in (2, 3, 1) for d in alert_documents(revision)]
    prepared = actions(*documents, *documents, EVENTS[0], EVENTS[0])
    assert [(a.document.kind, a.document.id, a.document.version) for a in prepared] == [
        ("alerts", "alert-a", 3),
        ("alert_records", "alert-a-2", None),
        ("alert_records", "alert-a-3", None),
        ("alert_records", "alert-a-1", None),
        ("events", "event-0", None),
    ]


def test_a_refused_version_leaves_the_older_ones_to_write() -> None:
    documents = [alert_documents(revision)[0] for revision in (1, 3, 2)]
    refused = [refusal(documents[1], "mapping", "no")]
    assert [each.version for each in bulk.older(documents, refused)] == [1, 2]
    assert bulk.older(documents, []) == []


@pytest.mark.parametrize(
    "body",
    [{}, {"tocsin": {}}, {"tocsin": {"alert": {}}}, {"tocsin": {"alert": "x"}}, {"tocsin": 1}],
)
def test_a_body_of_another_form_is_refused(body: dict[str, Any]) -> None:
    prepared, (refused,) = bulk.prepare([StoreDocument("alerts", "a", 1, START, body)], "default")
    assert (prepared, refused.code) == ([], "invalid_document")
