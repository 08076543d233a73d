"""tocsin.yaml: what it may say, and that every mistake is told with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tocsin.config import MAX_CONFIG, Settings, load, parse_duration, secret
from tocsin.contracts import Mode
from tocsin.errors import ConfigError


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TOCSIN_CONFIG", "TOCSIN_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "etc" / "tocsin.yaml"


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def mistakes(path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(written(path, text))
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("text", ["", "# nothing yet\n"])
def test_an_empty_file_is_the_safe_default(path: Path, text: str) -> None:
    settings = load(written(path, text))
    assert settings.response.mode is Mode.DRY_RUN
    assert settings.console.host == "127.0.0.1"
    assert settings.log.backend == "sqlite"


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("250ms", 250), ("90s", 90_000), ("15m", 900_000), ("4h", 14_400_000), ("7d", 604_800_000)],
)
def test_durations(text: str, milliseconds: int) -> None:
    assert parse_duration(text) == milliseconds
    assert parse_duration(f" {text} ") == milliseconds


@pytest.mark.parametrize("text", ["", "15", "1.5h", "-1s", "5 m", "1w", "٣s"])
def test_what_is_no_duration_is_refused_with_the_way_to_write_it(text: str) -> None:
    with pytest.raises(ValueError, match="write a number and ms, s, m, h or d"):
        parse_duration(text)


def test_every_mistake_is_told_at_once_with_its_place(path: Path) -> None:
    told = mistakes(
        path,
        """
        log: {bakend: sqlite, retention: 3 weeks, partitions: 0}
        sources:
          - {path: a.log, timezone: Berlin}
          - {pth: b.log}
        response: {mode: on}
        console: {port: 99999}
        rule: {}
        """,
    )
    for expected in (
        "log.bakend: there is no such key; did you mean backend?",
        "log.retention: '3 weeks' is no duration",
        "log.partitions: Input should be greater than or equal to 1",
        "sources.0.timezone: 'Berlin' is no time zone; write a name like Europe/Berlin",
        "sources.1.path: Field required",
        "sources.1.pth: there is no such key; did you mean path?",
        "response.mode:",
        "console.port:",
        "rule: there is no such key; did you mean rules?",
    ):
        assert expected in told


def test_a_key_that_stands_twice_is_a_mistake(path: Path) -> None:
    told = mistakes(path, "response: {mode: dry_run}\nlog: {}\nresponse: {mode: enforce}\n")
    assert "the key 'response' stands twice" in told
    assert "line 3" in told


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("log: [", "is not YAML"),
        ("- a\n- b\n", "must hold a mapping"),
        ("1: 2\n", "must hold a mapping of names"),
        ("just text", "must hold a mapping"),
        ("!!python/object/apply:os.getcwd []", "is not YAML"),
        ("a: " + "x" * MAX_CONFIG, "is larger than"),
    ],
)
def test_what_is_no_configuration_is_said_so(path: Path, text: str, what: str) -> None:
    assert what in mistakes(path, text)


def test_a_missing_file_and_one_that_is_no_text(path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(path)
    written(path, "").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not YAML"):
        load(path)


def test_the_environment_wins_over_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_LOG__PARTITIONS", "9")
    monkeypatch.setenv("TOCSIN_LATENESS", "3m")
    monkeypatch.setenv("TOCSIN_RULES__DISABLE", '["a", "b"]')
    settings = load(written(path, "log: {partitions: 2, prefix: x.}\nlateness: 1m\n"))
    assert (settings.log.partitions, settings.log.prefix) == (9, "x.")
    assert settings.lateness == 180_000
    assert settings.rules.disable == ("a", "b")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("TOCSIN_LOG__BACKEND", "redis", "log.backend: Input should be 'sqlite' or 'kafka'"),
        ("TOCSIN_LOG__BAKEND", "kafka", "log.bakend: there is no such key; did you mean backend?"),
        ("TOCSIN_LGO__BACKEND", "kafka", "TOCSIN_LGO__BACKEND: there is no section lgo"),
        ("TOCSIN_SOURCES", "a.log", "lists and mappings are written as JSON"),
    ],
)
def test_a_wrong_variable_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load(None)
    assert "the environment (TOCSIN_…)" in str(caught.value)
    assert told in str(caught.value)


def test_a_secrets_own_variable_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_WEBHOOK_SECRET", "x")
    assert load(None) == Settings()


FILES = """
data_dir: data
sources: [{path: "logs/*.log"}, {path: /var/log/auth.log}]
rules: {paths: [rules]}
playbooks: {paths: [playbooks]}
enrichment: {geoip: [city.mmdb], inventory: assets.csv}
store: {password: "file:es.secret"}
log: {security: {ca_file: ca.pem, password: "env:KAFKA"}}
response:
  reports: reports
  guards: {lists: {egress: ["file:egress.txt", 192.0.2.1]}}
  connectors: {chat: {type: webhook, secret: "file:chat.secret", channels: {a: "file:/abs"}}}
"""


def test_relative_paths_start_at_the_file_wherever_the_process_does(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written(path, FILES)
    monkeypatch.chdir(tmp_path)
    base = path.parent
    for named in (path, path.relative_to(tmp_path)):
        settings = load(named)
        assert settings.directory == base
        assert settings.data_dir == base / "data"
        assert [getattr(s, "path", "") for s in settings.sources] == [
            f"{base}/logs/*.log",
            "/var/log/auth.log",
        ]
        assert settings.rules.paths == (base / "rules",)
        assert settings.playbooks.paths == (base / "playbooks",)
        assert settings.enrichment.geoip == (base / "city.mmdb",)
        assert settings.enrichment.inventory == base / "assets.csv"
        assert settings.store.password == f"file:{base}/es.secret"
        assert settings.log.security.ca_file == base / "ca.pem"
        assert settings.log.security.password == "env:KAFKA"  # noqa: S105  (a reference)
        assert settings.response.reports == base / "reports"
        assert settings.response.guards.lists["egress"] == (f"file:{base}/egress.txt", "192.0.2.1")
        chat = settings.response.connectors["chat"].options()
        assert chat["secret"] == f"file:{base}/chat.secret"
        assert chat["channels"] == {"a": "file:/abs"}


def test_without_a_file_paths_start_where_the_process_does() -> None:
    assert load(None).data_dir == Path("data")
    assert load(None).directory == Path()


@pytest.mark.parametrize("change", [{"batch_size": 5}, {"log": {}}])
def test_settings_do_not_change(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(Settings(), *next(iter(change.items())))


class TestSecrets:
    def test_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SOME_TOKEN", "s3cret")
        assert secret("env:SOME_TOKEN") == "s3cret"

    def test_from_a_file_without_its_last_newline(self, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("s3cret \n", "utf-8")
        assert secret(f"file:{tmp_path / 'token'}") == "s3cret "

    @pytest.mark.parametrize(
        ("reference", "told"),
        [
            ("env:NOT_SET_ANYWHERE", "the environment variable NOT_SET_ANYWHERE is not set"),
            ("file:/nowhere/at/all", "cannot be read: No such file"),
            ("hunter2", "must be a reference, env:NAME or file:/path"),
        ],
    )
    def test_a_missing_one_is_told_and_never_quoted(self, reference: str, told: str) -> None:
        with pytest.raises(ConfigError, match=told) as caught:
            secret(reference)
        assert "hunter2" not in str(caught.value)
