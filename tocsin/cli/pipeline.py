"""Wiring: from a configuration to running stages. The only place that knows all packages."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, Self

from detect.alerts import AlertStage
from detect.correlate import CorrelateStage
from detect.indicators.stage import IndicatorStage
from detect.match import MatchStage
from ingest.normalize import NormalizeStage
from ingest.sources.account import SourceMetrics
from playbooks.act import ActWorker
from playbooks.decide import DecideStage
from playbooks.notices import NoticeStage
from playbooks.trigger import TriggerStage
from tocsin.cli.anchoring import audit_workers, signer
from tocsin.cli.answer_lines import answer_line
from tocsin.cli.behaving import behavior_stages
from tocsin.cli.knowledge import Knowledge
from tocsin.cli.loading import load_content, running_cache
from tocsin.cli.models_live import ModelGauges
from tocsin.cli.models_schedule import Retraining
from tocsin.cli.reloading import RuleReloader
from tocsin.cli.retention import Retention
from tocsin.cli.rule_metrics import RuleCosts
from tocsin.cli.settling import settled
from tocsin.cli.sources import build_sources
from tocsin.cli.topics import all_topics, build_log
from tocsin.clock import Clock, SystemClock
from tocsin.console.app import Console, allowed_hosts
from tocsin.contracts import Topics
from tocsin.errors import ConfigError, StoreError
from tocsin.index import IndexSink, build_store
from tocsin.log.sqlite import SqliteLog
from tocsin.metrics import Metrics
from tocsin.runtime import SinkRunner, StageRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from starlette.applications import Starlette

    from detect.behavior.behavior import BehaviorStage
    from tocsin.cli.reloading import Loaded
    from tocsin.config import Settings
    from tocsin.console.control import Control
    from tocsin.console.pages import Pages
    from tocsin.stage import Stage

logger = logging.getLogger(__name__)

#: The stages of `--stages`, in the order of the path.
STAGES = (
    *("collect", "normalize", "match", "indicators", "observe", "behavior", "correlate", "alert"),
    *("decide", "act", "index"),
)

#: Stages whose keyed state lives in Faust tables where the log is Kafka.
TABLED = ("behavior", "correlate", "alert")

#: What the index stage stores.
INDEXED = (Topics.EVENTS, Topics.ALERTS, Topics.RUNS, Topics.AUDIT, Topics.DEAD_LETTERS)


class Worker(Protocol):
    """Something that runs until it is told to stop."""

    @property
    def name(self) -> str: ...

    async def run(self) -> None: ...

    def stop(self) -> None: ...


class Pipeline:
    """The stages of one process over one log, from start to stop.

    Use as `async with`: entering makes the topics and opens the store, leaving closes both.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        stages: Sequence[str] = STAGES,
        clock: Clock | None = None,
        members: int = 1,
        reread: Callable[[], Settings] | None = None,
    ) -> None:
        """Loads all content; raises ConfigError or ContentErrors before anything is opened.

        `members` is how many members of each stage's group run in this process; `reread` gives
        the configuration anew when rules are loaded while it runs.
        """
        if unknown := [stage for stage in stages if stage not in STAGES]:
            raise ConfigError(f"no stage {', '.join(unknown)}; stages are {', '.join(STAGES)}")
        self.settings = settings
        self.stages = tuple(stages)
        self._members = members
        self.clock = clock or SystemClock()
        self.metrics = Metrics()
        # A first start that is refused leaves nothing behind, not even a directory.
        kept = running_cache(settings) if settings.data_dir.is_dir() else None
        self.content = load_content(settings, kept)
        self._signer = signer(settings.audit)
        self.knowledge = Knowledge(settings, self.clock, stages=set(stages))
        self.log = build_log(settings, self.clock)
        self.store = build_store(settings.store, settings.data_dir, self.clock)
        collected = settings.sources if "collect" in stages else ()
        self.sources = build_sources(collected, self.log, self.clock)
        SourceMetrics(self.sources, self.metrics.registry)
        self.workers: list[Worker] = []
        self.reloader: RuleReloader | None = None
        self._reread = reread or (lambda: settings)
        self._matching: list[MatchStage] = []
        self.metrics.registry.register(RuleCosts(lambda: self._matching))
        self._behaving: list[BehaviorStage] = []
        self.metrics.registry.register(ModelGauges(lambda: self._behaving))

    async def __aenter__(self) -> Self:
        try:
            await self.log.start()
            await self.log.create(all_topics(self.settings))
            await self.store.start()
            await self.knowledge.load()
        except BaseException:
            await self.__aexit__()
            raise
        self.workers = list(self._workers())
        if set(self.stages) & {"match", "correlate", "alert"}:
            self.reloader = self._reloader()
            self.workers.append(self.reloader)
        if isinstance(self.log, SqliteLog):
            self.workers.append(Retention(self.log, self._groups(), self.clock))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.store.close()
        await self.log.close()
        self.knowledge.close()
        for connector in self.content.connectors.values():
            await connector.close()

    async def run(self) -> None:
        """Run all stages until `stop`; a stage that fails on a defect ends them all."""
        if "index" in self.stages:
            await self._set_up_store()
        async with asyncio.TaskGroup() as group:
            for worker in self.workers:
                group.create_task(worker.run(), name=worker.name)

    def stop(self) -> None:
        """Let every stage finish what it is at."""
        for worker in self.workers:
            worker.stop()

    def down(self) -> list[str]:
        """The stages that cannot work just now, each with its reason."""
        return [f"{w.name} ({reason})" for w in self.workers if (reason := getattr(w, "down", ""))]

    async def settle(self, timeout: float) -> bool:
        """Wait until every record has been processed and nothing follows; False on time-out.

        A source is waited for until it has read what there is.
        """
        deadline = time.monotonic() + timeout
        while await settled(self.log, self._groups(), deadline - time.monotonic()):
            if all(getattr(worker, "idle", True) for worker in self.workers):
                return True
        return False

    def _groups(self) -> dict[str, str]:
        """The topic of each group that this process is a member of."""
        return {w.name: topic for w in self.workers if (topic := getattr(w, "topic", ""))}

    def status_app(self, control: Control | None = None, pages: Pages | None = None) -> Starlette:
        """The status page of this process; with `control` it also takes what people ask.

        With `pages` people answer and call off there.
        """
        settings = self.settings
        console = Console(self.store, self.metrics, settings.response.mode, self.down, self.clock)
        hosts = allowed_hosts(settings.console.host, settings.response.links.url)
        return console.app(hosts, control, pages)

    async def _set_up_store(self) -> None:
        """Install the store's templates; a store that cannot be set up now is so later.

        Detection and containment do not need it, so they do not wait for it.
        """
        try:
            await self.store.setup()
        except StoreError as error:
            logger.warning("%s; documents wait in the log until they can be stored", error)

    def _workers(self) -> Iterator[Worker]:
        wanted = set(self.stages)
        if "collect" in wanted:
            yield from self.sources
        for _ in range(self._members):
            for stage in self._pure_stages(wanted):
                yield self._runner(stage)
            if "act" in wanted:
                yield self._act()
        behavior = self.settings.behavior
        if behavior.enabled and behavior.models.retrain and "behavior" in wanted:
            directory = self.settings.data_dir / "models"
            yield Retraining(
                *(behavior.models.retrain, directory, self.log, self.clock),
                stages=self._behaving,
            )
        yield from self.knowledge.workers(self.log, self.metrics)
        if "index" in wanted:
            for topic in INDEXED:
                sink = IndexSink(topic, self.store, self.clock)
                yield SinkRunner(sink, self.log, clock=self.clock, metrics=self.metrics)
            audit = self.settings.audit
            yield from audit_workers(
                audit, self._signer, self.content, self.log, self.clock, self.metrics
            )

    def _reloader(self) -> RuleReloader:
        return RuleReloader(
            self.settings,
            self.content.rules,
            self._matching,
            self._use,
            reread=self._reread,
            registry=self.metrics.registry,
        )

    def _use(self, loaded: Loaded) -> None:
        """Other rules for every stage that has some, before the next batch of any of them."""
        self.content = replace(self.content, rules=loaded.rules)
        for worker in self.workers:
            if isinstance(worker, StageRunner) and worker.name in ("correlate", "alert"):
                worker.use(self._stateful(worker.name))
        for stage, matcher in zip(self._matching, loaded.matchers, strict=True):
            stage.use(loaded.rules, matcher)

    def _stateful(self, name: str) -> Stage:
        lateness, correlations = self.settings.lateness, self.content.rules.correlations
        if name == "correlate":
            return CorrelateStage(correlations, lateness=lateness)
        return AlertStage(lateness=lateness, correlations=correlations)

    def _pure_stages(self, wanted: set[str]) -> Iterator[Stage]:
        content = self.content
        if "normalize" in wanted:
            yield NormalizeStage(content.mappings, self.knowledge.door)
        if "match" in wanted:
            self._matching.append(MatchStage(content.rules))
            yield self._matching[-1]
        if (feeds := self.knowledge.feeds) is not None:
            yield IndicatorStage(lambda: feeds.table, feeds.allowed)
        if self.settings.behavior.enabled:
            yield from behavior_stages(self.settings, wanted, self._behaving)
        if "correlate" in wanted:
            yield self._stateful("correlate")
        if "alert" in wanted:
            yield self._stateful("alert")
        if "decide" in wanted:
            yield TriggerStage(content.playbooks)
            yield NoticeStage(self.settings.response.mode)
            yield DecideStage(
                content.playbooks,
                self.settings.response.mode,
                actions=content.actions,
                kept_whole=self.settings.playbooks.kept_whole,
            )

    def _runner(self, stage: Stage) -> Worker:
        """What is TABLED lives in Faust tables on Kafka; the rest runs on the log."""
        settings = self.settings
        if settings.log.backend == "kafka" and stage.name in TABLED:
            from tocsin.log.faust_tables import FaustStage

            return FaustStage(
                stage,
                settings.log,
                clock=self.clock,
                metrics=self.metrics,
                data_dir=settings.data_dir / "faust",
            )
        return StageRunner(
            stage,
            self.log,
            clock=self.clock,
            metrics=self.metrics,
            batch_size=settings.batch_size,
        )

    def _act(self) -> Worker:
        response = self.settings.response
        return ActWorker(
            self.log,
            self.content.connectors,
            bindings=self.content.bindings,
            guards=self.content.guards.current,
            clock=self.clock,
            metrics=self.metrics,
            mode=response.mode,
            reconcile=response.reconcile,
            answer_line=answer_line(response.links, self.clock),
            kept_whole=self.settings.playbooks.kept_whole,
        )
