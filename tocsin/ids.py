"""Deterministic ids: the same input gives the same id on every machine and every attempt.

An id is the BLAKE2b-128 digest (RFC 7693) of its length-prefixed parts in hexadecimal, 32
characters; the length prefix keeps ("ab", "c") and ("a", "bc") apart. The first part names the
kind, so ids of two kinds never collide.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b, sha256
from typing import Any

import orjson


def digest(kind: str, *parts: str | int) -> str:
    """The id of `parts` within `kind`: 32 hexadecimal characters."""
    return hasher(kind, *parts).hexdigest()


def hasher(*parts: str | int) -> blake2b:
    """What has taken in `parts`: a copy of it goes on where many ids begin alike."""
    made = blake2b(digest_size=16)
    for part in parts:
        data = str(part).encode("utf-8", "surrogatepass")
        made.update(b"%d:" % len(data))
        made.update(data)
    return made


def canonical_json(value: Any) -> bytes:
    """JSON bytes with sorted keys and no blanks: equal values give equal bytes."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def content_hash(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, in hexadecimal."""
    return sha256(canonical_json(value)).hexdigest()


def event_id(topic: str, partition: int, offset: int) -> str:
    """Id of an event whose provider gives none that can be trusted."""
    own = _of_partition(topic, partition).copy()
    data = b"%d" % offset
    own.update(b"%d:%b" % (len(data), data))
    return own.hexdigest()


@lru_cache(4_096)
def _of_partition(topic: str, partition: int) -> blake2b:
    """What the ids of a partition's events have in common: one is made for every event."""
    return hasher("event", topic, partition)


def provider_event_id(provider: str, provider_id: str) -> str:
    """Id of an event whose provider's own id is stable over redeliveries (CloudTrail eventID)."""
    return digest("event", provider, provider_id)


def finding_id(rule_hash: str, event: str, key: str = "") -> str:
    """Id of the finding that a rule makes on an event (and, for correlations, a group key)."""
    return digest("finding", rule_hash, event, key)


def alert_id(rule_hash: str, dedup_key: str, window_start: int) -> str:
    """Id of an alert: rule content, deduplication key and the window's start (ms)."""
    return digest("alert", rule_hash, dedup_key, window_start)


def run_id(playbook_hash: str, dedup_key: str, window_start: int) -> str:
    """Id of a run: playbook content and its deduplication (an alert id, or key and window)."""
    return digest("run", playbook_hash, dedup_key, window_start)


def effect_id(run: str, step: str, item: str, epoch: int) -> str:
    """Id of an effect: run, step path, item of a for_each ("" without) and epoch of the run."""
    return digest("effect", run, step, item, epoch)
