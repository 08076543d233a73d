"""A server as an operating system process: started, probed, paused, killed, started again.

Linux only: it reads `/proc` and asks the kernel for a parent-death signal.
"""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self

LOOPBACK = "127.0.0.1"
POLL_INTERVAL_S = 0.05
STOP_TIMEOUT_S = 30.0
KILL_TIMEOUT_S = 10.0
PROBE_TIMEOUT_S = 2.0
TAIL_LINES = 40


class ServerError(RuntimeError):
    """A server could not be fetched, started or stopped; the text ends with its log's tail."""


def port_is_free(port: int) -> bool:
    """Whether a server could listen on `port` of the loopback interface now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A free loopback port below the kernel's ephemeral range.

    Not one that `bind(0)` gives: while a server is down for a restart, an outgoing connection
    (even a client's own retry, connected to itself) could take a port of the ephemeral range.

    Raises:
        ServerError: no free port was found.
    """
    ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(1000):
        port = 10_000 + secrets.randbelow(max(ephemeral - 10_000, 1_000))
        if port_is_free(port):
            return port
    raise ServerError("no free port on the loopback interface")


def process_stat(pid: int) -> tuple[str, int, int] | None:
    """State letter, process group and start time (ticks since boot) of `pid`, None if gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold any character
    return fields[0], int(fields[2]), int(fields[19])


def group_members(group: int) -> list[int]:
    """The living processes of a process group."""
    members = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (stat := process_stat(int(entry))) is not None:
            state, its_group, _ = stat
            if its_group == group and (state not in "ZX" or _has_threads(entry)):
                members.append(int(entry))
    return members


def _stopped(group: int) -> bool:
    """Whether every thread of a process group has stopped or ended."""
    states = [
        stat[0]
        for member in group_members(group)
        for task in Path(f"/proc/{member}/task").glob("[0-9]*")
        if (stat := process_stat(int(task.name))) is not None
    ]
    return all(state in "TtZX" for state in states)


def _has_threads(pid: str) -> bool:
    """Whether a zombie's other threads still run, and so hold its ports and locks."""
    try:
        return len(os.listdir(f"/proc/{pid}/task")) > 1
    except OSError:
        return False


class Server(ABC):
    """One server in its own process group, with everything it writes under `data_dir`.

    Unless `outlive_parent` is set, the kernel kills it when the thread that called `start` ends
    (PR_SET_PDEATHSIG counts threads, not processes): call `start` from a thread that lives as
    long as the server should, the main thread as a rule.

    As a context manager it starts on entry and stops on exit.
    """

    name: ClassVar[str]
    start_timeout_s: ClassVar[float] = 120.0

    def __init__(self, data_dir: Path, port: int | None, *, outlive_parent: bool = False) -> None:
        self.data_dir = data_dir.absolute()
        self.port = free_port() if port is None else port
        self.log = self.data_dir / "server.log"
        self._outlive_parent = outlive_parent
        self._record = self.data_dir / "process.json"
        self._child: subprocess.Popen[bytes] | None = None
        self._leader: int | None = None
        self._log_offset = 0

    @abstractmethod
    def prepare(self) -> None:
        """Write configuration and whatever else the server needs before each start."""

    @abstractmethod
    def argv(self) -> list[str]:
        """The command that runs the server in the foreground."""

    @abstractmethod
    def ready(self) -> bool:
        """Ask the server itself, over its protocol, whether it serves requests."""

    def environment(self) -> Mapping[str, str]:
        """Variables added to this process's own environment."""
        return {}

    @property
    def pid(self) -> int | None:
        """The leader of the server's process group, None when it does not run."""
        return self._leader if self.running else None

    @property
    def running(self) -> bool:
        """Whether any process of the server lives (a paused one does)."""
        if self._leader is None:
            return False
        alive = bool(group_members(self._leader))
        if self._child is not None and not alive:
            self._child.wait(KILL_TIMEOUT_S)  # it is a zombie: this takes no time
        return alive

    def start(self) -> None:
        """Start the server on whatever data it has and return once it serves requests.

        Raises:
            ServerError: it runs already, its port is taken, it exited, or it was not ready within
                `start_timeout_s`; in the last two cases nothing of it is left running.
        """
        if self.running:
            raise ServerError(f"{self.name} runs already, process {self._leader}")
        if not port_is_free(self.port):
            raise ServerError(f"{self.name}: port {self.port} of {LOOPBACK} is taken")
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.prepare()
        with self.log.open("ab") as log:
            self._log_offset = log.tell()
            self._child = subprocess.Popen(
                self.argv(),
                cwd=self.data_dir,
                env={**os.environ, **self.environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._leader = self._child.pid
        self._write_record()
        deadline = time.monotonic() + self.start_timeout_s
        try:
            while not self.ready():
                if (status := self._child.poll()) is not None:
                    raise self.failure(f"exited with status {status} while starting")
                if time.monotonic() > deadline:
                    raise self.failure(f"was not ready within {self.start_timeout_s:.0f} s")
                time.sleep(POLL_INTERVAL_S)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Ask the server to end (SIGTERM) and wait; does nothing when it does not run.

        Raises:
            ServerError: it had to be killed after `STOP_TIMEOUT_S`.
        """
        self.resume()
        if self._leader is not None and process_stat(self._leader) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._leader, signal.SIGTERM)
        if not self._gone_within(STOP_TIMEOUT_S):
            self.kill()
            raise self.failure(f"did not stop within {STOP_TIMEOUT_S:.0f} s and was killed")

    def kill(self) -> None:
        """Kill every process of the server (SIGKILL) and return once none is left."""
        self._signal(signal.SIGKILL)
        if not self._gone_within(KILL_TIMEOUT_S):
            raise self.failure(f"survived SIGKILL for {KILL_TIMEOUT_S:.0f} s")

    def pause(self) -> None:
        """Freeze the server (SIGSTOP): its connections stay open and are not answered.

        The signal stops the threads one by one, and one of them may still answer meanwhile, so
        this waits until none runs. Raises ServerError if one still does after `KILL_TIMEOUT_S`.
        """
        self._signal(signal.SIGSTOP)
        deadline = time.monotonic() + KILL_TIMEOUT_S
        while self._leader is not None and not _stopped(self._leader):
            if time.monotonic() > deadline:
                raise self.failure(f"still ran {KILL_TIMEOUT_S:.0f} s after SIGSTOP")
            time.sleep(POLL_INTERVAL_S)

    def resume(self) -> None:
        """Let a paused server go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def attach(self) -> bool:
        """Take over the server that an earlier process left running on this `data_dir`.

        Returns whether there is one; the recorded start time tells it from a reused process id.
        """
        try:
            record = json.loads(self._record.read_text())
            leader, started, port = record["pid"], record["started_ticks"], record["port"]
        except (OSError, ValueError, KeyError):
            return False
        stat = process_stat(leader)
        if stat is None or stat[0] in "ZX" or stat[2] != started:
            return False
        self._leader, self.port = leader, port
        return True

    def failure(self, what: str) -> ServerError:
        """An error that says `what` happened and shows the log's tail since the last start."""
        tail = "(no log)"
        with contextlib.suppress(OSError), self.log.open("rb") as log:
            log.seek(self._log_offset)
            lines = log.read().decode(errors="replace").splitlines()
            tail = "\n".join(lines[-TAIL_LINES:]) or "(nothing logged)"
        return ServerError(f"{self.name} {what}; the end of {self.log}:\n{tail}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def die_with_parent(self, *command: str) -> list[str]:
        """`command` as one that the kernel kills with its parent, unless it is to outlive it.

        To come after a wrapper that changes the user, which clears the parent-death signal.
        """
        return [*command] if self._outlive_parent else ["setpriv", "--pdeathsig", "KILL", *command]

    def _write_record(self) -> None:
        if self._leader is not None and (stat := process_stat(self._leader)) is not None:
            record = {"pid": self._leader, "started_ticks": stat[2], "port": self.port}
            self._record.write_text(json.dumps(record))

    def _signal(self, number: signal.Signals) -> None:
        if self._leader is not None and self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._leader, number)

    def _gone_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.running:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_INTERVAL_S)
        return True
