"""Bulk writes: every item of the answer is classified, none is forgotten.

2xx and 409 (there already, or newer) are done. A 400 is the document's own fault and becomes a
Refusal. All else (429, 5xx, a missing right, a blocked or missing index, a request refused as a
whole) passes with time or is mended by a person: it is put off, never dropped.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from elasticsearch.helpers import async_streaming_bulk

from tocsin.index import documents as shape
from tocsin.index.store import Refusal, StoreDocument, inspect, refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from elasticsearch import AsyncElasticsearch

#: One bulk request: at most so many documents and bytes (Elastic advises 5 to 15 MB).
CHUNK_DOCUMENTS = 1000
CHUNK_BYTES = 10 * 1024 * 1024
#: Tries of what the server is too busy for within one write, and seconds between them.
BULK_RETRIES = 3
BACKOFF_FIRST, BACKOFF_LAST = 0.2, 2.0
RETRY_STATUS = (429, 502, 503, 504)

TOO_LARGE = 413
#: Longest reason of a refusal, characters.
MAX_REASON = 500

#: A refusal's code by Elasticsearch's error type; any other is `refused`.
_CODES = {
    "document_parsing_exception": "mapping",
    "mapper_parsing_exception": "mapping",
    "strict_dynamic_mapping_exception": "mapping",
    "illegal_argument_exception": "invalid",
}


@dataclass(frozen=True, slots=True)
class Action:
    """A document with the bulk action that writes it."""

    document: StoreDocument
    header: dict[str, Any]
    source: dict[str, Any]

    @property
    def target(self) -> str:
        """The index or data stream written to."""
        ((_, parameters),) = self.header.items()
        return str(parameters["_index"])


@dataclass(slots=True)
class Outcome:
    """What became of the actions: `refused` for good, `put_off` (reasons) for later.

    `missing` says that an index or data stream was not there: a template may have been removed.
    """

    refused: list[Refusal] = field(default_factory=list)
    put_off: list[str] = field(default_factory=list)
    missing: bool = False


def prepare(
    documents: Sequence[StoreDocument], namespace: str
) -> tuple[list[Action], list[Refusal]]:
    """One action for each (kind, id), for its newest version, and what can never be written."""
    chosen: dict[tuple[str, str], StoreDocument] = {}
    refused = []
    for document in documents:
        if (wrong := inspect(document)) is not None:
            refused.append(wrong)
            continue
        key = document.kind, document.id
        before = chosen.setdefault(key, document)
        if (document.version or 0) > (before.version or 0):
            chosen[key] = document
    actions = []
    for document in chosen.values():
        try:
            actions.append(Action(document, *shape.action(document, namespace)))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            reason = f"it is not of the form of its kind: {type(error).__name__}: {error}"
            refused.append(refusal(document, "invalid_document", reason))
    return actions, refused


def older(documents: Sequence[StoreDocument], refused: Sequence[Refusal]) -> list[StoreDocument]:
    """What `prepare` passed over for a version that was then refused."""
    versions = {(each.kind, each.id): each.version for each in refused if each.version is not None}
    return [
        document
        for document in documents
        if (document.version or 0) < versions.get((document.kind, document.id), 0)
    ]


async def send(
    client: AsyncElasticsearch, actions: Sequence[Action], chunk: int = CHUNK_DOCUMENTS
) -> Outcome:
    """Write the actions; raises elastic_transport.TransportError if no answer came."""
    outcome = Outcome()
    too_large: list[Action] = []
    answered = 0
    async for action, item in _items(client, actions, chunk):
        answered += 1
        status, whole = item.get("status", 500), "exception" in item
        if 200 <= status < 300 or (status == 409 and not whole):
            continue
        if status == TOO_LARGE and chunk > 1:
            too_large.append(action)
        elif status == TOO_LARGE or (status == 400 and not whole):
            outcome.refused.append(_refused(action.document, item))
        else:
            outcome.put_off.append(reason_of(item.get("error")))
            outcome.missing |= status == 404
    if answered != len(actions):
        outcome.put_off.append(f"{len(actions) - answered} documents were not answered")
    if too_large:
        await _one_by_one(client, too_large, outcome)
    return outcome


async def _one_by_one(
    client: AsyncElasticsearch, actions: Sequence[Action], outcome: Outcome
) -> None:
    """A request too large as a whole is taken in small ones, or it is known which one is to blame.

    Proxies have limits (1 MB is a common one) that the cluster does not tell.
    """
    again = await send(client, actions, 1)
    outcome.refused += again.refused
    outcome.put_off += again.put_off
    outcome.missing |= again.missing


async def _items(
    client: AsyncElasticsearch, actions: Sequence[Action], chunk: int
) -> AsyncIterator[tuple[Action, dict[str, Any]]]:
    """Each action with its item of the answer, in whatever order they are settled."""
    by_id: dict[str, list[Action]] = {}
    for action in actions:
        by_id.setdefault(action.document.id, []).append(action)
    answers = async_streaming_bulk(
        client,
        ({"header": action.header, "source": action.source} for action in actions),
        chunk_size=chunk,
        max_chunk_bytes=CHUNK_BYTES,
        expand_action_callback=_expanded,
        raise_on_error=False,
        raise_on_exception=False,
        max_retries=BULK_RETRIES,
        initial_backoff=BACKOFF_FIRST,
        max_backoff=BACKOFF_LAST,
        retry_on_status=RETRY_STATUS,
    )
    async for _, answer in answers:
        ((_, item),) = answer.items()
        yield _asked(by_id[item["_id"]], item["_index"]), item


def _expanded(action: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return action["header"], action["source"]


def _asked(candidates: list[Action], index: str) -> Action:
    """Which of the actions with one id an answer from `index` (often a backing index) is of."""
    if len(candidates) == 1:
        return candidates[0]
    return next(
        action
        for action in candidates
        if index == action.target or index.startswith(f".ds-{action.target}-")
    )


def _refused(document: StoreDocument, item: Mapping[str, Any]) -> Refusal:
    error = item.get("error")
    kind = error.get("type", "") if isinstance(error, dict) else ""
    if item.get("status") == TOO_LARGE:
        return refusal(document, "too_large", "larger than the cluster takes in one request")
    return refusal(document, _CODES.get(kind, "refused"), reason_of(error))


def reason_of(error: Any) -> str:
    """The reason in an answer's `error`, down to the innermost cause, which says most."""
    if isinstance(error, dict) and isinstance(error.get("error"), dict | str):
        error = error["error"]
    if not isinstance(error, dict):
        return str(error)[:MAX_REASON]
    parts = []
    cause: Any = error
    while isinstance(cause, dict):
        parts.append(str(cause.get("reason") or cause.get("type")))
        cause = cause.get("caused_by")
    return ": ".join(dict.fromkeys(parts))[:MAX_REASON]
