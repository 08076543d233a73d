"""Rules that change while the pipeline runs: looked at, loaded aside, taken all at once or not.

The files of `rules.paths` are looked at every so often, and on SIGHUP. A set that loads takes the
place of the old one between two batches; one with mistakes is refused with all of them, and the
old one goes on. To the stages with state it is as if the process had been started anew with the
new rules: windows of correlations that did not change go on, of those that did begin afresh.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import Counter, Gauge

from detect.rule_diff import compare
from detect.sigma.files import stamp
from tocsin.cli.loading import rule_set, running_cache
from tocsin.cli.rules.differing import summary
from tocsin.errors import ConfigError, ContentErrors
from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prometheus_client import CollectorRegistry

    from detect.match import MatchStage
    from detect.sigma import RuleSet
    from detect.sigma.batch import BatchMatcher
    from tocsin.config import Settings

logger = logging.getLogger(__name__)

#: Seconds for which files must stay as they are before they are read: a copy takes a while.
SETTLED = 0.3
#: How often that is waited for, before they are read anyway.
MAX_WAITS = 20
#: Mistakes of a refused set that are logged one by one.
SHOWN_ERRORS = 20


class Loaded(NamedTuple):
    """A rule set, ready to be used: a matcher for each match stage of the process."""

    rules: RuleSet
    matchers: Sequence[BatchMatcher]


class RuleReloader:
    """One of the pipeline's workers: keeps the rules up to date.

    `use` is called between two batches with what was loaded; `reread` gives the configuration as
    it is now, of which only `rules` is heeded.
    """

    name = "reload"

    def __init__(
        self,
        settings: Settings,
        rules: RuleSet,
        matching: Sequence[MatchStage],
        use: Callable[[Loaded], None],
        *,
        reread: Callable[[], Settings],
        registry: CollectorRegistry,
    ) -> None:
        self._settings = settings
        self._rules = rules
        self._matching = matching
        self._use = use
        self._reread = reread
        self._woken = asyncio.Event()
        self._asked = self._stopping = False
        self._seen = stamp(settings.rules.paths)
        self._gauge = Gauge("tocsin_rules", "rules in use, by state", ["state"], registry=registry)
        self._count = Counter(
            "tocsin_rule_reloads", "rule sets loaded while running", ["outcome"], registry=registry
        )
        self._tell(rules)

    def ask(self) -> None:
        """Load the rules as soon as possible, changed or not (SIGHUP)."""
        self._asked = True
        self._woken.set()

    def stop(self) -> None:
        """Let `run` return."""
        self._stopping = True
        self._woken.set()

    async def run(self) -> None:
        """Until `stop`."""
        while not self._stopping:
            await self._wait(self._settings.rules.reload / 1000 or None)
            asked, self._asked = self._asked, False
            if self._stopping:
                return
            if asked or await self._changed():
                await self.load()

    async def _wait(self, seconds: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        self._woken.clear()

    async def _changed(self) -> bool:
        """Whether the files are others than were loaded last; waits until they stay as they are."""
        found = await self._stamped()
        if found == self._seen:
            return False
        for _ in range(MAX_WAITS):
            await self._wait(SETTLED)
            before, found = found, await self._stamped()
            if found == before or self._stopping:
                break
        return not self._stopping

    async def _stamped(self) -> frozenset[tuple[str, int, int, int]]:
        return await asyncio.to_thread(stamp, self._settings.rules.paths)

    async def load(self) -> None:
        """Load the rules now; what is wrong with them is logged, and those in use go on."""
        try:
            settings = await asyncio.to_thread(self._reread)
            self._settings = self._settings.model_copy(update={"rules": settings.rules})
            self._seen = await self._stamped()
            rules = await asyncio.to_thread(rule_set, self._settings, running_cache(self._settings))
        except (ConfigError, ContentErrors) as error:
            self._refuse(error)
            return
        changes = await asyncio.to_thread(compare, self._rules, rules)
        if not changes:
            self._count.labels("unchanged").inc()
            logger.info("the rules are those in use")
            return
        matchers = await asyncio.to_thread(self._matchers, rules)
        self._use(Loaded(rules, matchers))
        self._count.labels("loaded").inc()
        logger.warning("rules loaded anew: %s", summary(changes, self._rules, rules))
        for wrong in rules.errors[:SHOWN_ERRORS]:
            logger.warning("a rule is left out (rules.allow_errors): %s", printable(wrong))
        self._rules = rules
        self._tell(rules)

    def _matchers(self, rules: RuleSet) -> list[BatchMatcher]:
        return [stage.matcher_like(rules) for stage in self._matching]

    def _refuse(self, error: ConfigError | ContentErrors) -> None:
        self._count.labels("refused").inc()
        lines = [printable(line) for line in str(error).splitlines()]
        more = len(lines) - SHOWN_ERRORS - 1
        told = "\n".join(lines[: SHOWN_ERRORS + 1]) + (f"\n  and {more} more" if more > 0 else "")
        logger.error("the changed rules are refused, those in use go on: %s", told)

    def _tell(self, rules: RuleSet) -> None:
        for state, found in (
            ("evaluated", len(rules.rules) + len(rules.correlations)),
            ("not evaluated", len(rules.unsupported)),
            ("wrong", len(rules.errors)),
        ):
            self._gauge.labels(state).set(found)
