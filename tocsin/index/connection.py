"""The Elasticsearch client's arguments from the settings: verified TLS, secrets by reference."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from tocsin.config import secret
from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

#: Deadline of one request, s.
REQUEST_TIMEOUT = 30.0


def client_options(
    url: str, *, api_key: str = "", username: str = "", password: str = "", ca_file: Path | None
) -> dict[str, Any]:
    """Keyword arguments of AsyncElasticsearch; `api_key` and `password` are references.

    Raises ConfigError for what cannot work and for a secret that would cross a network in clear
    text. Certificates are always verified, against `ca_file` where one is given.
    """
    address = check_address("store.url", url)
    options: dict[str, Any] = {
        "request_timeout": REQUEST_TIMEOUT,
        "max_retries": 0,
        "retry_on_timeout": False,
    }
    if address.scheme == "https":
        options["verify_certs"] = True
        if ca_file is not None:
            options["ca_certs"] = str(ca_file)
    if api_key and username:
        raise ConfigError("store.api_key and store.username exclude each other; keep one")
    if api_key or username:
        check_private("store.url", address)
    if api_key:
        options["api_key"] = secret(api_key)
    elif username:
        options["basic_auth"] = (username, secret(password))
    return options


def check_address(name: str, url: str) -> SplitResult:
    """The parts of an address; raises ConfigError if it is none or holds a password."""
    address = urlsplit(url)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise ConfigError(f"{name} '{url}' is no address; write it like https://host.example.com")
    if address.username or address.password:
        raise ConfigError(f"{name} holds a user or password; they have keys of their own")
    return address


def check_private(name: str, address: SplitResult) -> None:
    """Raises ConfigError unless nobody on a network can listen: TLS, or this very machine."""
    if address.scheme == "https" or address.hostname == "localhost":
        return
    try:
        loopback = ip_address(address.hostname or "").is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ConfigError(f"{name} would send the secret in clear text; write https://")
