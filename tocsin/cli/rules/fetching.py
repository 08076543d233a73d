"""An archive over HTTPS, from hosts that the configuration allows, with a digest known before."""

from __future__ import annotations

import ssl
from hashlib import sha256
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import httpx

from tocsin.errors import ConfigError, TocsinError

if TYPE_CHECKING:
    from collections.abc import Collection

#: Largest archive, bytes; all published rules packed take 4 million.
MAX_ARCHIVE = 64 * 1024 * 1024
#: Redirects that are followed; a release's download has one or two.
MAX_REDIRECTS = 5
#: Seconds to connect, and to wait for more of an answer.
PATIENCE = 30.0

_HEADERS = {"User-Agent": "tocsin", "Accept-Encoding": "identity"}
ARCHIVES = (".tar.gz", ".tgz", ".zip")


class PullError(TocsinError):
    """The archive cannot be fetched, or is not the one that was meant."""

    code = "pull"


def name_of(url: str) -> str:
    """The file name at the end of a URL; raises ConfigError if it is no archive's."""
    name = PurePosixPath(urlsplit(url).path).name
    if not name.endswith(ARCHIVES) or name in ARCHIVES or "\\" in name:
        raise ConfigError(f"{url} names no archive ({', '.join(ARCHIVES)}); say --to FILE")
    return name


def fetch(url: str, digest: str, hosts: Collection[str], stream: IO[bytes]) -> int:
    """Write what is at `url` to `stream`; its size. Every redirect's host is checked too.

    Raises ConfigError for a host that is not allowed, PullError for what cannot be fetched, is
    too large, or has another SHA-256 than `digest`.
    """
    made, size = sha256(), 0
    try:
        with httpx.Client(
            verify=ssl.create_default_context(), timeout=PATIENCE, follow_redirects=False
        ) as client:
            for _ in range(MAX_REDIRECTS + 1):
                _allowed(url, hosts)
                with client.stream("GET", url, headers=_HEADERS) as answer:
                    if answer.has_redirect_location:
                        url = urljoin(url, answer.headers["Location"])
                        continue
                    if not answer.is_success:
                        raise PullError(f"{url} answers {answer.status_code}")
                    for block in answer.iter_raw(1 << 16):
                        size += len(block)
                        if size > MAX_ARCHIVE:
                            raise PullError(f"{url} has over {MAX_ARCHIVE} bytes")
                        made.update(block)
                        stream.write(block)
                    break
            else:
                raise PullError(f"{url}: over {MAX_REDIRECTS} redirects")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise PullError(f"{url} cannot be fetched: {type(error).__name__}: {error}") from None
    if made.hexdigest() != digest.lower():
        raise PullError(
            f"{url} has the SHA-256 {made.hexdigest()}, not {digest}: it is another file than "
            "the one you looked at. Nothing was changed."
        )
    return size


def _allowed(url: str, hosts: Collection[str]) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https":
        raise ConfigError(f"{url} does not begin with https://")
    host = parts.hostname or ""
    if host not in hosts:
        raise ConfigError(
            f"{host or url} is none of the hosts that rules may come from: add it to rules.hosts "
            "in tocsin.yaml if you trust it"
        )
