"""Who may write: every way a secret is carried, and nothing else."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from ingest.sources.http.access import Access
from tocsin.errors import ConfigError
from tocsin.source_config import HttpSource


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "s3cret-token")
    monkeypatch.setenv("KEY", "id:key")
    monkeypatch.setenv("PASSWORD", "pässword:with colon")
    monkeypatch.setenv("EMPTY", " ")


def access(**settings: Any) -> Access:
    return Access(HttpSource.model_validate({"type": "http", **settings}))


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


GUARDED: dict[str, Any] = {"tokens": ["env:TOKEN", "env:KEY"], "users": {"beats": "env:PASSWORD"}}


@pytest.mark.parametrize(
    "authorization",
    [
        "Splunk s3cret-token",
        "Bearer s3cret-token",
        "bearer  s3cret-token ",
        "ApiKey s3cret-token",
        f"ApiKey {encoded('id:key')}",
        f"Basic {encoded('beats:pässword:with colon')}",
        f"Basic {encoded('x:s3cret-token')}",
        f"Basic {encoded(':s3cret-token')}",
    ],
)
def test_what_is_admitted(authorization: str) -> None:
    assert access(**GUARDED).admits({"authorization": authorization})


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "s3cret-token",
        "Splunk",
        "Splunk ",
        "Splunk s3cret-toke",
        "Splunk s3cret-tokenn",
        "Splunk S3CRET-TOKEN",
        "Basic s3cret-token",
        f"Basic {encoded('beats:')}",
        f"Basic {encoded('beats')}",
        f"Basic {encoded('other:pässword:with colon')}",
        f"Basic {encoded('beats:PASSWORD')}",
        "Bearer env:TOKEN",
        "Bearer beats:pässword:with colon",
        "Digest s3cret-token",
        "Basic \N{SNOWMAN}",
        "Bearer " + "x" * 100_000,
    ],
)
def test_what_is_not(authorization: str) -> None:
    assert not access(**GUARDED).admits({"authorization": authorization})


def test_an_api_key_header() -> None:
    assert access(**GUARDED).admits({"x-api-key": "s3cret-token"})
    assert not access(**GUARDED).admits({"x-api-key": "wrong"})


def test_without_secrets_it_is_open() -> None:
    assert access().open
    assert access().admits({})
    assert not access(users={"a": "env:TOKEN"}).open


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"tokens": ["env:MISSING"]}, "MISSING is not set"),
        ({"tokens": ["env:EMPTY"]}, "env:EMPTY is empty"),
        ({"users": {"a": "hunter2"}}, "must be a reference"),
    ],
)
def test_a_secret_that_is_none_is_refused_at_the_start(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        access(**settings)
    assert "hunter2" not in str(caught.value)
