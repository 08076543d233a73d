"""One Elasticsearch node on loopback, without security: the core only, few modules."""

import http.client
import os
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar

from dev.fetch import fetch, version
from dev.process import LOOPBACK, PROBE_TIMEOUT_S, Server, ServerError, free_port

# Any id but 0 will do; the node sees itself run as this one.
UNPRIVILEGED_ID = 1000

LOG4J = """\
status = error
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %m (%c)%n
"""

JVM_OPTIONS = """\
-XX:+UseSerialGC
-XX:+ExitOnOutOfMemoryError
-Djava.io.tmpdir=${ES_TMPDIR}
"""


class ElasticsearchServer(Server):
    """A single Elasticsearch node; `config` adds to or overrides its settings."""

    name: ClassVar[str] = "elasticsearch"
    start_timeout_s: ClassVar[float] = 180.0

    def __init__(
        self,
        data_dir: Path,
        port: int | None = None,
        *,
        config: Mapping[str, str] | None = None,
        outlive_parent: bool = False,
    ) -> None:
        super().__init__(data_dir, port, outlive_parent=outlive_parent)
        self._transport_port = free_port()
        self._config = dict(config or {})

    @property
    def url(self) -> str:
        """The base address of the HTTP interface, without a trailing slash."""
        return f"http://{LOOPBACK}:{self.port}"

    def settings(self) -> dict[str, str]:
        """The node's settings, as in elasticsearch.yml."""
        return {
            "cluster.name": "tocsin-dev",
            "node.name": "node-1",
            "path.data": str(self.data_dir / "data"),
            "path.logs": str(self.data_dir / "logs"),
            "network.host": LOOPBACK,
            "http.port": str(self.port),
            "transport.port": str(self._transport_port),
            "discovery.type": "single-node",
            "xpack.security.enabled": "false",
            # A disk that is nearly full otherwise turns every index read-only.
            "cluster.routing.allocation.disk.threshold_enabled": "false",
            **self._config,
        }

    def prepare(self) -> None:
        for folder in ("config", "data", "logs", "tmp"):
            (self.data_dir / folder).mkdir(exist_ok=True)
        config = self.data_dir / "config"
        lines = (f"{key}: {value}\n" for key, value in self.settings().items())
        (config / "elasticsearch.yml").write_text("".join(lines))
        (config / "jvm.options").write_text(JVM_OPTIONS)
        (config / "log4j2.properties").write_text(LOG4J)

    def argv(self) -> list[str]:
        """Start `bin/elasticsearch`, as an unprivileged user where this one is root.

        Elasticsearch refuses to run as root. A user namespace, rather than another account, takes
        root's place and capabilities away and leaves the files readable: pytest's folders (0700)
        and a checkout under /root are closed to every other account.

        The script's own JVM starts a second one, the node, which ends when the first does.
        """
        home = fetch(self.name) / f"elasticsearch-{version(self.name)}"
        command = self.die_with_parent(str(home / "bin" / "elasticsearch"))
        if os.geteuid() != 0:
            return command
        user = (f"--map-user={UNPRIVILEGED_ID}", f"--map-group={UNPRIVILEGED_ID}")
        return ["unshare", "--user", *user, *command]

    def environment(self) -> Mapping[str, str]:
        java = shutil.which("java")
        if java is None:
            raise ServerError("no java on the PATH; run dev/install.sh")
        return {
            "ES_JAVA_HOME": str(Path(java).resolve().parent.parent),
            "ES_JAVA_OPTS": "-Xms768m -Xmx768m",
            "ES_PATH_CONF": str(self.data_dir / "config"),
            "ES_TMPDIR": str(self.data_dir / "tmp"),
        }

    def ready(self) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=PROBE_TIMEOUT_S)
        try:
            connection.request("GET", "/_cluster/health?wait_for_status=yellow&timeout=1s")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def elasticsearch(
    data_dir: Path, port: int | None = None, *, config: Mapping[str, str] | None = None
) -> AbstractContextManager[ElasticsearchServer]:
    """A context manager that runs an Elasticsearch node on `data_dir` and yields it ready.

    Args:
        data_dir: holds configuration, log and data; made when missing, kept afterwards.
        port: of the HTTP interface on 127.0.0.1; a free one by default, the same over restarts.
        config: settings that add to or override the usual ones.

    Raises:
        ServerError: it could not be fetched, started or stopped.
    """
    return ElasticsearchServer(data_dir, port, config=config)
