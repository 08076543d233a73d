"""tocsin.yaml: what it may say, its defaults, and how `TOCSIN_…` variables override it.

`TOCSIN_LOG__BACKEND=kafka` overrides `log.backend`. Unknown keys are refused with their place.
Durations are written `15s`, `10m`, `4h`, `7d` and become milliseconds. Secrets are references,
`env:NAME` or `file:/path`, resolved only by the connector that needs them. Relative paths, in
`file:` references too, are seen from the directory of the file.
"""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    WithJsonSchema,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from tocsin.approver_config import Approver as Approver
from tocsin.approver_config import LinkSettings as LinkSettings
from tocsin.audit_config import AuditSettings
from tocsin.behavior_config import BehaviorSettings
from tocsin.config_types import Duration as Duration
from tocsin.config_types import KafkaSecurity as KafkaSecurity
from tocsin.config_types import Section as Section
from tocsin.config_types import parse_duration as parse_duration
from tocsin.contracts import SEVERITY, Mode
from tocsin.enrichment_config import EnrichmentSettings as EnrichmentSettings
from tocsin.enrichment_config import IndicatorSettings, PrivacySettings
from tocsin.errors import ConfigError
from tocsin.guard_config import GuardSettings as GuardSettings
from tocsin.reconcile_config import ReconcileSettings
from tocsin.source_config import SOURCE_TYPES, AnySource
from tocsin.source_config import FileSource as FileSource

#: Largest tocsin.yaml, bytes.
MAX_CONFIG = 1024 * 1024

_PREFIX, _DELIMITER = "TOCSIN_", "__"
_FILE = "file:"


class LogSettings(Section):
    """The log: embedded (`sqlite`, one process) or `kafka`."""

    backend: Literal["sqlite", "kafka"] = "sqlite"
    bootstrap_servers: str = "127.0.0.1:9092"
    prefix: str = "tocsin."
    partitions: Annotated[int, Field(ge=1, le=1024)] = 4
    replication_factor: Annotated[int, Field(ge=1)] = 1
    retention: Duration = 7 * 86_400_000
    security: KafkaSecurity = KafkaSecurity()
    table_replicas: Annotated[int, Field(ge=0)] = 0


class StoreSettings(Section):
    """Where documents are searched: the embedded store or Elasticsearch."""

    backend: Literal["sqlite", "elasticsearch"] = "sqlite"
    url: str = "http://127.0.0.1:9200"
    api_key: str = ""
    username: str = ""
    password: str = ""
    ca_file: Path | None = None
    namespace: str = "default"
    retention: Duration = 30 * 86_400_000


def _of_level(value: object) -> object:
    """A level's severity; anything else is left for the number's own check."""
    return SEVERITY.get(value, value) if isinstance(value, str) else value


#: A severity from 0 to 100, or the name of a level.
Severity = Annotated[
    int,
    BeforeValidator(_of_level),
    Field(ge=0, le=100),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 100}, {"enum": list(SEVERITY)}]}
    ),
]


class RuleSettings(Section):
    """Sigma rules: ours unless switched off, and the user's directories or archives.

    `severity` replaces that of rules, by id or name: 0 to 100, or a level. `placeholders` are the
    lists for `expand`. `reload` is how often the files are looked at for changes (0: only on
    SIGHUP), `hosts` where `tocsin rules pull` may fetch from.
    """

    builtin: bool = True
    paths: tuple[Path, ...] = ()
    disable: tuple[str, ...] = ()
    severity: dict[str, Severity] = Field(default={})
    placeholders: dict[str, tuple[str, ...]] = Field(default={})
    allow_errors: bool = False
    reload: Duration = 5_000
    hosts: tuple[str, ...] = ()


class MappingSettings(Section):
    """Mappings of logs to ECS: ours, and the user's directories.

    One of the user's replaces ours of the same id; `disable` names those that must not be used.
    """

    paths: tuple[Path, ...] = ()
    disable: tuple[str, ...] = ()


class PlaybookSettings(Section):
    """Playbooks: the library's by id, and the user's directories.

    `kept_whole` is how long the state of a run that has ended is kept as it is; after that, what
    late answers must find.
    """

    builtin: tuple[str, ...] | Literal["all"] = "all"
    paths: tuple[Path, ...] = ()
    kept_whole: Duration = 10 * 60_000


class ConnectorSettings(BaseModel):
    """One configured product: `type` names the connector, the rest is its own configuration."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str

    def options(self) -> dict[str, Any]:
        """The connector's own keys."""
        return dict(self.model_extra or {})


class ResponseSettings(Section):
    """Response: dry run unless `mode: enforce`; verbs are bound to configured connectors."""

    mode: Mode = Mode.DRY_RUN
    connectors: dict[str, ConnectorSettings] = Field(default={})
    bindings: dict[str, str] = Field(default={})
    guards: GuardSettings = GuardSettings()
    approvers: dict[str, Approver] = Field(default={})
    links: LinkSettings = LinkSettings()
    reconcile: ReconcileSettings = ReconcileSettings()
    reports: Path = Path("reports")


class ConsoleSettings(Section):
    """The status page and metrics; loopback unless told otherwise."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8790


class Settings(BaseSettings):
    """The whole configuration."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter=_DELIMITER, extra="forbid", frozen=True
    )

    data_dir: Path = Path("data")
    log: LogSettings = LogSettings()
    store: StoreSettings = StoreSettings()
    sources: tuple[AnySource, ...] = ()
    mappings: MappingSettings = MappingSettings()
    rules: RuleSettings = RuleSettings()
    playbooks: PlaybookSettings = PlaybookSettings()
    response: ResponseSettings = ResponseSettings()
    audit: AuditSettings = AuditSettings()
    enrichment: EnrichmentSettings = EnrichmentSettings()
    indicators: IndicatorSettings = IndicatorSettings()
    behavior: BehaviorSettings = BehaviorSettings()
    privacy: PrivacySettings = PrivacySettings()
    console: ConsoleSettings = ConsoleSettings()
    batch_size: Annotated[int, Field(ge=1, le=100_000)] = 1000
    lateness: Duration = 10 * 60_000

    _directory: Path = PrivateAttr(default_factory=Path)

    @property
    def directory(self) -> Path:
        """Where relative paths start: the file's directory, the working directory without one."""
        return self._directory

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file (which arrives as init arguments)."""
        return (env_settings, init_settings)


def load(path: Path | None) -> Settings:
    """Read `path` (None: defaults and environment) into settings.

    Raises ConfigError naming every mistake.
    """
    content = {} if path is None else _read(path)
    mistakes = _unknown_variables()
    settings = None
    try:
        settings = Settings(**content)
    except ValidationError as error:
        mistakes += [_mistake(e["loc"], e["msg"]) for e in error.errors(include_url=False)]
    except SettingsError as error:
        mistakes.append(f"environment: {error}; lists and mappings are written as JSON")
    if settings is None or mistakes:
        where = path or f"the environment ({_PREFIX}…)"
        raise ConfigError(f"{where} is not valid:\n" + "\n".join(f"  {m}" for m in mistakes))
    return settings if path is None else _anchored(settings, path.resolve().parent)


def _mistake(loc: tuple[int | str, ...], message: str) -> str:
    """A mistake with its place and, for an unknown key, the one that was probably meant."""
    place = ".".join(str(part) for part in _written(loc)) or "(top)"
    if message != "Extra inputs are not permitted":
        return f"{place}: {message.removeprefix('Value error, ')}"
    near = get_close_matches(str(loc[-1]), _known_keys(loc[:-1]), n=1)
    return f"{place}: there is no such key" + (f"; did you mean {near[0]}?" if near else "")


def _source_type(loc: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The type of the source in which a place is; pydantic puts its name behind the number."""
    if len(loc) < 3 or loc[0] != "sources":
        return None
    return SOURCE_TYPES.get(str(loc[2]))


def _written(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """A place as the user wrote it."""
    return loc if _source_type(loc) is None else loc[:2] + loc[3:]


def _known_keys(loc: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Settings
    if (source := _source_type(loc)) is not None:
        model, loc = source, loc[3:]
    for part in loc:
        if isinstance(part, int):
            continue
        found = model.model_fields.get(part)
        if found is None:
            return []
        inner = _section_in(found.annotation)
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)


def _section_in(annotation: Any) -> Any:
    """The section of an optional one."""
    return next((each for each in get_args(annotation) if each is not type(None)), annotation)


def _unknown_variables() -> list[str]:
    """Variables of the form TOCSIN_SECTION__KEY whose section does not exist."""
    mistakes = []
    for name in sorted(os.environ):
        section, delimiter, _ = name.removeprefix(_PREFIX).partition(_DELIMITER)
        if name.startswith(_PREFIX) and delimiter and section.lower() not in Settings.model_fields:
            mistakes.append(f"{name}: there is no section {section.lower()}")
    return mistakes


class _Loader(yaml.SafeLoader):
    """YAML's own meaning of plain data, but a key that stands twice is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key '{key.value}' stands twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_CONFIG:
            raise ConfigError(f"{path} is larger than {MAX_CONFIG} bytes: is it the right file?")
        loaded = yaml.load(path.read_text("utf-8"), _Loader)  # noqa: S506  (a SafeLoader)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict) or not all(isinstance(key, str) for key in loaded):
        raise ConfigError(f"{path} must hold a mapping of names at the top")
    return loaded


def _anchored(settings: Settings, base: Path) -> Settings:
    """Relative paths seen from the file's directory, wherever the process was started."""

    def walk(value: Any) -> Any:
        match value:
            case Path():
                return base / value
            case str() if value.startswith(_FILE):
                return _FILE + str(base / value.removeprefix(_FILE))
            case tuple() | list():
                return type(value)(walk(item) for item in value)
            case dict():
                return {name: walk(item) for name, item in value.items()}
            case FileSource():
                return value.model_copy(update={"path": str(base / value.path)})
            case ConnectorSettings():
                return ConnectorSettings(type=value.type, **walk(value.options()))
            case BaseModel():
                return value.model_copy(
                    update={name: walk(getattr(value, name)) for name in type(value).model_fields}
                )
            case _:
                return value

    anchored: Settings = walk(settings)
    anchored._directory = base
    return anchored


def secret(reference: str) -> str:
    """The secret that a reference names: `env:NAME` or `file:/path` (trailing newline dropped).

    Raises ConfigError if it is missing, or if the text is no reference: a secret never stands in
    the configuration itself.
    """
    scheme, _, name = reference.partition(":")
    if scheme == "env":
        if (value := os.environ.get(name)) is None:
            raise ConfigError(f"the environment variable {name} is not set")
        return value
    if scheme == "file":
        try:
            return Path(name).read_text("utf-8").rstrip("\n")
        except OSError as error:
            raise ConfigError(f"the secret file {name} cannot be read: {error.strerror}") from None
    raise ConfigError("a secret must be a reference, env:NAME or file:/path")
