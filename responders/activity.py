"""What else an address, user or host did: a question to Elasticsearch or OpenSearch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from responders.base import Call, EntityKind, Inputs, Manifest
from responders.enricher import Enricher, EnricherConfig, looks_up, unknown
from responders.product import Done, OptionalSecret, Url, dig, rows
from tocsin.config_types import Duration

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

ACTIVITY = "events.activity"

_FIELDS = ("source.ip", "destination.ip", "client.ip", "user.name", "user.email", "host.name")
_TOP = {"actions": "event.action", "users": "user.name", "hosts": "host.name",
        "outcomes": "event.outcome", "datasets": "event.dataset"}  # fmt: skip


class Activity(Inputs):
    """A value and how far to look back, hours; it may stand in any of the usual fields."""

    entity: Annotated[str, Field(min_length=1, max_length=512)]
    hours: Annotated[int, Field(ge=1, le=24 * 90)] = 24


MANIFEST = Manifest(
    name="elasticsearch",
    summary="What else an entity did, from the events in Elasticsearch",
    actions=(
        looks_up(
            ACTIVITY,
            Activity,
            "entity",
            EntityKind.HOST,
            "Counts and examples of events",
            events=int,
            first=str,
            last=str,
            examples=list,
            **dict.fromkeys(_TOP, dict),
        ),
    ),
    secrets=("api_key",),
)


class ElasticsearchConfig(EnricherConfig):
    """`index` may be a pattern; an API key with `read` on it is enough."""

    url: Url
    index: Annotated[str, Field(pattern=r"^[a-z0-9*.,_-]{1,200}$")] = "tocsin-events*"
    api_key: OptionalSecret = ""
    keep: Duration = 60_000
    keep_unknown: Duration = 10_000


class ElasticsearchActivity(Enricher[ElasticsearchConfig]):
    """One cluster."""

    MANIFEST = MANIFEST

    def questions(self) -> Mapping[str, Callable[[Call], Awaitable[Done]]]:
        return {ACTIVITY: self._activity}

    async def ping(self) -> str:
        """Count the events of the last hour that nobody did."""
        await self._activity(Call(ACTIVITY, "tocsin-doctor", {"hours": 1}, "", 10_000))
        return f"elasticsearch answers for {self._config.index}"

    async def _activity(self, call: Call) -> Done:
        told = await self._search(call, _query(call.target, int(call.inputs.get("hours", 24))))
        total = dig(told, "hits", "total", "value")
        if not isinstance(total, int):
            raise self.refused(dig(told, "error", "reason") or "the answer has no total")
        if told.get("timed_out") is True:
            raise self.refused("the search timed out before all shards answered")
        empty: Done = {name: {} for name in _TOP}
        if not total:
            return unknown("no event has it", events=0, first="", last="", examples=[], **empty)
        tops = {
            name: {
                str(each.get("key")): each.get("doc_count", 0)
                for each in rows(told, "aggregations", name, "buckets")
            }
            for name in _TOP
        }
        return {
            "found": True,
            "events": total,
            "first": str(dig(told, "aggregations", "first", "value_as_string") or ""),
            "last": str(dig(told, "aggregations", "last", "value_as_string") or ""),
            "examples": [
                str(dig(each, "_source", "event", "original") or "")[:500]
                for each in rows(told, "hits", "hits")
            ],
            **tops,
        }

    async def _search(self, call: Call, query: dict[str, Any]) -> dict[str, Any]:
        headers = {}
        if self._config.api_key:
            headers["authorization"] = f"ApiKey {self.secret(self._config.api_key)}"
        url = f"{self._config.url}/{self._config.index}/_search"
        params = {"ignore_unavailable": "true", "allow_no_indices": "true"}
        answer = await self.send(call, "POST", url, headers=headers, json=query, params=params)
        return answer.object()


def _query(value: str, hours: int) -> dict[str, Any]:
    # `lenient`: a name compared with a field of addresses matches nothing instead of failing.
    fields = list(_FIELDS)
    same = {"multi_match": {"query": value, "fields": fields, "type": "phrase", "lenient": True}}
    return {
        "size": 5,
        "track_total_hits": True,
        "timeout": "10s",
        "_source": ["event.original"],
        "sort": [{"@timestamp": "desc"}],
        "query": {"bool": {"filter": [same, {"range": {"@timestamp": {"gte": f"now-{hours}h"}}}]}},
        "aggs": {
            **{name: {"terms": {"field": field, "size": 10}} for name, field in _TOP.items()},
            "first": {"min": {"field": "@timestamp"}},
            "last": {"max": {"field": "@timestamp"}},
        },
    }
