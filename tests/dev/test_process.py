"""The life of a server process, shown on Python's own small HTTP server."""

import contextlib
import subprocess
import sys
import textwrap
import time
import urllib.request
from pathlib import Path
from typing import ClassVar

import pytest

from dev.process import Server, ServerError, free_port, group_members, port_is_free


class SmallServer(Server):
    name: ClassVar[str] = "small"
    start_timeout_s: ClassVar[float] = 10.0

    def prepare(self) -> None:
        """It has no configuration."""

    def argv(self) -> list[str]:
        command = ("-m", "http.server", "--bind", "127.0.0.1", str(self.port))
        return self.die_with_parent(sys.executable, *command)

    def ready(self) -> bool:
        with contextlib.suppress(OSError):
            url = f"http://127.0.0.1:{self.port}/"
            with urllib.request.urlopen(url, timeout=0.5):
                return True
        return False


class Complaining(SmallServer):
    def argv(self) -> list[str]:
        return self.die_with_parent("sh", "-c", "echo no, thanks; exit 1")


class Deaf(SmallServer):
    start_timeout_s = 0.5

    def argv(self) -> list[str]:
        return self.die_with_parent("sleep", "60")


def wait_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while group_members(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_serves_between_entry_and_exit(tmp_path: Path) -> None:
    with SmallServer(tmp_path, None) as server:
        assert server.ready()
        assert server.pid is not None
        assert not port_is_free(server.port)
    assert server.pid is None
    assert port_is_free(server.port)


def test_killed_it_starts_again_on_the_same_port(tmp_path: Path) -> None:
    with SmallServer(tmp_path, None) as server:
        first = server.pid
        server.kill()
        assert not server.running
        server.start()
        assert server.ready()
        assert server.pid != first


def test_paused_it_holds_its_port_and_does_not_answer(tmp_path: Path) -> None:
    with SmallServer(tmp_path, None) as server:
        server.pause()
        assert server.running
        assert not server.ready()
        server.resume()
        assert server.ready()


def test_a_paused_server_stops(tmp_path: Path) -> None:
    with SmallServer(tmp_path, None) as server:
        server.pause()
        server.stop()
        assert not server.running


def test_stopping_twice_is_no_error(tmp_path: Path) -> None:
    with SmallServer(tmp_path, None) as server:
        server.stop()
        server.stop()
        server.kill()


def test_a_second_start_is_an_error(tmp_path: Path) -> None:
    with SmallServer(tmp_path, None) as server, pytest.raises(ServerError, match="runs already"):
        server.start()


def test_a_taken_port_is_an_error(tmp_path: Path) -> None:
    with SmallServer(tmp_path / "one", None) as one:
        two = SmallServer(tmp_path / "two", one.port)
        with pytest.raises(ServerError, match="is taken"):
            two.start()


def test_an_early_exit_shows_the_log(tmp_path: Path) -> None:
    server = Complaining(tmp_path, None)
    with pytest.raises(ServerError, match=r"exited with status 1.*\n.*no, thanks"):
        server.start()
    assert not server.running


def test_a_server_never_ready_is_killed(tmp_path: Path) -> None:
    server = Deaf(tmp_path, None)
    with pytest.raises(ServerError, match="was not ready within"):
        server.start()
    assert not server.running


def test_only_the_last_start_is_shown(tmp_path: Path) -> None:
    (tmp_path / "server.log").write_text("of an earlier start\n")
    server = Complaining(tmp_path, None)
    with pytest.raises(ServerError) as raised:
        server.start()
    assert "earlier" not in str(raised.value)


def test_it_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import os
        from pathlib import Path
        from tests.dev.test_process import SmallServer
        server = SmallServer(Path({str(tmp_path)!r}), None)
        server.start()
        print(server.pid, flush=True)
        os._exit(0)
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    wait_gone(int(done.stdout))


def test_one_that_outlives_its_parent_is_found_again(tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import os
        from pathlib import Path
        from tests.dev.test_process import SmallServer
        server = SmallServer(Path({str(tmp_path)!r}), None, outlive_parent=True)
        server.start()
        print(server.pid, server.port, flush=True)
        os._exit(0)
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    pid, port = map(int, done.stdout.split())
    found = SmallServer(tmp_path, None)
    assert found.attach()
    assert (found.pid, found.port) == (pid, port)
    found.stop()
    assert not found.attach()


def test_a_reused_process_id_is_not_taken_for_the_server(tmp_path: Path) -> None:
    with SmallServer(tmp_path, None) as server:
        record = tmp_path / "process.json"
        record.write_text(record.read_text().replace('"started_ticks": ', '"started_ticks": 9'))
        assert not SmallServer(tmp_path, None).attach()
        assert server.running


def test_free_ports_lie_below_the_ephemeral_range() -> None:
    low, _ = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert all(free_port() < low for _ in range(20))
