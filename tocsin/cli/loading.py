"""Loading everything users write: rules, playbooks, connectors, guards. All, or all mistakes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from detect.sigma import RuleSet, load_rules
from ingest.mapping.library import Library
from ingest.mapping.library import builtin as builtin_mappings
from ingest.mapping.loading import load_programs
from playbooks.guard_lists import GuardLists, own_addresses
from playbooks.loading import PlaybookSet, load_playbooks
from responders.catalog import (
    actions,
    bind,
    build_connectors,
    check_bindings,
    configured,
    known_actions,
)
from responders.inventory import Inventory
from tocsin.cli.places import located
from tocsin.errors import ConfigError, ContentErrors, TocsinError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from responders.base import Action, Connector
    from tocsin.config import ConnectorSettings, Settings

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Content:
    """What the stages are made of, loaded and valid."""

    mappings: Library
    rules: RuleSet
    playbooks: PlaybookSet
    connectors: Mapping[str, Connector]
    bindings: Mapping[str, str]
    actions: Mapping[str, Action]
    guards: GuardLists


def load_content(settings: Settings, cache: Path | None = None) -> Content:
    """Load everything; raises ConfigError with the mistakes of all parts together.

    `cache` is where compiled rules are kept; by default the place of whoever only looks. What
    depends on a part that is wrong is checked as far as it can be without it.
    """
    mistakes: list[TocsinError] = []
    named = located(configured(settings), settings.directory)
    wanted = settings.response.bindings
    mappings = _attempt(mistakes, mapping_library, settings)
    rules = _attempt(mistakes, rule_set, settings, cache)
    connectors = _attempt(mistakes, build_connectors, named)
    if connectors is None:
        bindings = None
        _attempt(mistakes, check_bindings, named, wanted)
    else:
        bindings = _attempt(mistakes, bind, connectors, wanted)
    served = known_actions()
    if connectors is not None and bindings is not None:
        served = actions(connectors, bindings)
    guards = None
    if connectors is not None or not _brings_lists(named):
        guards = _attempt(mistakes, guard_lists, settings, connectors or {})
    playbooks = _attempt(mistakes, playbook_set, settings, served, guards)
    if not (mistakes or rules is None or connectors is None or bindings is None) and (
        mappings is not None and guards is not None and playbooks is not None
    ):
        return Content(mappings, rules, playbooks, connectors, bindings, served, guards)
    raise ConfigError("nothing was started:\n" + "\n".join(str(m) for m in mistakes))


def _attempt(
    mistakes: list[TocsinError], load: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T | None:
    """What `load` gives; None, and its mistakes noted, so that the next part's are found too."""
    try:
        return load(*args, **kwargs)
    except (ConfigError, ContentErrors) as error:
        mistakes.append(error)
        return None


def _brings_lists(connectors: Mapping[str, ConnectorSettings]) -> bool:
    """Whether guard lists come from a connector: without it their names are not known."""
    return any(settings.type == "inventory" for settings in connectors.values())


def mapping_library(settings: Settings) -> Library:
    """The mappings of logs; raises ContentErrors, or ConfigError for an id that does not exist."""
    wanted = settings.mappings
    if not wanted.paths and not wanted.disable:
        return builtin_mappings()
    programs = load_programs(wanted.paths)
    if unknown := set(wanted.disable) - programs.keys():
        raise ConfigError(f"mappings.disable: there is no mapping {', '.join(sorted(unknown))}")
    return Library(p for id, p in programs.items() if id not in wanted.disable)


def rule_set(settings: Settings, cache: Path | None = None) -> RuleSet:
    """The configured rules; raises ContentErrors."""
    rules = settings.rules
    return load_rules(
        rules.paths,
        builtin=rules.builtin,
        disable=rules.disable,
        severity=rules.severity,
        placeholders=rules.placeholders,
        allow_errors=rules.allow_errors,
        cache=cache or looking_cache(settings),
    )


def chosen_rules(
    settings: Settings, paths: Sequence[Path], *, allow_errors: bool = False
) -> RuleSet:
    """The rules of `paths`, and without any the configured ones; raises ContentErrors."""
    if not paths:
        return rule_set(settings)
    return load_rules(
        paths,
        builtin=False,
        placeholders=settings.rules.placeholders,
        allow_errors=allow_errors,
        cache=looking_cache(settings),
    )


def running_cache(settings: Settings) -> Path:
    """Where the pipeline keeps compiled rules."""
    return settings.data_dir / "cache" / "rules"


def looking_cache(settings: Settings) -> Path:
    """Where a command that only looks keeps compiled rules.

    That is where the pipeline does if its directory is this user's; else in the user's own cache,
    because what another user made there would be in the pipeline's way.
    """
    try:
        if settings.data_dir.stat().st_uid == os.geteuid():
            return running_cache(settings)
    except OSError:
        pass
    own = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(own) / "tocsin" / "rules"


def guard_lists(settings: Settings, connectors: Mapping[str, Connector]) -> GuardLists:
    """The site's guard lists, with those of the inventory if there is one; raises ConfigError."""
    inventories = [c for c in connectors.values() if isinstance(c, Inventory)]

    def from_inventory() -> dict[str, tuple[str, ...]]:
        return {name: e for inventory in inventories for name, e in inventory.guard_lists().items()}

    return GuardLists(
        settings.response.guards,
        own=own_addresses(),
        inventory=from_inventory,
    )


def playbook_set(
    settings: Settings, served: Mapping[str, Action], guards: GuardLists | None
) -> PlaybookSet:
    """The configured playbooks, checked against verbs and guard lists; raises ContentErrors.

    Without `guards` the names of guard lists are not checked.
    """
    return load_playbooks(
        settings.playbooks.paths,
        settings.playbooks.builtin,
        actions=served,
        guard_lists=None if guards is None else guards.site.lists,
        known_verbs=known_actions(),
    )
