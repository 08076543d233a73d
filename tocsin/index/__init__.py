"""Storing what Tocsin saw and did: the embedded store, Elasticsearch, and the stage that writes.

`build_store` chooses by configuration; the `elasticsearch` extra is needed for Elasticsearch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tocsin.errors import ConfigError
from tocsin.index.sink import IndexSink
from tocsin.index.sqlite import SqliteStore
from tocsin.index.store import KINDS, Refusal, Store, StoreDocument

if TYPE_CHECKING:
    from pathlib import Path

    from tocsin.clock import Clock
    from tocsin.config import StoreSettings

__all__ = ["KINDS", "IndexSink", "Refusal", "Store", "StoreDocument", "build_store"]

#: Name of the embedded store's file in the data directory.
FILE_NAME = "store.sqlite"


def build_store(settings: StoreSettings, data_dir: Path, clock: Clock) -> Store:
    """The store that the configuration names, not yet started.

    Raises ConfigError for settings that cannot work or a missing extra.
    """
    if settings.backend == "sqlite":
        return SqliteStore(data_dir / FILE_NAME, clock=clock, retention=settings.retention)
    try:
        from tocsin.index.elasticsearch import ElasticsearchStore
    except ImportError as error:
        raise ConfigError(
            f"store.backend is elasticsearch, but {error.name} is not installed: "
            "pip install 'tocsin[elasticsearch]'"
        ) from None
    return ElasticsearchStore(settings, clock=clock)
