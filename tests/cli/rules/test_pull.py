"""`tocsin rules pull`: only over HTTPS, from allowed hosts, the very file that was meant."""

from __future__ import annotations

import hashlib
import io
import ssl
import tarfile
import threading
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from detect.sigma import load_rules
from tests.cli.rules.conftest import Place, shell_rule
from tests.ingest.sources.certificates import make_certificates
from tocsin.cli.rules import fetching

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.ingest.sources.certificates import Certificates

    Run = Callable[..., Any]


def packed(*contents: dict[str, Any]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for number, content in enumerate(contents):
            data = yaml.safe_dump(content).encode()
            info = tarfile.TarInfo(f"rules/{number}.yml")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Server:
    """What it answers, by path: bytes, or where it redirects to."""

    def __init__(self) -> None:
        self.files: dict[str, bytes | str] = {}
        self.asked: list[str] = []
        self.url = ""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@contextmanager
def serving(server: Server, certificates: Certificates) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked.append(self.path)
            found = server.files.get(self.path)
            self.send_response(404 if found is None else 302 if isinstance(found, str) else 200)
            if isinstance(found, str):
                self.send_header("Location", found)
            body = found if isinstance(found, bytes) else b""
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing: the test says what matters."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server, certificates.server_key)
    listener.socket = context.wrap_socket(listener.socket, server_side=True)
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    server.url = f"https://localhost:{listener.server_port}"
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join(20)


@pytest.fixture
def server(
    certificates: Certificates, site: Place, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    site.configure(hosts=["localhost"])
    with serving(Server(), certificates) as server:
        yield server


def test_an_archive_takes_its_place_and_the_old_one_is_kept(
    run: Run, site: Place, server: Server
) -> None:
    first, second = packed(shell_rule()), packed(shell_rule(title="New"), shell_rule(
        id="00000000-0000-4000-8000-000000000002", name="two"))  # fmt: skip
    server.files = {"/v1/all.tar.gz": first, "/v2/all.tar.gz": second}
    place = site.directory / "data" / "rules" / "all.tar.gz"
    ran = run("pull", f"{server.url}/v1/all.tar.gz", "--sha256", digest(first), "--json")
    assert ran.code == 0
    assert ran.rows() == [
        {"file": str(place), "bytes": len(first), "added": 1, "removed": 0, "changed": 0}
    ]
    assert "it is not used yet: add" in ran.err
    assert place.read_bytes() == first
    site.configure(hosts=["localhost"], paths=["data/rules/all.tar.gz"])
    ran = run("pull", f"{server.url}/v2/all.tar.gz", "--sha256", digest(second).upper())
    assert ran.code == 0
    assert "1 rules before, 2 after: 1 added, 0 removed, 1 changed (0 in their logic)" in ran.err
    assert "not used yet" not in ran.err
    assert place.read_bytes() == second
    assert place.with_name("all.tar.gz.previous").read_bytes() == first
    assert sorted(path.name for path in place.parent.iterdir()) == [
        "all.tar.gz",
        "all.tar.gz.previous",
    ]
    assert len(load_rules([place], builtin=False).rules) == 2


def test_redirects_are_followed_where_they_may_lead(run: Run, site: Place, server: Server) -> None:
    data = packed(shell_rule())
    server.files = {"/latest/all.tar.gz": "/cdn/xyz", "/cdn/xyz": data}
    to = site.directory / "here.tgz"
    url = f"{server.url}/latest/all.tar.gz"
    assert run("pull", url, "--sha256", digest(data), "--to", to).code == 0
    assert to.read_bytes() == data
    server.files["/latest/all.tar.gz"] = "https://elsewhere.example.com/all.tar.gz"
    ran = run("pull", url, "--sha256", digest(data), "--to", to)
    assert ran.code == 2
    assert "elsewhere.example.com is none of the hosts" in ran.err
    server.files["/latest/all.tar.gz"] = f"http://localhost{url.removeprefix('https://localhost')}"
    ran = run("pull", url, "--sha256", digest(data), "--to", to)
    assert (ran.code, "does not begin with https://" in ran.err) == (2, True)
    server.files["/latest/all.tar.gz"] = "/latest/all.tar.gz"
    ran = run("pull", url, "--sha256", digest(data), "--to", to)
    assert (ran.code, "over 5 redirects" in ran.err) == (3, True)


def emptied() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("readme.txt", "no rules")
    return made.getvalue()


@pytest.mark.parametrize(
    ("data", "told", "code", "words"),
    [
        (b"x" * 100, "0" * 64, 3, "another file than the one you looked at"),
        (None, "0" * 64, 3, "answers 404"),
        (packed(), "", 3, "holds no rule"),
        (b"no archive", "", 3, "holds no rule"),
        (b"x" * 2_000, "", 3, "has over 1000 bytes"),
    ],
    # Names of their own: a packed archive holds the second it was made in, and workers differ.
    ids=["another file", "not there", "empty", "no archive", "too large"],
)
def test_what_is_wrong_changes_nothing(
    run: Run, site: Place, server: Server, monkeypatch: pytest.MonkeyPatch,
    data: bytes | None, told: str, code: int, words: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(fetching, "MAX_ARCHIVE", 1_000)
    place = site.directory / "data" / "rules" / "all.tar.gz"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"as it was")
    if data is not None:
        server.files = {"/all.tar.gz": data}
    given = told or digest(data or b"")
    ran = run("pull", f"{server.url}/all.tar.gz", "--sha256", given)
    assert ran.code == code
    assert words in ran.err
    assert [path.read_bytes() for path in place.parent.iterdir()] == [b"as it was"]


def test_an_archive_without_rules_is_refused(run: Run, site: Place, server: Server) -> None:
    data = emptied()
    server.files = {"/all.zip": data}
    ran = run("pull", f"{server.url}/all.zip", "--sha256", digest(data))
    assert (ran.code, "holds no rule" in ran.err) == (3, True)


def test_rules_with_mistakes_are_said_and_the_good_ones_taken(
    run: Run, site: Place, server: Server
) -> None:
    data = packed(shell_rule(), shell_rule(id=None, name="other", level="huge"))
    server.files = {"/all.tar.gz": data}
    ran = run("pull", f"{server.url}/all.tar.gz", "--sha256", digest(data))
    assert ran.code == 0
    assert "1 mistakes in it: tocsin rules lint" in ran.err


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://localhost/all.tar.gz", "does not begin with https://"),
        ("https://example.com/all.tar.gz", "example.com is none of the hosts"),
        ("https://localhost@example.com/all.tar.gz", "example.com is none of the hosts"),
        ("file:///etc/all.zip", "does not begin with https://"),
        ("https://localhost/readme.txt", "names no archive"),
        ("https://localhost/.zip", "names no archive"),
    ],
)
def test_a_url_that_is_not_allowed(
    run: Run, site: Place, server: Server, url: str, words: str
) -> None:
    ran = run("pull", url, "--sha256", "0" * 64)
    assert ran.code == 2
    assert words in ran.err
    assert server.asked == []


def test_a_digest_and_a_suffix_are_needed(run: Run, site: Place, server: Server) -> None:
    url = f"{server.url}/all.tar.gz"
    assert run("pull", url, "--sha256", "abc").code == 2
    assert run("pull", url).code == 2
    assert run("pull", url, "--sha256", "0" * 64, "--to", site.directory / "rules.yml").code == 2
    assert server.asked == []


def test_a_stranger_is_not_trusted(
    run: Run, site: Place, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    site.configure(hosts=["localhost"])
    with serving(Server(), certificates) as server:
        data = packed(shell_rule())
        server.files = {"/all.tar.gz": data}
        ran = run("pull", f"{server.url}/all.tar.gz", "--sha256", digest(data))
    assert ran.code == 3
    assert "cannot be fetched" in ran.err
    assert server.asked == []
