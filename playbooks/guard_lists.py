"""Reads guard lists: entries of the configuration, files they refer to, assets of the inventory.

`file:PATH` has one entry a line, `#` starts a comment. Files are read again when they change. A
list that cannot be read any more keeps what it held last: a protection is never lost to a typo.
"""

from __future__ import annotations

import logging
import socket
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from playbooks.guard_hours import SiteQuiet
from playbooks.guards import SiteGuards
from playbooks.model_guards import DAYS, minutes
from playbooks.ranges import NamedList
from tocsin.contracts import Quiet, Rate, Share
from tocsin.errors import ConfigError, TocsinError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tocsin.config import GuardSettings
    from tocsin.guard_config import QuietSettings

_log = logging.getLogger(__name__)

#: Largest list file, bytes.
MAX_LIST_FILE = 64 * 1024 * 1024

_FILE = "file:"


class GuardLists:
    """The site's guards, current as of the last `current`.

    `inventory` gives further lists by name (such as `critical_assets`) and is asked each time;
    it may raise TocsinError while it has none.
    Raises ConfigError from the constructor naming every list that cannot be read and every
    `never` name that is no list.
    """

    def __init__(
        self,
        settings: GuardSettings,
        *,
        own: Iterable[str] = (),
        base: Path = Path(),
        inventory: Callable[[], Mapping[str, Iterable[str]]] = dict,
        rates: Mapping[str, Rate] | None = None,
    ) -> None:
        self._settings = settings
        self._base = base
        self._inventory = inventory
        self._own = tuple(own)
        self._rates = {
            verb: Rate(max=each.max, per=each.per, exceed=each.exceed)
            for verb, each in settings.rates.items()
        } | dict(rates or {})
        self._shares = {
            verb: Share(percent=each.percent, of=each.of, exceed=each.exceed)
            for verb, each in settings.max_percent.items()
        }
        self._quiet = tuple(_quiet(each) for each in settings.quiet_hours)
        self._stamp: object = None
        self._lists: dict[str, NamedList] = {}
        mistakes = self._load()
        mistakes += [
            f"never: {self._no(name)}" for name in settings.never if name not in self._lists
        ]
        mistakes += [
            f"max_percent.{verb}.of: {self._no(share.of)}"
            for verb, share in self._shares.items()
            if share.of not in self._lists
        ]
        if mistakes:
            raise ConfigError("response.guards is not usable:\n  " + "\n  ".join(mistakes))

    def _no(self, name: str) -> str:
        near = get_close_matches(name, self._lists, n=1)
        known = ", ".join(sorted(self._lists)) or "none"
        return f"{name} is no list; " + (
            f"did you mean {near[0]}?" if near else f"lists are {known}"
        )

    @property
    def site(self) -> SiteGuards:
        """The guards to evaluate with."""
        return SiteGuards(
            self._lists, self._settings.never, self._own, self._rates, self._shares, self._quiet
        )

    def current(self) -> SiteGuards:
        """Read again what changed, and give the guards as of now.

        What cannot be read is logged and stays as it was.
        """
        for mistake in self._load():
            _log.error("guard list kept as it was last read: %s", mistake)
        return self.site

    def _load(self) -> list[str]:
        try:
            known = {name: tuple(entries) for name, entries in self._inventory().items()}
        except TocsinError as error:
            return [f"inventory: {error}"]
        stamp = (known, self._file_stamps())
        if stamp == self._stamp:
            return []
        self._stamp = stamp
        wanted: dict[str, tuple[str, ...]] = {**known}
        for name, entries in self._settings.lists.items():
            wanted[name] = (*known.get(name, ()), *entries)
        mistakes = []
        for name, listed in wanted.items():
            try:
                self._lists[name] = NamedList.parse(name, self._expand(listed))
            except (OSError, ValueError) as error:
                mistakes.append(f"{name}: {error}")
        return mistakes

    def _file_stamps(self) -> tuple[tuple[int, int] | None, ...]:
        return tuple(
            _file_stamp(self._base / entry.removeprefix(_FILE))
            for entries in self._settings.lists.values()
            for entry in entries
            if entry.startswith(_FILE)
        )

    def _expand(self, entries: Iterable[str]) -> Iterable[str]:
        for entry in entries:
            if entry.startswith(_FILE):
                yield from _lines(self._base / entry.removeprefix(_FILE))
            else:
                yield entry


def _quiet(hours: QuietSettings) -> SiteQuiet:
    quiet = Quiet(
        since=minutes(hours.since),
        until=minutes(hours.until),
        days=tuple(DAYS.index(day) for day in hours.days),
        zone=hours.zone,
        exceed=hours.exceed,
    )
    return SiteQuiet(quiet, hours.verbs)


def _file_stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ctime_ns, status.st_size


def _lines(path: Path) -> list[str]:
    if (size := path.stat().st_size) > MAX_LIST_FILE:
        raise ValueError(f"{path} has {size} bytes, at most {MAX_LIST_FILE} are read")
    lines = (line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    return [line for line in lines if line]


def own_addresses(hostname: str | None = None) -> tuple[str, ...]:
    """The addresses this machine's name resolves to and those it reaches others from.

    No packet is sent: connecting a datagram socket only chooses the source address.
    """
    found: set[str] = set()
    try:
        entries = socket.getaddrinfo(hostname or socket.gethostname(), None)
    except socket.gaierror:
        entries = []
    found.update(str(entry[4][0]).partition("%")[0] for entry in entries)
    for family, elsewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((elsewhere, 9))
                found.add(str(probe.getsockname()[0]).partition("%")[0])
        except OSError:
            _log.debug("no route of family %s", family)
    return tuple(sorted(found))
