"""The status page on loopback: `/` for people, `/api/status` for programs, `/metrics`, `/healthz`.

Server-rendered, without scripts; event text is hostile, so everything is escaped and the content
security policy allows nothing but the page's own style. Only the configured host names are
answered, which closes DNS rebinding. What changes anything is in `control`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tocsin.clock import iso
from tocsin.console import view
from tocsin.console.rendering import TEMPLATES, environment, headers
from tocsin.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from tocsin.clock import Clock
    from tocsin.console.control import Control
    from tocsin.console.pages import Pages
    from tocsin.metrics import Metrics

#: Rows shown of each list, and the run events from which runs are put together.
ROWS, RUN_EVENTS = 50, 600
#: Fewer of the dead letters: each brings its original along.
LETTERS = 20
#: Longest wait for the store, seconds: the page tells of a store that is away, and the rest.
PATIENCE = 5.0

_SECURITY_HEADERS = headers()


class Documents(Protocol):
    """What the page reads: the store's lists."""

    async def list(self, kind: str, *, limit: int) -> list[dict[str, Any]]: ...

    async def count(self, kind: str) -> int: ...


def allowed_hosts(host: str, url: str = "") -> list[str]:
    """The Host headers to answer for a console that listens on `host` and is reached at `url`."""
    hosts = ["127.0.0.1", "localhost", "[::1]", f"[{host}]" if ":" in host else host]
    reached = urlsplit(url).hostname
    if reached and reached not in hosts:
        hosts.append(f"[{reached}]" if ":" in reached else reached)
    return hosts


class Console:
    """The pages over a store and the metrics of this process."""

    def __init__(
        self,
        documents: Documents,
        metrics: Metrics,
        mode: str,
        unhealthy: Callable[[], list[str]],
        clock: Clock,
    ) -> None:
        """`unhealthy` names the stages that are down; an empty list is good health."""
        self._documents = documents
        self._metrics = metrics
        self._mode = mode
        self._unhealthy = unhealthy
        self._clock = clock
        self._acting = False
        self._page_template = environment().get_template("status.html")
        self._style = (TEMPLATES / "style.css").read_text("utf-8")

    async def status(self) -> dict[str, Any]:
        """Everything the page shows, as plain JSON; `store` says why lists are missing."""
        stages = [
            {
                "stage": name,
                "received": account.received,
                "sent": account.sent,
                "outputs": account.outputs,
                "filtered": dict(account.filtered),
                "dead": dict(account.dead),
                "errors": dict(account.errors),
                "balanced": account.balanced,
            }
            for name, account in self._metrics.accounts.items()
        ]
        status = {
            "mode": self._mode,
            "at": self._clock.now(),
            "down": self._unhealthy(),
            "stages": stages,
            "store": "",
            "events": None,
            "alerts": [],
            "runs": [],
            "leases": [],
            "dead_letters": [],
        }
        try:
            async with asyncio.timeout(PATIENCE):
                return status | await self._stored()
        except TimeoutError:
            status["store"] = f"no answer within {PATIENCE:.0f} s"
        except StoreError as error:
            status["store"] = str(error)
        return status

    async def _stored(self) -> dict[str, Any]:
        letters = await self._documents.list("dead_letters", limit=LETTERS)
        return {
            "events": await self._documents.count("events"),
            "alerts": await self._documents.list("alerts", limit=ROWS),
            "runs": await self._documents.list("runs", limit=RUN_EVENTS),
            "leases": await self._documents.list("leases", limit=ROWS),
            "dead_letters": [
                {name: value for name, value in letter.items() if name != "original"}
                for letter in letters
            ],
        }

    def app(
        self,
        allowed_hosts: list[str],
        control: Control | None = None,
        pages: Pages | None = None,
    ) -> Starlette:
        """The ASGI application, answering to `allowed_hosts` only."""
        self._acting = pages is not None
        return Starlette(
            routes=[
                Route("/", self._page),
                Route("/style.css", self._css),
                Route("/api/status", self._api),
                Route("/metrics", self._prometheus),
                Route("/healthz", self._health),
                *(control.routes() if control is not None else ()),
                *(pages.routes() if pages is not None else ()),
            ],
            middleware=[
                Middleware(TrustedHostMiddleware, allowed_hosts=allowed_hosts, www_redirect=False)
            ],
        )

    async def _page(self, _: Request) -> Response:
        status = await self.status()
        now = status["at"]
        rules = {row["id"]: row["rule"] for row in (view.alert(a, now) for a in status["alerts"])}
        page = self._page_template.render(
            acting=self._acting,
            mode=status["mode"],
            at=iso(now),
            down=status["down"],
            store=status["store"],
            events=status["events"],
            stages=status["stages"],
            alerts=view.alerts(status["alerts"], now),
            leases=view.leases(status["leases"], now),
            runs=view.runs(status["runs"], rules, now)[:ROWS],
            dead_letters=[view.dead_letter(document, now) for document in status["dead_letters"]],
        )
        return HTMLResponse(page, headers=_SECURITY_HEADERS)

    async def _css(self, _: Request) -> Response:
        return PlainTextResponse(self._style, media_type="text/css", headers=_SECURITY_HEADERS)

    async def _api(self, _: Request) -> Response:
        return JSONResponse(await self.status(), headers=_SECURITY_HEADERS)

    async def _prometheus(self, _: Request) -> Response:
        return Response(
            generate_latest(self._metrics.registry),
            media_type=CONTENT_TYPE_LATEST,
            headers=_SECURITY_HEADERS,
        )

    async def _health(self, _: Request) -> Response:
        down = self._unhealthy()
        text = f"down: {', '.join(down)}\n" if down else "ok\n"
        return PlainTextResponse(text, status_code=503 if down else 200, headers=_SECURITY_HEADERS)
