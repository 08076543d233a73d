"""The command line on a data directory that the real pipeline made of a few lines."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import yaml

from tests.cli.asking import SECRETS, site
from tests.flow.world import configure
from tests.playbooks.counting_target import CountingTarget, counting_target
from tocsin.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ATTACKER = "203.0.113.77"
#: A user name that would colour a terminal, move its cursor, set its title, and markup of rich.
HOSTILE = "\x1b[31m\x9b2J\x1b]0;owned\x07[bold]x[/bold]\u202e"


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    def rows(self) -> list[dict[str, Any]]:
        """Standard output as JSON lines."""
        return [orjson.loads(line) for line in self.out.splitlines()]


Tocsin = "Callable[..., Ran]"


@pytest.fixture
def tocsin(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run `tocsin ARGUMENTS…` in this process."""

    def run(*arguments: object) -> Ran:
        code: Any = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code or 0
        sys.stdout.flush()
        return Ran(code, *capfd.readouterr())

    return run


def lines() -> list[bytes]:
    """An hour's log: a guessed password, two lines nobody can read, and an ordinary one."""
    failed = [
        b"Nov 22 08:%02d:%02d web-01 sshd[4242]: Failed password for invalid user admin%d "
        b"from 203.0.113.77 port %d ssh2" % (n // 60, n % 60, n, 40_000 + n)
        for n in range(30)
    ]
    good = (
        b"Nov 22 08:05:00 web-01 sshd[4243]: Accepted password for deploy "
        b"from 203.0.113.77 port 41000 ssh2"
    )
    hostile = (
        f"Nov 22 08:06:00 web-01 sshd[4244]: Failed password for invalid user {HOSTILE} "
        "from 198.51.100.9 port 40001 ssh2"
    ).encode()
    return [*failed, good, hostile, b'{"cut": "off', bytes(range(128, 160)) * 8]


@contextmanager
def target() -> Iterator[CountingTarget]:
    """A counting target on a loop of its own: the commands under test bring their own loops."""
    ready, stop = threading.Event(), threading.Event()
    found: list[CountingTarget] = []

    async def serve() -> None:
        async with counting_target() as product:
            found.append(product)
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(20)
        yield found[0]
    finally:
        stop.set()
        thread.join(20)


@dataclass(frozen=True, slots=True)
class Made:
    """A site whose pipeline ran and stopped."""

    directory: Path
    product: CountingTarget

    @property
    def config(self) -> Path:
        return self.directory / "tocsin.yaml"


@pytest.fixture(scope="session")
def product() -> Iterator[CountingTarget]:
    with target() as product:
        yield product


@pytest.fixture
def asking_site(tmp_path: Path, product: CountingTarget, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration of a new site that asks, its secrets in the environment."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    product.held.clear()
    return site(tmp_path / "site", product.url)


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory, product: CountingTarget) -> Path:
    """Made once, by the real command in a process of its own."""
    directory = tmp_path_factory.mktemp("site")
    (directory / "auth.log").write_bytes(b"\n".join(lines()) + b"\n")
    configure(
        directory,
        product.url,
        sources=[{"path": "auth.log", "follow": False, "source": "web-01"}],
        data_dir="data",
    )
    ran = command(directory, "run", "-c", directory / "tocsin.yaml", "--until-idle", 60)
    assert ran.code == 0, ran.err
    assert "dry run" not in ran.err
    assert "ENFORCING" in ran.err
    return directory


def command(directory: Path, *arguments: object) -> Ran:
    """Run a command in a process of its own, to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "tocsin.cli", *map(str, arguments)],
        cwd=directory,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        capture_output=True,
        timeout=100,
        check=False,
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def made(original: Path, product: CountingTarget, tmp_path: Path) -> Made:
    """A copy of the site that a test may spoil; it is the only one that knows its directory."""
    directory = tmp_path / "site"
    shutil.copytree(original, directory)
    text = (directory / "tocsin.yaml").read_text("utf-8").replace(str(original), str(directory))
    # The copied log file would be another file, to be read anew.
    content = yaml.safe_load(text) | {"sources": []}
    (directory / "tocsin.yaml").write_text(yaml.safe_dump(content), "utf-8")
    return Made(directory, product)
