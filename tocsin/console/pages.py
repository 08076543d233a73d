"""The pages people act on: approvals, runs, leases. Server-rendered, without scripts.

Looking needs no login, as on the status page; acting needs a token of response.approvers, a form
of ours, and for an approval the plan that the page showed. GET changes nothing, links included.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl, urlsplit

from starlette.responses import RedirectResponse
from starlette.routing import Route

from tocsin.console import view
from tocsin.console.control import Refused, read_body
from tocsin.console.links import LinkRefused
from tocsin.console.questions import question_id
from tocsin.console.sessions import COOKIE, NotAllowed, check_origin
from tocsin.errors import ConfigError, TocsinError
from tocsin.ids import digest
from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from tocsin.approvers import Approvers, Person
    from tocsin.clock import Clock
    from tocsin.console.desk import Desk, Records, Told
    from tocsin.console.links import Claims, Links
    from tocsin.console.questions import Question
    from tocsin.console.rendering import Writer
    from tocsin.console.sessions import Session, Sessions

    Form = dict[str, str]

#: Rows of a list, and run events that runs are put together from.
ROWS, RUN_EVENTS = 50, 600
#: Most fields of a form.
MAX_FIELDS = 10


class Acts(Protocol):
    """What else people may do; each raises TocsinError."""

    async def release(self, verb: str, target: str, by: str) -> None: ...

    async def cancel(self, run_id: str, by: str, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the pages are made of."""

    desk: Desk
    records: Records
    approvers: Approvers
    sessions: Sessions
    links: Links
    acts: Acts
    clock: Clock
    writer: Writer


class Pages:
    """Approvals, runs and leases for people."""

    def __init__(self, rooms: Rooms) -> None:
        self._in = rooms
        self._links_lock = asyncio.Lock()

    def routes(self) -> list[Route]:
        """All routes; what is refused is a page too."""
        table: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
            ("GET", "/approvals", self._approvals),
            ("GET", "/approvals/{id}", self._approval),
            ("POST", "/approvals/{id}", self._answer),
            ("GET", "/runs", self._runs),
            ("GET", "/runs/{id}", self._run),
            ("POST", "/runs/{id}/cancel", self._cancel),
            ("GET", "/leases", self._leases),
            ("POST", "/leases/release", self._release),
            ("GET", "/sign-in", self._sign_in_form),
            ("POST", "/sign-in", self._sign_in),
            ("POST", "/sign-out", self._sign_out),
            ("GET", "/answer/{link}", self._link),
            ("POST", "/answer/{link}", self._answer_link),
        ]
        return [Route(path, self._told(handler), methods=[verb]) for verb, path, handler in table]

    def _told(
        self, handler: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        @wraps(handler)
        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except NotAllowed as error:
                return self._page(request, "refused.html", 403, why=printable(error))
            except LinkRefused as error:
                return self._page(request, "refused.html", 410, why=printable(error))
            except Refused as error:
                return self._page(request, "refused.html", error.status, why=printable(error))
            except ConfigError as error:
                return self._page(request, "refused.html", 422, why=printable(error))
            except TocsinError as error:
                return self._page(request, "refused.html", 503, why=printable(error))

        return answer

    def _page(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        session: Session | None = self._in.sessions.of(request)
        here = request.url.path if request.method == "GET" else "/approvals"
        return self._in.writer.page(
            template,
            status,
            **{"refresh": 0, "here": here, "session": session, **values},
        )

    async def _form(self, request: Request) -> Form:
        """The fields of a form of ours; raises NotAllowed for another site's."""
        check_origin(request, urlsplit(request.headers.get("origin", "")))
        try:
            body = (await read_body(request)).decode()
            return dict(parse_qsl(body, max_num_fields=MAX_FIELDS, keep_blank_values=True))
        except ValueError as error:
            raise NotAllowed(f"this is no form: {error}") from None

    # approvals

    async def _approvals(self, request: Request) -> Response:
        now = self._in.clock.now()
        found = await self._in.desk.open()
        shown = [view.question(await self._in.desk.whole(each), now) for each in found[:ROWS]]
        return self._page(
            request, "approvals.html", questions=shown, more=len(found) - len(shown), refresh=10
        )

    async def _approval(self, request: Request) -> Response:
        question = await self._in.desk.find(request.path_params["id"])
        return self._asked(request, question)

    def _asked(self, request: Request, question: Question, **values: Any) -> Response:
        session = self._in.sessions.of(request)
        group = [person.name for person in self._in.approvers.of_group(question.group)]
        return self._page(
            request,
            "approval.html",
            **{
                "question": view.question(question, self._in.clock.now()),
                "group": group,
                "may": session is not None and session.person.name in group,
                "nonce": secrets.token_hex(8),
                "told": None,
                "link": "",
                "by": session.person.name if session else "",
                **values,
            },
        )

    async def _answer(self, request: Request) -> Response:
        form = await self._form(request)
        person = self._in.sessions.acting(request, form)
        question = await self._in.desk.find(request.path_params["id"])
        # A form that is sent twice (a double click, a reload) is one answer.
        id = digest("form", question.id, person.name, form.get("nonce", ""))
        return await self._answered(request, form, person, question, id)

    async def _answered(
        self, request: Request, form: Form, person: Person, question: Question, id: str
    ) -> Response:
        if (decision := form.get("decision")) not in ("approve", "deny"):
            raise NotAllowed("the form says neither approve nor deny")
        told: Told = await self._in.desk.answer(
            person,
            question,
            plan=form.get("plan", ""),
            approve=decision == "approve",
            comment=form.get("comment", ""),
            id=id,
        )
        return self._asked(request, told.question, told=told, by=person.name, may=False)

    # links

    async def _claimed(self, request: Request) -> tuple[Claims, Question]:
        """What a link says, if it is good still; raises LinkRefused."""
        claims = self._in.links.read(request.path_params["link"], self._in.clock.now())
        question = await self._in.desk.at(claims.run_id, claims.step)
        if question is None:
            raise LinkRefused("the approval that the link leads to is not known here any more")
        if question.plan != claims.plan:
            raise LinkRefused("what would be done has changed since the link was made; ask again")
        if claims.by and question.answer(claims.id) is not None:
            raise LinkRefused("the link was used already; each is good for one answer")
        return claims, question

    async def _link(self, request: Request) -> Response:
        claims, question = await self._claimed(request)
        if not claims.by:
            return RedirectResponse(f"/approvals/{question_id(claims.run_id, claims.step)}", 303)
        person = self._in.approvers.named(claims.by)
        may = person is not None and question.group in person.groups
        link = request.path_params["link"]
        return self._asked(request, question, link=link, by=claims.by, may=may)

    async def _answer_link(self, request: Request) -> Response:
        form = await self._form(request)
        async with self._links_lock:  # two of one link at the same instant: the second is told
            claims, question = await self._claimed(request)
            person = self._in.approvers.named(claims.by) if claims.by else None
            if person is None:
                raise LinkRefused("the link names nobody who may answer: sign in to answer")
            given = {**form, "plan": claims.plan}
            return await self._answered(request, given, person, question, claims.id)

    # runs and leases

    async def _runs(self, request: Request) -> Response:
        now = self._in.clock.now()
        events = await self._in.records.list("runs", limit=RUN_EVENTS)
        alerts = await self._in.records.list("alerts", limit=ROWS)
        rules = {row["id"]: row["rule"] for row in (view.alert(a, now) for a in alerts)}
        runs = view.runs(events, rules, now)[:ROWS]
        return self._page(request, "runs.html", runs=runs, refresh=10)

    async def _run(self, request: Request) -> Response:
        now, run_id = self._in.clock.now(), request.path_params["id"]
        events = await self._in.desk.events(run_id)
        if not events:
            raise ConfigError("there is no such run, or it is older than what is kept")
        row = view.runs(list(reversed(events)), {}, now)[0]
        timeline = view.timeline(events)
        return self._page(request, "run.html", run=row, timeline=timeline, told="")

    async def _cancel(self, request: Request) -> Response:
        form = await self._form(request)
        person, run_id = self._in.sessions.acting(request, form), request.path_params["id"]
        await self._in.acts.cancel(run_id, person.name, form.get("comment", ""))
        return RedirectResponse(f"/runs/{run_id}", 303)

    async def _leases(self, request: Request) -> Response:
        found = await self._in.records.list("leases", limit=ROWS)
        leases = view.leases(found, self._in.clock.now())
        return self._page(request, "leases.html", leases=leases, refresh=10)

    async def _release(self, request: Request) -> Response:
        form = await self._form(request)
        person = self._in.sessions.acting(request, form)
        await self._in.acts.release(form.get("verb", ""), form.get("target", ""), person.name)
        return RedirectResponse("/leases", 303)

    # who is there

    async def _sign_in_form(self, request: Request) -> Response:
        onward = _onward(request.query_params.get("next", ""))
        return self._page(request, "sign_in.html", onward=onward, wrong=False)

    async def _sign_in(self, request: Request) -> Response:
        form = await self._form(request)
        onward = _onward(form.get("next", ""))
        response = RedirectResponse(onward, 303)
        secure = request.url.scheme == "https"
        if self._in.sessions.sign_in(form.get("token", ""), response, secure=secure):
            return response
        return self._page(request, "sign_in.html", 401, onward=onward, wrong=True)

    async def _sign_out(self, request: Request) -> Response:
        self._in.sessions.acting(request, await self._form(request))
        response = RedirectResponse("/approvals", 303)
        response.delete_cookie(COOKIE)
        return response


def _onward(path: str) -> str:
    """Where to go after signing in: a page of ours, nowhere else."""
    parts = path.split("/")
    known = len(parts) in (2, 3) and parts[0] == "" and parts[1] in ("approvals", "runs", "leases")
    return path if known and path.replace("/", "").isalnum() else "/approvals"
