"""A small real HTTP server for products that do not run here.

A vendor keeps state and answers as its documentation says. Faults are what a network, a gateway
or a bad day does to an answer; `drop` and `hang` happen after the vendor has acted.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit

from responders.http import MAX_ANSWER


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode()))

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Reply:
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[..., Reply]


def route(method: str, pattern: str) -> Callable[[Handler], Handler]:
    """Marks a method of a vendor as the answer to requests that match."""

    def mark(handler: Handler) -> Handler:
        handler.__dict__["route"] = (method, re.compile(pattern))
        return handler

    return mark


class Vendor:
    """State and routes of one product; a subclass per vendor."""

    #: (header, value) that a request needs; without it 401.
    needs: ClassVar[tuple[str, str] | None] = None
    #: Paths that need no such header.
    open_paths: ClassVar[str] = "$^"

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.fault = ""
        self.fault_on = ""
        self.refusal: Any = None
        self.effects = 0
        self.released = threading.Event()

    def arm(self, fault: str, on: str = "", refusal: Any = None) -> None:
        """Let each request whose line matches `on` suffer the fault."""
        self.fault, self.fault_on, self.refusal = fault, on, refusal

    def handle(self, request: Request) -> Reply:
        self.requests.append(request)
        if self.needs and not re.search(self.open_paths, request.path):
            name, value = self.needs
            if request.headers.get(name, "") != value:
                return Reply(401, {"message": "who are you?"})
        for name in dir(type(self)):
            handler = getattr(type(self), name)
            method, pattern = getattr(handler, "route", ("", re.compile("")))
            if method == request.method and (found := pattern.fullmatch(request.path)):
                reply: Reply = handler(self, request, *map(unquote, found.groups()))
                return reply
        return Reply(404, {"message": "no such resource"})


class Answers(BaseHTTPRequestHandler):
    """Speaks HTTP/1.1; the first part of a path names the vendor."""

    protocol_version = "HTTP/1.1"
    # One write for head and body: two would wait for an acknowledgement in between.
    wbufsize = 65_536
    disable_nagle_algorithm = True
    vendors: ClassVar[dict[str, Vendor]] = {}

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""

    def _any(self) -> None:
        url = urlsplit(self.path)
        _, mount, path = url.path.split("/", 2)
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        vendor = self.vendors[mount]
        request = Request(self.command, f"/{path}", query, headers, body)
        struck = vendor.fault and re.search(vendor.fault_on, request.line)
        self._answer(vendor, request, vendor.fault if struck else "")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any

    def _answer(self, vendor: Vendor, request: Request, fault: str) -> None:
        if fault in ("drop", "hang", ""):
            reply = vendor.handle(request)
            if fault == "hang":
                vendor.released.wait(20)
            if fault:
                self.close_connection = True
                return
        else:
            vendor.requests.append(request)
            # A product that repeats what it was told, secrets and all.
            told = f"no: {dict(request.headers)} {request.body.decode('utf-8', 'replace')}"
            reply = Reply(int(fault) if fault.isdigit() else 200, {"message": told[:4_000]})
            if fault == "429":
                reply.headers["Retry-After"] = "7"
            if fault == "302":
                reply.headers["Location"] = "http://169.254.169.254/latest/meta-data/"
            if fault == "oversized":
                reply.body = b"x" * (MAX_ANSWER + 70_000)
            if fault == "refusal":
                reply.body = vendor.refusal
        self._send(reply)

    def _send(self, reply: Reply) -> None:
        raw = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        data = b"" if reply.body is None or reply.status == 204 else raw
        try:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


@contextmanager
def serving() -> Iterator[Callable[[Vendor], str]]:
    """A server; what it yields mounts a vendor and returns its url."""

    class Own(Answers):
        vendors: ClassVar[dict[str, Vendor]] = {}

    class Wide(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Wide(("127.0.0.1", 0), Own)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()

    def mount(vendor: Vendor) -> str:
        name = f"v{len(Own.vendors)}"
        Own.vendors[name] = vendor
        return f"http://127.0.0.1:{server.server_address[1]}/{name}"

    try:
        yield mount
    finally:
        for vendor in Own.vendors.values():
            vendor.released.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
