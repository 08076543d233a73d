"""One Kafka broker that is its own controller (KRaft), on loopback, without TLS or ACLs."""

import base64
import hashlib
import socket
import struct
import subprocess
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar

from dev.fetch import fetch
from dev.process import LOOPBACK, PROBE_TIMEOUT_S, Server, free_port

FORMAT_TIMEOUT_S = 60.0
API_METADATA = 3
METADATA_VERSION = 1
CLIENT_ID = b"tocsin-probe"

LOG4J = """\
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %m (%c)%n
"""


class KafkaServer(Server):
    """A single Kafka broker; `config` adds to or overrides its properties."""

    name: ClassVar[str] = "kafka"

    def __init__(
        self,
        data_dir: Path,
        port: int | None = None,
        *,
        config: Mapping[str, str] | None = None,
        outlive_parent: bool = False,
    ) -> None:
        super().__init__(data_dir, port, outlive_parent=outlive_parent)
        self._controller_port = free_port()
        self._config = dict(config or {})

    @property
    def bootstrap(self) -> str:
        """The address clients bootstrap from, as host:port."""
        return f"{LOOPBACK}:{self.port}"

    def properties(self) -> dict[str, str]:
        """The broker's configuration."""
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{LOOPBACK}:{self._controller_port}",
            "listeners": (
                f"PLAINTEXT://{self.bootstrap},CONTROLLER://{LOOPBACK}:{self._controller_port}"
            ),
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.data_dir / "logs"),
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": "0",
            # Lets a test of a takeover use a session shorter than the usual 6 s.
            "group.min.session.timeout.ms": "1000",
            "offsets.topic.num.partitions": "4",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            # A killed broker's successor waits for the end of its session (9 s by default, and a
            # restart of 13 s; 3 s made it 5.5 s).
            "broker.session.timeout.ms": "4000",
            "broker.heartbeat.interval.ms": "500",
            "num.network.threads": "2",
            "num.io.threads": "4",
            **self._config,
        }

    def prepare(self) -> None:
        lines = (f"{key}={value}\n" for key, value in self.properties().items())
        (self.data_dir / "server.properties").write_text("".join(lines))
        (self.data_dir / "log4j2.properties").write_text(LOG4J)
        if not (self.data_dir / "logs" / "meta.properties").exists():
            self._format()

    def argv(self) -> list[str]:
        heap = ("-Xms256m", "-Xmx512m")
        return self.die_with_parent(*self._java(*heap), "kafka.Kafka", "server.properties")

    def ready(self) -> bool:
        return live_brokers(LOOPBACK, self.port) > 0

    def _java(self, *options: str) -> list[str]:
        log4j = (self.data_dir / "log4j2.properties").as_uri()
        jars = f"{fetch(self.name)}/*"
        return ["java", *options, f"-Dlog4j2.configurationFile={log4j}", "-cp", jars]

    def _format(self) -> None:
        """Give the data directory its cluster id, as `kafka-storage.sh format` does."""
        digest = hashlib.sha256(str(self.data_dir).encode()).digest()[:16]
        cluster_id = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        tool = [*self._java("-Xmx128m"), "kafka.tools.StorageTool", "format"]
        done = subprocess.run(
            [*tool, f"--cluster-id={cluster_id}", "--config=server.properties"],
            cwd=self.data_dir,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=FORMAT_TIMEOUT_S,
        )
        if done.returncode != 0:
            self.log.write_bytes(done.stdout)
            raise self.failure("could not format its data directory")


def kafka(
    data_dir: Path, port: int | None = None, *, config: Mapping[str, str] | None = None
) -> AbstractContextManager[KafkaServer]:
    """A context manager that runs a Kafka broker on `data_dir` and yields it ready.

    Args:
        data_dir: holds configuration, log and data; made when missing, kept afterwards.
        port: of the listener on 127.0.0.1; a free one by default, the same over restarts.
        config: broker properties that add to or override the usual ones.

    Raises:
        ServerError: it could not be fetched, started or stopped.
    """
    return KafkaServer(data_dir, port, config=config)


def live_brokers(host: str, port: int) -> int:
    """How many brokers the broker at this address says are alive; 0 when it gives no answer.

    Sends a Metadata request (version 1, no topics). Source: the Kafka protocol guide.
    """
    header = struct.pack(">hhih", API_METADATA, METADATA_VERSION, 1, len(CLIENT_ID)) + CLIENT_ID
    request = header + struct.pack(">i", 0)
    try:
        with socket.create_connection((host, port), timeout=PROBE_TIMEOUT_S) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            answer = connection.makefile("rb").read(12)  # length, correlation id, brokers
    except OSError:
        return 0
    if len(answer) < 12:
        return 0
    _, _, brokers = struct.unpack(">iii", answer)
    return int(brokers)
