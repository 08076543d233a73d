"""Removing whole months of alert state; events and records go by their data stream's lifecycle."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from elasticsearch import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from elasticsearch import AsyncElasticsearch

logger = logging.getLogger(__name__)

_MONTH = re.compile(r"(\d{4})\.(\d{2})", re.ASCII)


def expired(created: Mapping[str, int], prefix: str, before: int) -> list[str]:
    """Which indices `prefix``YYYY.MM` hold nothing young: month ended and made before `before`.

    `created` maps an index to its time of creation (ms). Both are asked, since the alerts of old
    logs that are read today must not vanish tomorrow.
    """
    found = []
    for name, made in sorted(created.items()):
        month = _MONTH.fullmatch(name.removeprefix(prefix)) if name.startswith(prefix) else None
        if month is not None and made < before and _end(int(month[1]), int(month[2])) < before:
            found.append(name)
    return found


def _end(year: int, month: int) -> int:
    """The first millisecond after a month; a month that is none never ends."""
    try:
        following = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    except ValueError:
        return 2**63
    return int(following.timestamp() * 1000)


async def drop_expired(client: AsyncElasticsearch, prefix: str, before: int) -> list[str]:
    """Delete the expired indices and return their names.

    A user without the right to delete keeps them: that costs space and loses nothing, so it is
    told and passed over.
    """
    try:
        answer = await client.indices.get(
            index=f"{prefix}*", features="settings", ignore_unavailable=True, allow_no_indices=True
        )
        created = {
            name: int(index["settings"]["index"]["creation_date"]) for name, index in answer.items()
        }
        names = expired(created, prefix, before)
        for name in names:
            await client.indices.delete(index=name, ignore_unavailable=True)
    except ApiError as error:
        if error.status_code not in (401, 403):
            raise
        logger.warning(
            "%s* is not cleared of expired months: the user or key lacks the privileges "
            "view_index_metadata and delete_index on it. Nothing is lost, space is used.",
            prefix,
        )
        return []
    return names
