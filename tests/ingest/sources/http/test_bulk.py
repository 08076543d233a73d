"""Elasticsearch's `_bulk` and what senders ask before it."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.sources.http.bulk import split_bulk
from ingest.sources.http.refusal import Refusal
from tests.ingest.sources.collected import letters, lines, raw_records
from tests.ingest.sources.http.served import client, http_source

if TYPE_CHECKING:
    import httpx

    from tocsin.clock import ManualClock
    from tocsin.log.sqlite import SqliteLog


def bulk(*parts: dict[str, Any] | bytes) -> bytes:
    return b"".join(
        (part if isinstance(part, bytes) else orjson.dumps(part)) + b"\n" for part in parts
    )


def statuses(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200
    assert answer.headers["x-elastic-product"] == "Elasticsearch"
    return [next(iter(item.values()))["status"] for item in answer.json()["items"]]


async def test_documents_are_kept_as_they_were_sent(log: SqliteLog, clock: ManualClock) -> None:
    documents = [b'{"message": "one",  "n":1}', b'{"message":"two"}', b"not even JSON"]
    body = bulk(
        {"index": {}},
        documents[0],
        {"create": {"_index": "logs-x", "_id": "a"}},
        documents[1] + b"\r",
        {"index": {"_index": "logs-x", "routing": "r", "pipeline": "p"}},
        documents[2],
    )
    async with client(http_source(log, clock)) as http:
        answer = await http.post("/logs-y/_bulk", content=body)
        assert statuses(answer) == [201, 201, 201]
        first, second, _ = (next(iter(i.values())) for i in answer.json()["items"])
        assert answer.json()["errors"] is False
        assert (first["_index"], second["_index"], second["_id"]) == ("logs-y", "logs-x", "a")
    assert await lines(log) == documents
    (record, *_) = await raw_records(log)
    assert (record.header("origin-id") or b"").decode() == first["_id"]


async def test_a_document_with_an_id_sent_again_is_the_same_event(
    log: SqliteLog, clock: ManualClock
) -> None:
    async def send(source: Any, *ids: str, index: str = "logs") -> None:
        async with client(source) as http:
            parts = [p for i in ids for p in ({"create": {"_index": index, "_id": i}}, b'{"a":1}')]
            assert statuses(await http.put("/_bulk", content=bulk(*parts))) == [201] * len(ids)

    await send(http_source(log, clock), "a", "b")
    await send(http_source(log, clock), "a", "c")
    identities = [record.header("origin-id") for record in await raw_records(log)]
    assert identities[0] == identities[2]
    assert len(set(identities)) == 3
    await send(http_source(log, clock), "a", index="other")
    await send(http_source(log, clock, tenant="acme"), "a")
    identities = [record.header("origin-id") for record in await raw_records(log)]
    assert len(set(identities)) == 5


async def test_logs_are_not_changed_and_each_item_has_its_answer(
    log: SqliteLog, clock: ManualClock
) -> None:
    body = bulk(
        {"index": {"_index": "x"}}, b'{"a":1}',
        {"delete": {"_index": "x", "_id": "1"}},
        {"update": {"_index": "x", "_id": "1"}}, b'{"doc":{}}',
        {"create": {"_index": "x"}}, b"",
        {"index": {"_index": "x"}}, b'{"a":2}',
    )  # fmt: skip
    source = http_source(log, clock)
    async with client(source) as http:
        answer = await http.post("/_bulk", content=body)
        assert statuses(answer) == [201, 400, 400, 400, 201]
        assert answer.json()["errors"] is True
        assert "deleted" in answer.json()["items"][1]["delete"]["error"]["reason"]
    assert await lines(log) == [b'{"a":1}', b'{"a":2}']
    assert source.account.refused == {"malformed": 3, "busy": 0}


WRONG = [
    b"rubbish\n{}\n",
    b'{"index":{}}\n{}\n{"upsert":{}}\n{}\n',
    b'{"index":{},"create":{}}\n{}\n',
    b'{"index":[]}\n{}\n',
    b"[]\n{}\n",
    b'{"index":{}}',
]


async def test_a_request_of_which_it_cannot_be_told_what_it_is_is_refused_and_kept(
    log: SqliteLog, clock: ManualClock
) -> None:
    async with client(http_source(log, clock)) as http:
        for body in WRONG:
            answer = await http.post("/_bulk", content=body)
            assert answer.status_code == 400
            assert answer.json()["error"]["type"] == "illegal_argument_exception"
    assert await lines(log) == []
    assert [letter.original for letter in await letters(log)] == WRONG


async def test_an_empty_request_is_refused(log: SqliteLog, clock: ManualClock) -> None:
    async with client(http_source(log, clock)) as http:
        assert (await http.post("/_bulk", content=b"\n")).status_code == 400
    assert await letters(log) == []


async def test_as_beats_ask_for_it(log: SqliteLog, clock: ManualClock) -> None:
    body = gzip.compress(bulk({"create": {"_index": "f"}}, b'{"a":1}', {"delete": {"_id": "x"}}))
    async with client(http_source(log, clock)) as http:
        answer = await http.post(
            "/_bulk?filter_path=errors%2Citems.%2A.error%2Citems.%2A.status",
            content=body,
            headers={
                "Content-Encoding": "gzip",
                "Content-Type": "application/vnd.elasticsearch+x-ndjson;compatible-with=8",
            },
        )
        assert statuses(answer) == [201, 400]
        assert answer.json()["items"][0] == {"create": {"status": 201}}


async def test_single_documents(log: SqliteLog, clock: ManualClock) -> None:
    async with client(http_source(log, clock)) as http:
        for method, path in (("POST", "/x/_doc"), ("PUT", "/x/_doc/1"), ("PUT", "/x/_create/1")):
            answer = await http.request(method, path, content=b'{"a":1}')
            assert answer.status_code == 201
            assert answer.json()["result"] == "created"
        assert (await http.post("/x/_doc", content=b"")).status_code == 400
    identities = [record.header("origin-id") for record in await raw_records(log)]
    assert identities[1] == identities[2] != identities[0]


async def test_what_does_not_fit_is_answered_item_by_item_and_comes_again(
    log: SqliteLog, clock: ManualClock
) -> None:
    source = http_source(log, clock, max_waiting=1024 * 1024)
    large = b'{"a":"' + b"x" * 400_000 + b'"}'
    body = bulk(*[part for _ in range(4) for part in ({"index": {"_index": "x"}}, large)])
    async with client(source) as http:
        answer = await http.post("/_bulk", content=body)
        assert statuses(answer) == [201, 201, 429, 429]
        error = answer.json()["items"][3]["index"]["error"]
        assert error["type"] == "es_rejected_execution_exception"
        again = await http.post("/_bulk", content=bulk({"index": {}}, large, {"index": {}}, large))
        assert statuses(again) == [201, 201]
    assert await lines(log) == [large] * 4
    assert source.account.refused["busy"] == 2


async def test_tokens_are_asked_for_everywhere(
    log: SqliteLog, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PW", "changeme")
    source = http_source(log, clock, users={"beats": "env:PW"})
    async with client(source) as http:
        for method, path in (("GET", "/"), ("GET", "/_license"), ("POST", "/_bulk")):
            answer = await http.request(method, path)
            assert answer.status_code == 401
            assert answer.json()["error"]["type"] == "security_exception"
            assert "Basic" in answer.headers["www-authenticate"]
        answer = await http.get("/", auth=("beats", "changeme"))
        assert answer.status_code == 200


PROBES = [
    ("GET", "/"),
    ("HEAD", "/"),
    ("GET", "/_license?human=false"),
    ("GET", "/_xpack"),
    ("GET", "/_cluster/health"),
    ("GET", "/_nodes/http"),
    ("GET", "/_ilm/policy/filebeat"),
    ("PUT", "/_ilm/policy/filebeat"),
    ("HEAD", "/_index_template/filebeat-8.19.0"),
    ("PUT", "/_index_template/filebeat-8.19.0"),
    ("GET", "/_data_stream/filebeat-8.19.0"),
    ("PUT", "/_data_stream/filebeat-8.19.0"),
    ("HEAD", "/_template/logstash"),
    ("PUT", "/_component_template/logs"),
    ("PUT", "/_ingest/pipeline/p"),
    ("HEAD", "/_alias/filebeat"),
    ("HEAD", "/logs-2026.11.22"),
    ("PUT", "/logs-2026.11.22"),
]


async def test_what_senders_ask_before_they_send(log: SqliteLog, clock: ManualClock) -> None:
    async with client(http_source(log, clock)) as http:
        for method, path in PROBES:
            answer = await http.request(method, path, content=b"{}" if method == "PUT" else None)
            assert answer.status_code == 200, path
            assert answer.headers["x-elastic-product"] == "Elasticsearch"
            if method == "PUT":
                assert answer.json() == {"acknowledged": True}


async def test_the_version_and_licence_that_beats_look_at(
    log: SqliteLog, clock: ManualClock
) -> None:
    async with client(http_source(log, clock, elasticsearch_version="9.1.2")) as http:
        version = (await http.get("/")).json()["version"]
        assert (version["number"], version["build_flavor"]) == ("9.1.2", "default")
        license_ = (await http.get("/_license")).json()["license"]
        assert (license_["type"], license_["status"]) == ("basic", "active")


ACTIONS = st.sampled_from(
    [b'{"index":{}}', b'{"create":{"_id":"\xc3\xa4"}}', b'{"update":{}}', b'{"delete":{"_id":1}}']
)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(ACTIONS, st.binary(min_size=1, max_size=20).filter(lambda d: b"\n" not in d))
    )
)
def test_every_document_is_an_item(pairs: list[tuple[bytes, bytes]]) -> None:
    body = b""
    for action, document in pairs:
        body += action + b"\n" + (b"" if b"delete" in action else document + b"\n")
    if not pairs:
        with pytest.raises(Refusal):
            split_bulk(body, "x")
        return
    items = split_bulk(body, "x")
    assert len(items) == len(pairs)
    for item, (action, document) in zip(items, pairs, strict=True):
        assert item.action.encode() in action
        if item.action != "delete":
            assert item.document == document.removesuffix(b"\r")


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text('{}[]"index:_d12\n', max_size=60).map(str.encode))
def test_nothing_escapes_but_a_refusal(body: bytes) -> None:
    try:
        items = split_bulk(body, "x")
    except Refusal as refusal:
        assert refusal.status == 400  # noqa: PT017  (either outcome is right)
    else:
        assert items
