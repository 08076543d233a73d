"""Elasticsearch's `_bulk`: Beats, Logstash, Fluent Bit, Vector and clients send logs this way.

`index` and `create` take a document, each as one record as it was sent; `update` and `delete` are
refused, item by item: a log is not changed. A document's `_id` is its identity: sent again it is
the same event (Beats set one with `fingerprint` or `add_id`, Fluent Bit with `Generate_ID`).
Where there is no more room the rest of the items are answered with 429, which senders try again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from starlette.responses import Response
from starlette.routing import Route

from ingest.sources.http.intake import Line, off_loop
from ingest.sources.http.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from starlette.requests import Request

    from ingest.sources.http.endpoint import Endpoints
    from ingest.sources.http.intake import Intake

#: Clients refuse to talk to what does not say so.
PRODUCT = {"X-Elastic-Product": "Elasticsearch"}

_TAKES = ("create", "index")
_REFUSES = ("delete", "update")

#: Type of error that Elasticsearch names for a refusal.
_TYPES = {
    "malformed": "illegal_argument_exception",
    "unauthorized": "security_exception",
    "too_large": "content_too_long_exception",
    "busy": "es_rejected_execution_exception",
    "unavailable": "unavailable_shards_exception",
}
_ERROR_400 = {
    "delete": "documents cannot be deleted here",
    "update": "documents cannot be updated here",
    "empty": "the document is empty",
}


class Item(NamedTuple):
    """One action: what it is, on which index, with which id ("" for none), and its document.

    `wrong` is a key of _ERROR_400, or "".
    """

    action: str
    target: str
    id: str
    document: bytes
    wrong: str = ""


def split_bulk(body: bytes, default_index: str) -> list[Item]:
    """The actions of a bulk request; raises Refusal if it cannot be told what they are."""
    items: list[Item] = []
    lines = iter(body.split(b"\n"))
    previous, known = b"", ("", "", "")
    for line in lines:
        if not line.strip():
            continue
        if line != previous:
            # Most senders write the same line before every document.
            previous, known = line, _action(line, default_index, len(items), body)
        action, index, id_ = known
        document = b""
        if action != "delete":
            if (following := next(lines, None)) is None:
                raise _malformed("the last action has no document", len(items), body)
            document = following.removesuffix(b"\r")
        wrong = action if action in _REFUSES else "" if document.strip() else "empty"
        items.append(Item(action, index, id_, document, wrong))
    if not items:
        raise Refusal("malformed", "request body is required")
    return items


def _action(line: bytes, default_index: str, number: int, body: bytes) -> tuple[str, str, str]:
    try:
        ((action, metadata),) = orjson.loads(line).items()
        index, id_ = metadata.get("_index") or default_index, metadata.get("_id")
    except (ValueError, AttributeError):
        raise _malformed("an action line is no action", number, body) from None
    if action not in _TAKES and action not in _REFUSES:
        raise _malformed("there is no such action", number, body)
    return action, str(index), "" if id_ is None else str(id_)


def _malformed(message: str, number: int, body: bytes) -> Refusal:
    return Refusal(
        "malformed", f"Malformed action/metadata, item {number}: {message}", original=body
    )


class Bulk:
    """The endpoints that documents are sent to."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def routes(self, endpoints: Endpoints) -> list[Route]:
        """`_bulk` with and without an index, and documents one by one."""
        bulk = endpoints.made(self._bulk, answer)
        one = endpoints.made(self._one, answer)
        both = ["POST", "PUT"]
        return [
            Route("/_bulk", bulk, methods=both),
            Route("/{index}/_bulk", bulk, methods=both),
            Route("/{index}/_doc", one, methods=["POST"]),
            Route("/{index}/_doc/{id}", one, methods=both),
            Route("/{index}/_create/{id}", one, methods=both),
        ]

    async def _bulk(self, request: Request) -> Response:
        index = request.path_params.get("index", "")
        async with self._intake.body(request) as body:
            items = await off_loop(len(body), split_bulk, body, index)
            lines = [self._line(item) for item in items if not item.wrong]
            taken = lines[: self._intake.fitting(lines)]
            if lines and not taken:
                raise Refusal("busy", "too much is waiting for the log")
            identities = await self._intake.take(taken, request)
        refused = self._intake.account.refused
        refused["busy"] += len(lines) - len(taken)
        refused["malformed"] += len(items) - len(lines)
        brief = "filter_path" in request.query_params
        return _answered(items, identities, brief=brief)

    def _line(self, item: Item) -> Line:
        if not item.id:
            return Line(item.document)
        return Line(item.document, self._intake.identity("bulk", item.target, item.id))

    async def _one(self, request: Request) -> Response:
        index, id_ = request.path_params["index"], request.path_params.get("id", "")
        async with self._intake.body(request) as body:
            if not body.strip():
                raise Refusal("malformed", "request body is required")
            item = Item("create", index, id_, body)
            identities = await self._intake.take([self._line(item)], request)
        return Response(orjson.dumps(_done(item, identities[0])), 201, PRODUCT, "application/json")


def _answered(items: Sequence[Item], identities: Iterable[str], *, brief: bool) -> Response:
    """An answer for each item, in order. `brief`: the sender asked for status and error only."""
    given = iter(identities)
    answers: list[dict[str, Any]] = []
    errors = False
    for item in items:
        if item.wrong:
            said = _failed(400, "illegal_argument_exception", _ERROR_400[item.wrong])
        elif (identity := next(given, None)) is None:
            said = _failed(429, _TYPES["busy"], "too much is waiting for the log")
        else:
            answers.append({item.action: {"status": 201} if brief else _done(item, identity)})
            continue
        errors = True
        answers.append({item.action: {"_index": item.target, "_id": item.id or None, **said}})
    content = orjson.dumps({"took": 0, "errors": errors, "items": answers})
    return Response(content, headers=PRODUCT, media_type="application/json")


def _done(item: Item, identity: str) -> dict[str, Any]:
    return {
        "_index": item.target,
        "_id": item.id or identity,
        "_version": 1,
        "result": "created",
        "_shards": {"total": 1, "successful": 1, "failed": 0},
        "_seq_no": 0,
        "_primary_term": 1,
        "status": 201,
    }


def _failed(status: int, kind: str, reason: str) -> dict[str, Any]:
    return {"status": status, "error": {"type": kind, "reason": reason}}


def answer(refusal: Refusal, _: Request) -> Response:
    """A refusal as Elasticsearch says it."""
    cause = {
        "type": _TYPES.get(refusal.reason, "illegal_argument_exception"),
        "reason": str(refusal),
    }
    said = {"error": {"root_cause": [cause], **cause}, "status": refusal.status}
    return Response(
        orjson.dumps(said), refusal.status, {**PRODUCT, **refusal.headers}, "application/json"
    )
