"""From settings to a store: which one, and what is refused before a byte is sent."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.index.documents import event_document
from tocsin.clock import ManualClock
from tocsin.config import StoreSettings
from tocsin.errors import ConfigError, StoreUnavailable
from tocsin.index import build_store
from tocsin.index.connection import client_options
from tocsin.index.elasticsearch import ElasticsearchStore
from tocsin.index.sqlite import SqliteStore

if TYPE_CHECKING:
    from pathlib import Path


def settings(**values: Any) -> StoreSettings:
    return StoreSettings.model_validate({"backend": "elasticsearch", **values})


def options(url: str, **values: Any) -> dict[str, Any]:
    return client_options(url, **{"ca_file": None, **values})


async def test_the_backend_is_chosen_by_configuration(tmp_path: Path) -> None:
    store = build_store(StoreSettings(), tmp_path / "data", ManualClock())
    assert isinstance(store, SqliteStore)
    await store.start()
    await store.close()
    assert (tmp_path / "data" / "store.sqlite").exists()
    assert isinstance(build_store(settings(), tmp_path, ManualClock()), ElasticsearchStore)


def test_a_missing_extra_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tocsin.index.elasticsearch")
    monkeypatch.setitem(sys.modules, "elasticsearch", None)
    with pytest.raises(ConfigError, match=r"pip install 'tocsin\[elasticsearch\]'"):
        build_store(settings(), tmp_path, ManualClock())


def test_certificates_are_verified(tmp_path: Path) -> None:
    found = options("https://es.example.com:9200", ca_file=tmp_path / "ca.pem")
    assert found["verify_certs"] is True
    assert found["ca_certs"] == str(tmp_path / "ca.pem")


def test_secrets_are_references(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ES_KEY", "a2V5")
    monkeypatch.setenv("ES_PASSWORD", "word")
    assert options("https://es.example.com", api_key="env:ES_KEY")["api_key"] == "a2V5"
    found = options("https://es.example.com", username="tocsin", password="env:ES_PASSWORD")  # noqa: S106
    assert found["basic_auth"] == ("tocsin", "word")
    with pytest.raises(ConfigError, match="must be a reference"):
        options("https://es.example.com", api_key="a2V5")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9200", "http://[::1]:9200", "http://localhost"])
def test_this_machine_needs_no_tls(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ES_KEY", "a2V5")
    assert options(url, api_key="env:ES_KEY")["api_key"] == "a2V5"


@pytest.mark.parametrize(
    ("url", "more", "says"),
    [
        ("http://es.example.com:9200", {"api_key": "env:ES_KEY"}, "clear text; write https"),
        ("http://192.0.2.1:9200", {"username": "u", "password": "env:ES_KEY"}, "clear text"),
        ("es.example.com:9200", {}, "is no address"),
        ("ftp://es.example.com", {}, "is no address"),
        ("https://", {}, "is no address"),
        ("https://user:word@es.example.com", {}, "holds a user or password"),
        ("https://es.example.com", {"api_key": "env:ES_KEY", "username": "u"}, "exclude each"),
        ("https://es.example.com", {"api_key": "env:NOT_SET_AT_ALL"}, "is not set"),
    ],
)
def test_what_cannot_be_right_is_refused(
    url: str, more: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ES_KEY", "a2V5")
    with pytest.raises(ConfigError, match=says):
        options(url, **more)


async def test_an_absent_cluster_is_unavailable_and_never_an_empty_answer() -> None:
    from dev.process import free_port

    store = ElasticsearchStore(settings(url=f"http://127.0.0.1:{free_port()}"), clock=ManualClock())
    await store.start()
    calls = (
        store.write([event_document(1)]), store.setup(), store.count("events"),
        store.list("alerts", limit=1), store.get("runs", "x"), store.refresh(),
    )  # fmt: skip
    for call in calls:
        with pytest.raises(StoreUnavailable, match=r"cannot be reached.*wait in the log"):
            await call
    await store.close()
