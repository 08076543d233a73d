"""One Keycloak on loopback, in development mode, with its realms in memory."""

import http.client
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar

from dev.fetch import fetch, version
from dev.process import LOOPBACK, PROBE_TIMEOUT_S, Server

#: The administrator of the realm `master`, who exists from the first start on.
ADMIN, ADMIN_PASSWORD = "admin", "admin"


class KeycloakServer(Server):
    """A single Keycloak; it forgets everything when it stops."""

    name: ClassVar[str] = "keycloak"
    # The first start builds the server, and others may want the cores: 115 s at a load of 12.
    start_timeout_s: ClassVar[float] = 240.0

    @property
    def url(self) -> str:
        """The base address of the HTTP interface, without a trailing slash."""
        return f"http://{LOOPBACK}:{self.port}"

    def prepare(self) -> None:
        (self.data_dir / "tmp").mkdir(exist_ok=True)

    def argv(self) -> list[str]:
        home = fetch(self.name) / f"keycloak-{version(self.name)}"
        return self.die_with_parent(
            str(home / "bin" / "kc.sh"), "start-dev", "--db=dev-mem", "--cache=local",
            f"--http-host={LOOPBACK}", f"--http-port={self.port}",
        )  # fmt: skip

    def environment(self) -> Mapping[str, str]:
        return {
            "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN,
            "KC_BOOTSTRAP_ADMIN_PASSWORD": ADMIN_PASSWORD,
            "JAVA_OPTS_KC_HEAP": "-Xms128m -Xmx512m",
            "JAVA_OPTS_APPEND": f"-Djava.io.tmpdir={self.data_dir / 'tmp'}",
            "PATH": os.environ.get("PATH", os.defpath),
        }

    def ready(self) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=PROBE_TIMEOUT_S)
        try:
            connection.request("GET", "/realms/master")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def keycloak(data_dir: Path, port: int | None = None) -> AbstractContextManager[KeycloakServer]:
    """A context manager that runs a Keycloak, its log in `data_dir`, and yields it ready.

    Args:
        data_dir: holds its log and temporary files; made when missing, kept afterwards.
        port: of the HTTP interface on 127.0.0.1; a free one by default, the same over restarts.

    Raises:
        ServerError: it could not be fetched, started or stopped.
    """
    return KeycloakServer(data_dir, port)
