"""A private rsyslogd that reads a TCP port or a file and writes to a Kafka topic (omkafka)."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from dev.process import LOOPBACK, PROBE_TIMEOUT_S, Server

# The whole received line, unchanged, and who sent it.
RAW_MESSAGE = "%rawmsg%"
SENDER = "%fromhost-ip%"

CONFIG = """\
global(workDirectory="{data_dir}/state" maxMessageSize="64k")
template(name="message" type="string" string="{message}")
template(name="key" type="string" string="{key}")
{input}
action(type="omkafka" broker=["{bootstrap}"] topic="{topic}" template="message"
       key="key" dynaKey="on" partitions.auto="on" closeTimeout="5000" resubmitOnFailure="on"
       action.resumeRetryCount="-1" action.resumeInterval="1")
"""

TCP_INPUT = """\
module(load="imtcp")
module(load="omkafka")
input(type="imtcp" address="{address}" port="{port}")"""

FILE_INPUT = """\
module(load="imfile" mode="inotify")
module(load="omkafka")
input(type="imfile" file="{file}" tag="file:")"""


class RsyslogServer(Server):
    """An rsyslogd with its own configuration, pid file and state, all under `data_dir`."""

    name: ClassVar[str] = "rsyslog"
    start_timeout_s: ClassVar[float] = 20.0

    def __init__(
        self,
        data_dir: Path,
        *,
        bootstrap: str,
        topic: str,
        file: Path | None = None,
        port: int | None = None,
        key: str = SENDER,
        message: str = RAW_MESSAGE,
    ) -> None:
        super().__init__(data_dir, port)
        self._bootstrap = bootstrap
        self._topic = topic
        self._file = file
        self._key = key
        self._message = message

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens for syslog over TCP, unless it reads a file."""
        return LOOPBACK, self.port

    def prepare(self) -> None:
        (self.data_dir / "state").mkdir(exist_ok=True)
        if self._file is None:
            source = TCP_INPUT.format(address=LOOPBACK, port=self.port)
        else:
            source = FILE_INPUT.format(file=self._file.absolute())
        config = CONFIG.format(
            data_dir=self.data_dir,
            message=self._message,
            key=self._key,
            input=source,
            bootstrap=self._bootstrap,
            topic=self._topic,
        )
        (self.data_dir / "rsyslog.conf").write_text(config)
        self._pid_file.unlink(missing_ok=True)

    def argv(self) -> list[str]:
        files = ("-f", str(self.data_dir / "rsyslog.conf"), "-i", str(self._pid_file))
        return self.die_with_parent("rsyslogd", "-n", *files)

    def ready(self) -> bool:
        """It writes its pid file once its inputs run; a TCP port must answer as well."""
        if not self._pid_file.exists():
            return False
        if self._file is not None:
            return True
        with contextlib.suppress(OSError):
            socket.create_connection(self.address, timeout=PROBE_TIMEOUT_S).close()
            return True
        return False

    @property
    def _pid_file(self) -> Path:
        return self.data_dir / "rsyslog.pid"


@contextlib.contextmanager
def rsyslog(
    data_dir: Path,
    *,
    bootstrap: str,
    topic: str,
    file: Path | None = None,
    port: int | None = None,
    key: str = SENDER,
    message: str = RAW_MESSAGE,
) -> Iterator[RsyslogServer]:
    """Run an rsyslogd that sends each line it reads to a Kafka topic, and yield it ready.

    Args:
        data_dir: holds configuration, log and state; made when missing, kept afterwards.
        bootstrap: Kafka's address, as host:port.
        topic: must exist.
        file: is followed from its beginning; without it rsyslog listens on TCP.
        port: of the TCP listener on 127.0.0.1, a free one by default.
        key: rsyslog template of the record's key, such as "%hostname%", or plain text.
        message: rsyslog template of the record's value.

    Raises:
        ServerError: it could not be started or stopped.
    """
    server = RsyslogServer(
        data_dir,
        bootstrap=bootstrap,
        topic=topic,
        file=file,
        port=port,
        key=key,
        message=message,
    )
    with server:
        yield server
