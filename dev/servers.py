"""Kafka, Elasticsearch and Keycloak for tests: `from dev.servers import kafka, elasticsearch`.

From a shell, for work by hand: `python -m dev.servers fetch|start|stop|status [NAME]`. A server
started so outlives the command and keeps its data in `.dev/run/NAME`.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dev.elasticsearch import ElasticsearchServer, elasticsearch
from dev.fetch import DOWNLOADS, fetch
from dev.kafka import KafkaServer, kafka
from dev.keycloak import KeycloakServer, keycloak
from dev.process import LOOPBACK, Server, ServerError

__all__ = [
    "ElasticsearchServer",
    "KafkaServer",
    "KeycloakServer",
    "Server",
    "ServerError",
    "elasticsearch",
    "fetch",
    "kafka",
    "keycloak",
]


def _kafka(data_dir: Path, port: int) -> Server:
    return KafkaServer(data_dir, port, outlive_parent=True)


def _elasticsearch(data_dir: Path, port: int) -> Server:
    return ElasticsearchServer(data_dir, port, outlive_parent=True)


def _keycloak(data_dir: Path, port: int) -> Server:
    return KeycloakServer(data_dir, port, outlive_parent=True)


# Name -> its usual port and how it is made.
SERVERS: dict[str, tuple[int, Callable[[Path, int], Server]]] = {
    "kafka": (9092, _kafka),
    "elasticsearch": (9200, _elasticsearch),
    "keycloak": (8080, _keycloak),
}


def emit(line: str) -> None:
    """Write one line for the person at the shell."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _server(name: str, port: int | None = None) -> Server:
    usual_port, make = SERVERS[name]
    return make(DOWNLOADS / "run" / name, usual_port if port is None else port)


def _fetch(names: Sequence[str]) -> None:
    for name in names:
        began = time.monotonic()
        folder = fetch(name)
        emit(f"{name}: {folder} ({time.monotonic() - began:.1f} s)")


def _start(name: str, port: int | None) -> None:
    server = _server(name, port)
    if server.attach():
        emit(f"{name}: runs already, process {server.pid}, {LOOPBACK}:{server.port}")
        return
    fetch(name)
    began = time.monotonic()
    server.start()
    seconds = time.monotonic() - began
    emit(f"{name}: process {server.pid}, {LOOPBACK}:{server.port} ({seconds:.1f} s)")


def _stop(name: str) -> None:
    server = _server(name)
    if server.attach():
        server.stop()
        emit(f"{name}: stopped")
    else:
        emit(f"{name}: does not run")


def _status() -> None:
    for name in SERVERS:
        server = _server(name)
        if not server.attach():
            emit(f"{name}: does not run")
        else:
            state = "ready" if server.ready() else "not ready"
            emit(f"{name}: {state}, process {server.pid}, {LOOPBACK}:{server.port}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status, 1 for a server that failed."""
    parser = argparse.ArgumentParser(prog="python -m dev.servers", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    fetching = commands.add_parser("fetch", help="download servers into .dev/")
    fetching.add_argument("names", nargs="*", metavar="NAME", help="all by default")
    starting = commands.add_parser("start", help="start a server and wait until it serves")
    starting.add_argument("name", choices=SERVERS)
    starting.add_argument("--port", type=int, help="on 127.0.0.1; the server's usual one")
    stopping = commands.add_parser("stop", help="stop a server that `start` left running")
    stopping.add_argument("name", choices=SERVERS)
    commands.add_parser("status", help="show which servers run")
    options = parser.parse_args(argv)
    try:
        match options.command:
            case "fetch":
                unknown = [name for name in options.names if name not in SERVERS]
                if unknown:
                    parser.error(f"no server {unknown[0]!r}; there are {', '.join(SERVERS)}")
                _fetch(options.names or list(SERVERS))
            case "start":
                _start(options.name, options.port)
            case "stop":
                _stop(options.name)
            case "status":
                _status()
    except ServerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
