"""Sections of tocsin.yaml about enrichment, indicators and privacy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tocsin.config_types import Duration, Section


class EnrichmentSettings(Section):
    """Local data that events and alerts are enriched with.

    `public_suffixes` is a newer list than the one that came with the library. `user_agents` needs
    the extra of that name.
    """

    geoip: tuple[Path, ...] = ()
    inventory: Path | None = None
    identities: Path | None = None
    registered_domains: bool = False
    public_suffixes: Path | None = None
    user_agents: bool = False


#: A name that may stand in file names, metric labels and reasons.
_NAME = r"[a-z0-9][a-z0-9_.-]{0,63}"


class FeedSettings(Section):
    """One source of indicators: a local `path`, or a `url` asked again `every` so often.

    An indicator that names no end of its own expires `ttl` after its own time (0: never).
    `column` is the CSV column of the value, a name of the header or a number from 1. Secrets are
    references.
    """

    name: Annotated[str, Field(pattern=f"^{_NAME}$")]
    type: Literal["stix", "taxii", "misp", "csv"]
    path: Path | None = None
    url: str = ""
    every: Annotated[Duration, Field(ge=10_000)] = 3_600_000
    username: str = ""
    password: str = ""
    token: str = ""
    ca_file: Path | None = None
    level: Literal["informational", "low", "medium", "high", "critical"] = "high"
    min_confidence: Annotated[int, Field(ge=0, le=100)] = 0
    ttl: Duration = 0
    column: str = ""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (not self.url):
            raise ValueError("a feed has either a path or a url")
        if self.type == "taxii" and not self.url:
            raise ValueError("a TAXII feed needs the url of its collection")
        return self


class IndicatorSettings(Section):
    """Known bad addresses, domains, hashes and URLs that events are matched against.

    `allow` names what never matches (values, ranges, domains, or `file:` references); `popular`
    is a file of domains that no domain indicator may name. `lookback` is how far back a new
    indicator is looked for in the log; 0 does not look back.
    """

    feeds: tuple[FeedSettings, ...] = ()
    allow: tuple[str, ...] = ()
    popular: Path | None = None
    lookback: Duration = 7 * 86_400_000

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [feed.name for feed in self.feeds]
        if doubles := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"feeds need distinct names: {', '.join(doubles)}")
        return self


class PrivacyRule(Section):
    """What happens to some fields of a source's events.

    `encrypt` seals them under the key of the person that the field `subject` names (without it,
    or where it is missing, under the key of the value itself).
    """

    fields: Annotated[tuple[str, ...], Field(min_length=1)]
    action: Literal["drop", "hash", "encrypt"]
    subject: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.subject and self.action != "encrypt":
            raise ValueError("only `encrypt` has a subject")
        return self


class PrivacyPolicy(Section):
    """What leaves of the sources that match one of `sources` (patterns with * and ?).

    `original` drops event.original altogether instead of redacting it; `residency` is a tag such
    as `eu` that each event carries.
    """

    sources: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    rules: tuple[PrivacyRule, ...] = ()
    original: Literal["redact", "drop"] = "redact"
    residency: str = ""


class PrivacySettings(Section):
    """Privacy at the door; `key` (a reference) is the secret that values are hashed with.

    `store` is the SQLite file of the subjects' keys, `subjects.sqlite` in `data_dir` without it.
    """

    key: str = ""
    store: Path | None = None
    policies: tuple[PrivacyPolicy, ...] = ()
