"""What senders ask an Elasticsearch before they send it anything.

Beats ask for the version and the licence, then for lifecycle policy, template and data stream;
Logstash, Fluentd and Vector for some of them. Whatever is asked for is there already, so nothing
is set up; what is set up all the same is acknowledged and means nothing here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response
from starlette.routing import Route

from ingest.sources.http.bulk import PRODUCT, answer
from tocsin.ids import digest

if TYPE_CHECKING:
    from starlette.requests import Request

    from ingest.sources.http.endpoint import Endpoints, Work

_NAME = "tocsin"
_LICENSE = {"status": "active", "uid": _NAME, "type": "basic", "issued_to": _NAME}

#: What has a name of its own and is there whatever it is called.
_NAMED = (
    "/_alias/{name}",
    "/_component_template/{name}",
    "/_data_stream/{name}",
    "/_data_stream/{name}/_lifecycle",
    "/_ilm/policy/{name}",
    "/_index_template/{name}",
    "/_ingest/pipeline/{name}",
    "/_template/{name}",
    "/{name}",
)


def _info(version: str) -> dict[str, Any]:
    return {
        "name": _NAME,
        "cluster_name": _NAME,
        "cluster_uuid": digest("cluster", _NAME)[:22],
        "version": {
            "number": version,
            "build_flavor": "default",
            "build_type": "tar",
            "build_snapshot": False,
            "lucene_version": "9.12.0",
            "minimum_wire_compatibility_version": "7.17.0",
            "minimum_index_compatibility_version": "7.0.0",
        },
        "tagline": "You Know, for Search",
    }


def _answers(version: str) -> dict[str, dict[str, Any]]:
    """Path → what it says."""
    available = {"available": True, "enabled": True}
    return {
        "/": _info(version),
        "/_license": {"license": _LICENSE},
        "/_xpack": {"license": _LICENSE, "features": {"ilm": available}},
        "/_cluster/health": {"cluster_name": _NAME, "status": "green", "timed_out": False},
        "/_cluster/settings": {"persistent": {}, "transient": {}},
        "/_ilm/status": {"operation_mode": "RUNNING"},
        "/_nodes": {"_nodes": {"total": 0, "successful": 0, "failed": 0}, "nodes": {}},
        "/_nodes/http": {"_nodes": {"total": 0, "successful": 0, "failed": 0}, "nodes": {}},
    }


def routes(endpoints: Endpoints, version: str) -> list[Route]:
    """The endpoints; `version` is the Elasticsearch version to claim."""

    def fixed(content: dict[str, Any]) -> Work:
        said = orjson.dumps(content)

        async def work(_: Request) -> Response:
            return Response(said, headers=PRODUCT, media_type="application/json")

        return endpoints.made(work, answer)

    there, done = fixed({}), fixed({"acknowledged": True})
    known = [Route(path, fixed(said), methods=["GET"]) for path, said in _answers(version).items()]
    named = [Route(path, there, methods=["GET"]) for path in _NAMED]
    made = [Route(path, done, methods=["PUT", "POST"]) for path in _NAMED]
    return [*known, *named, *made]
