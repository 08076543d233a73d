"""Certificates for one test run: an authority, a server, a client, and a stranger's client."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """PEM files."""

    authority: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path
    stranger: Path
    stranger_key: Path

    def client_context(self, who: str = "") -> ssl.SSLContext:
        """A client's context that trusts the authority; `who` is `client`, `stranger` or none."""
        context = ssl.create_default_context(cafile=self.authority)
        if who:
            context.load_cert_chain(getattr(self, who), getattr(self, f"{who}_key"))
        return context


def make_certificates(folder: Path) -> Certificates:
    """Made with the openssl command, on elliptic curves because that is fast."""
    made: dict[str, Path] = {}
    for authority in ("authority", "elsewhere"):
        _request(folder, authority, "-x509", "-days", "2", "-addext", "basicConstraints=CA:TRUE")
    for name, by in (("server", "authority"), ("client", "authority"), ("stranger", "elsewhere")):
        _request(folder, name, out=f"{name}.csr")
        extension = folder / f"{name}.ext"
        extension.write_text("subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost\n")
        _openssl(
            folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{by}.pem", "-CAkey",
            f"{by}.key", "-CAcreateserial", "-days", "2", "-extfile", str(extension),
            "-out", f"{name}.pem",
        )  # fmt: skip
        made[name], made[f"{name}_key"] = folder / f"{name}.pem", folder / f"{name}.key"
    return Certificates(authority=folder / "authority.pem", **made)


def _request(folder: Path, name: str, *more: str, out: str = "") -> None:
    _openssl(
        folder, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
        "-nodes", "-keyout", f"{name}.key", "-out", out or f"{name}.pem",
        "-subj", f"/CN={name}.example.com", *more,
    )  # fmt: skip


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
