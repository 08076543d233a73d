"""The store in Elasticsearch: data streams, the alert state, idempotent bulk writes.

Made for 8.19 and 9.x through the 8.19 client. Nothing is written before the templates are there.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from elastic_transport import TransportError
from elasticsearch import ApiError, AsyncElasticsearch, OrjsonSerializer

from tocsin.errors import StoreError, StoreUnavailable
from tocsin.index import bulk
from tocsin.index import documents as shape
from tocsin.index.connection import client_options
from tocsin.index.installation import install, installed
from tocsin.index.retention import drop_expired
from tocsin.index.store import (
    AUDIT,
    MAX_LIMIT,
    Bodies,
    Body,
    Lines,
    Refusals,
    StoreDocument,
    check_kind,
    check_query,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tocsin.clock import Clock
    from tocsin.config import StoreSettings

logger = logging.getLogger(__name__)

#: How often the months of alert state are looked at for retention, ms.
RETENTION_EVERY = 3_600_000

#: What to do about an answer to a whole request.
_ADVICE = {
    401: "The cluster does not know this user or key: check store.api_key or store.password",
    403: "The user or key lacks a privilege: docs/kibana.md lists what Tocsin needs",
    429: "The cluster is overloaded: give it time, or more machines",
}

#: Searching what is not there yet finds nothing.
_LENIENT: dict[str, Any] = {"ignore_unavailable": True, "allow_no_indices": True}


class ElasticsearchStore:
    """The store on a cluster; templates are checked, and installed if need be, before writing."""

    def __init__(self, settings: StoreSettings, *, clock: Clock) -> None:
        """Raises ConfigError for settings that cannot work or would show a secret."""
        self._namespace = shape.check_namespace(settings.namespace)
        self._retention = settings.retention
        self._url = settings.url.rstrip("/")
        self._options = client_options(
            self._url,
            api_key=settings.api_key,
            username=settings.username,
            password=settings.password,
            ca_file=settings.ca_file,
        )
        self._clock = clock
        self._client: AsyncElasticsearch | None = None
        self._ready = False
        self._preparing = asyncio.Lock()
        self._next_retention = 0

    async def start(self) -> None:
        """Make the client; the cluster is asked at the first write or read."""
        serializers = {"application/json": OrjsonSerializer()}
        self._client = AsyncElasticsearch(self._url, serializers=serializers, **self._options)

    async def close(self) -> None:
        """Close the connections; closing twice is harmless."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def setup(self) -> Lines:
        """Install the templates; needs the cluster privilege `manage_index_templates`.

        Raises StoreUnavailable if the cluster is away, StoreError if it says no.
        """
        async with self._preparing:
            try:
                lines = await self._install()
            except (ApiError, TransportError) as error:
                raise self._unavailable(error) from error
            self._ready = True
            return lines

    async def _install(self) -> Lines:
        """Put the templates; a user who may not is fine if they are there already."""
        try:
            return await install(self._cluster, self._namespace, self._retention)
        except ApiError as error:
            if error.status_code == 429 or error.status_code >= 500:
                raise
            if error.status_code == 403 and await self._installed():
                return [f"templates of namespace {self._namespace}: there already"]
            raise StoreError(
                f"{self._url} refused the templates: {bulk.reason_of(error.body)}. Give the user "
                "or key the cluster privilege manage_index_templates and try again."
            ) from error

    async def _installed(self) -> bool:
        return await installed(self._cluster, self._namespace, self._retention)

    async def write(self, documents: Sequence[StoreDocument]) -> Refusals:
        """Write by bulk; see Store.write."""
        refused: Refusals = []
        pending = documents
        while pending:
            newly = await self._write(pending)
            refused += newly
            pending = bulk.older(pending, newly)
        await self._retain()
        return refused

    async def _write(self, documents: Sequence[StoreDocument]) -> Refusals:
        """Write the newest version of each document."""
        actions, refused = bulk.prepare(documents, self._namespace)
        if not actions:
            return refused
        try:
            await self._prepare()
            outcome = await bulk.send(self._cluster, actions)
        except (ApiError, TransportError) as error:
            raise self._unavailable(error) from error
        if outcome.missing:
            self._ready = False
        if outcome.put_off:
            raise StoreUnavailable(
                f"{self._url} did not take {len(outcome.put_off)} of {len(actions)} documents: "
                f"{outcome.put_off[0]}. The records wait in the log and are written again."
            )
        return refused + outcome.refused

    async def list(
        self,
        kind: str,
        *,
        limit: int,
        newest_first: bool = True,
        where: Mapping[str, str] = {},
    ) -> Bodies:
        """See Store.list; `where` works on fields that are indexed whole (keyword, ip, numbers).

        What was written becomes visible at the index's next refresh, a second by default.
        """
        check_query(kind, limit, where)
        order = "desc" if newest_first else "asc"
        filters = [{"term": {shape.field_of(kind, field): text}} for field, text in where.items()]
        return await self._search(
            kind,
            size=limit,
            query={"bool": {"filter": filters}},
            sort=[
                {"@timestamp": {"order": order, "unmapped_type": "date"}},
                {"event.sequence": {"order": order, "unmapped_type": "long"}},
            ],
        )

    async def links(self, chain: str, first: int) -> Bodies:
        """See Store.links."""
        name, number = shape.field_of(AUDIT, "chain"), shape.field_of(AUDIT, "seq")
        filters = [{"term": {name: chain}}, {"range": {number: {"gte": first}}}]
        return await self._search(
            AUDIT,
            size=MAX_LIMIT,
            query={"bool": {"filter": filters}},
            sort=[{number: {"order": "asc", "unmapped_type": "long"}}],
        )

    async def get(self, kind: str, id: str) -> Body | None:
        """See Store.get."""
        check_kind(kind)
        found = await self._search(kind, size=1, query={"ids": {"values": [id]}})
        return found[0] if found else None

    async def count(self, kind: str) -> int:
        """See Store.count."""
        check_kind(kind)
        index = shape.target(kind, self._namespace)
        try:
            answer = await self._cluster.count(index=index, **_LENIENT)
        except (ApiError, TransportError) as error:
            raise self._unavailable(error) from error
        return int(answer["count"])

    async def refresh(self) -> None:
        """Make everything written so far visible to searches now."""
        index = f"logs-tocsin.*-{self._namespace},tocsin-*-{self._namespace}*"
        try:
            await self._cluster.indices.refresh(index=index, **_LENIENT)
        except (ApiError, TransportError) as error:
            raise self._unavailable(error) from error

    @property
    def _cluster(self) -> AsyncElasticsearch:
        if self._client is None:
            raise StoreError(f"the store {self._url} is not open; call start() first")
        return self._client

    async def _search(self, kind: str, **query: Any) -> Bodies:
        index = shape.target(kind, self._namespace)
        try:
            answer = await self._cluster.search(index=index, **_LENIENT, **query)
        except (ApiError, TransportError) as error:
            raise self._unavailable(error) from error
        return [shape.body_of(kind, hit["_source"]) for hit in answer["hits"]["hits"]]

    async def _prepare(self) -> None:
        """Never write before the templates are there: a wrong mapping cannot be taken back."""
        async with self._preparing:
            if self._ready:
                return
            if not await self._installed():
                for line in await install(self._cluster, self._namespace, self._retention):
                    logger.info("%s: installed %s", self._url, line)
            self._ready = True

    async def _retain(self) -> None:
        """Drop expired months of alert state, seldom; a failure is no reason to write again."""
        now = self._clock.now()
        if not self._retention or now < self._next_retention:
            return
        self._next_retention = now + RETENTION_EVERY
        prefix = f"tocsin-alerts-{self._namespace}-"
        try:
            names = await drop_expired(self._cluster, prefix, now - self._retention)
        except (ApiError, TransportError) as error:
            logger.warning(
                "%s: expired months of alert state were not deleted, it is tried again within "
                "the hour: %s",
                self._url,
                error,
            )
            return
        for name in names:
            logger.info("%s: %s is past retention and was deleted", self._url, name)

    def _unavailable(self, error: ApiError | TransportError) -> StoreUnavailable:
        status = 0
        if isinstance(error, ApiError):
            status = error.status_code
            what = f"answered {status}: {bulk.reason_of(error.body)}"
        else:
            what = f"cannot be reached: {error.message}"
        advice = _ADVICE.get(status, "Check the address and the cluster's health")
        return StoreUnavailable(
            f"{self._url} {what}. {advice}. The records wait in the log and are written again."
        )
