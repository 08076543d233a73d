"""Kafka and Elasticsearch: one round trip, a kill, a restart on the same data."""

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from dev.elasticsearch import ElasticsearchServer
from dev.kafka import KafkaServer
from dev.rsyslog import rsyslog
from dev.servers import ServerError, elasticsearch, kafka

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]

# Of the client side only: a broker that is up answers well within it.
WAIT_S = 30.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    with kafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ElasticsearchServer]:
    with elasticsearch(tmp_path_factory.mktemp("elasticsearch")) as server:
        yield server


def make_topic(bootstrap: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for made in admin.create_topics([NewTopic(topic, num_partitions=2)]).values():
        made.result(WAIT_S)


def produce(bootstrap: str, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    for value in values:
        producer.produce(topic, value, key=b"k")
    assert producer.flush(WAIT_S) == 0


def consume(bootstrap: str, topic: str, count: int) -> list[tuple[bytes | None, bytes | None]]:
    """The first `count` records of a topic as (key, value)."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"reader-{time.monotonic_ns()}",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    found: list[tuple[bytes | None, bytes | None]] = []
    deadline = time.monotonic() + WAIT_S
    try:
        while len(found) < count and time.monotonic() < deadline:
            for message in consumer.consume(count, timeout=0.2):
                assert message.error() is None
                found.append((message.key(), message.value()))
    finally:
        consumer.close()
    return found


def send_lines(address: tuple[str, int], lines: list[str]) -> None:
    with socket.create_connection(address, timeout=WAIT_S) as connection:
        connection.sendall("".join(f"{line}\n" for line in lines).encode())


def request(node: ElasticsearchServer, method: str, path: str, body: object = None) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=WAIT_S)
    with contextlib.closing(connection):
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"content-type": "application/json"})
        response = connection.getresponse()
        assert response.status < 300, response.read()
        return json.loads(response.read())


def test_kafka_carries_records(broker: KafkaServer) -> None:
    make_topic(broker.bootstrap, "carry")
    produce(broker.bootstrap, "carry", [b"one", b"two"])
    assert consume(broker.bootstrap, "carry", 2) == [(b"k", b"one"), (b"k", b"two")]


def test_kafka_makes_no_topic_by_itself(broker: KafkaServer) -> None:
    failures: list[KafkaError | None] = []
    producer = Producer({"bootstrap.servers": broker.bootstrap, "message.timeout.ms": 3000})
    producer.produce("never-made", b"x", on_delivery=lambda error, _: failures.append(error))
    assert producer.flush(WAIT_S) == 0
    (failure,) = failures
    assert failure is not None
    assert failure.code() in (KafkaError._MSG_TIMED_OUT, KafkaError._UNKNOWN_TOPIC)
    topics = AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=WAIT_S).topics
    assert "never-made" not in topics


def test_kafka_transactions_commit(broker: KafkaServer) -> None:
    make_topic(broker.bootstrap, "transacted")
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": "t"})
    producer.init_transactions(WAIT_S)
    producer.begin_transaction()
    producer.produce("transacted", b"undone", key=b"k")
    producer.abort_transaction(WAIT_S)
    producer.begin_transaction()
    producer.produce("transacted", b"done", key=b"k")
    producer.commit_transaction(WAIT_S)
    assert consume(broker.bootstrap, "transacted", 1) == [(b"k", b"done")]


def test_kafka_keeps_records_over_a_kill(broker: KafkaServer) -> None:
    make_topic(broker.bootstrap, "kept")
    produce(broker.bootstrap, "kept", [b"before"])
    address = broker.bootstrap
    broker.kill()
    assert not broker.ready()
    broker.start()
    assert broker.bootstrap == address
    produce(address, "kept", [b"after"])
    assert consume(address, "kept", 2) == [(b"k", b"before"), (b"k", b"after")]


def test_kafka_answers_again_after_a_pause(broker: KafkaServer) -> None:
    broker.pause()
    try:
        assert not broker.ready()
    finally:
        broker.resume()
    assert broker.ready()


def test_kafka_that_cannot_start_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(ServerError, match=r"num\.io\.threads"),
        kafka(tmp_path, config={"num.io.threads": "none"}),
    ):
        pass


def test_rsyslog_sends_tcp_lines_to_kafka(broker: KafkaServer, tmp_path: Path) -> None:
    make_topic(broker.bootstrap, "syslog")
    line = "<34>1 2026-01-02T03:04:05Z web sshd 812 - - Failed password for root"
    with rsyslog(
        tmp_path, bootstrap=broker.bootstrap, topic="syslog", key="%hostname%"
    ) as collector:
        send_lines(collector.address, [line] * 20)
        assert consume(broker.bootstrap, "syslog", 20) == [(b"web", line.encode())] * 20


def test_rsyslog_follows_a_file_into_kafka(broker: KafkaServer, tmp_path: Path) -> None:
    make_topic(broker.bootstrap, "followed")
    file = tmp_path / "auth.log"
    file.write_text("first\n")
    with rsyslog(
        tmp_path / "rsyslog", bootstrap=broker.bootstrap, topic="followed", file=file, key="auth"
    ):
        with file.open("a") as log:
            log.write("second\n")
        found = consume(broker.bootstrap, "followed", 2)
    assert found == [(b"auth", b"first"), (b"auth", b"second")]


def test_elasticsearch_stores_and_finds(node: ElasticsearchServer) -> None:
    document = {"event": {"kind": "alert"}, "source": {"ip": "203.0.113.66"}}
    made = request(node, "PUT", "/alerts/_create/1?refresh=true", document)
    assert made["result"] == "created"
    found = request(node, "GET", "/alerts/_search?q=event.kind:alert")
    assert [hit["_source"] for hit in found["hits"]["hits"]] == [document]


def test_elasticsearch_keeps_documents_over_a_kill(node: ElasticsearchServer) -> None:
    request(node, "PUT", "/kept/_doc/1", {"n": 1})
    url = node.url
    node.kill()
    assert not node.ready()
    node.start()
    assert node.url == url
    assert request(node, "GET", "/kept/_doc/1")["_source"] == {"n": 1}


def test_elasticsearch_answers_again_after_a_pause(node: ElasticsearchServer) -> None:
    node.pause()
    try:
        assert not node.ready()
    finally:
        node.resume()
    assert node.ready()


def test_elasticsearch_that_cannot_start_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(ServerError, match=r"unknown setting \[no\.such\.setting\]"),
        elasticsearch(tmp_path, config={"no.such.setting": "1"}),
    ):
        pass
