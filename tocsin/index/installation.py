"""Installing the templates, on whatever the server can do."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from elasticsearch import BadRequestError, NotFoundError

from tocsin.index.fields import STAND_INS
from tocsin.index.templates import Server, Templates, build

if TYPE_CHECKING:
    from elasticsearch import AsyncElasticsearch

logger = logging.getLogger(__name__)

_NO_TYPE = re.compile(r"(?:mapper type|handler for type) \[(\w+)\]")
_NO_LIFECYCLE = re.compile(r"\blifecycle\b", re.IGNORECASE)


async def installed(client: AsyncElasticsearch, namespace: str, retention: int) -> bool:
    """Whether the cluster has these very templates."""
    wanted = build(namespace, retention)
    try:
        answer = await client.indices.get_index_template(name=f"tocsin-*-{namespace}")
    except NotFoundError:
        return False
    found = {
        each["name"]: each["index_template"].get("_meta", {}).get("hash")
        for each in answer["index_templates"]
    }
    return all(found.get(name) == wanted.hash for name in wanted.indices)


async def install(client: AsyncElasticsearch, namespace: str, retention: int) -> list[str]:
    """Put the templates and say which; what the server lacks is left out, and told.

    Raises elasticsearch.ApiError for any other answer. Putting them again changes nothing. An
    index or data stream that exists keeps its mapping until its next rollover.
    """
    server = Server()
    while True:
        templates = build(namespace, retention, server)
        try:
            return await _put(client, templates)
        except BadRequestError as error:
            poorer = _without(server, str(error.body))
            if poorer == server:
                raise
            server = poorer


async def _put(client: AsyncElasticsearch, templates: Templates) -> list[str]:
    lines = []
    for name, component in templates.components.items():
        await client.cluster.put_component_template(name=name, **component)
        lines.append(f"component template {name}")
    for name, template in templates.indices.items():
        await client.indices.put_index_template(name=name, **template)
        lines.append(f"index template {name}")
    return lines


def _without(server: Server, reason: str) -> Server:
    """The server as it turns out to be; unchanged when the reason is another one."""
    if (found := _NO_TYPE.search(reason)) is not None:
        type = found[1]
        if type in STAND_INS and type not in server.missing:
            stand_in = STAND_INS[type]["type"]
            logger.warning("this Elasticsearch has no type %s; %s stands in", type, stand_in)
            return Server(server.missing | {type}, server.lifecycle)
    elif server.lifecycle and _NO_LIFECYCLE.search(reason):
        logger.warning(
            "this Elasticsearch has no data-stream lifecycle: nothing is deleted by itself, set "
            "an index lifecycle policy in the component template tocsin@custom"
        )
        return Server(server.missing, lifecycle=False)
    return server
