"""Between detectors and models: what is asked is remembered, and a shadow is asked the same.

Detectors stay pure: they call `context.model(kind)` and score. Here is what a decision keeps of
it, in the partition's state: `model|KIND` (a Watch) and `shadow|KIND` (a Beside).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from detect.behavior.models.days import Ring
from detect.behavior.models.watch import Beside, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from detect.behavior.detector import Anomaly, Context, Detector, Spec
    from detect.behavior.observation import Observation
    from detect.behavior.options import Options
    from detect.behavior.profile import Profile

#: Prefixes of the keys in the state.
WATCH, BESIDE = "model", "shadow"
#: Rows of one question that are counted for drift, evenly taken: counting all costs as much again.
SAMPLED = 12


class ModelMemory:
    """What is kept of models in one partition; `changes` gives what is to be written."""

    def __init__(self) -> None:
        self.watches: dict[str, Watch] = {}
        self.besides: dict[str, Beside] = {}
        self.days = Ring()
        self._dirty: dict[str, None] = {}

    def restore(self, prefix: str, kind: str, value: Sequence[Any]) -> bool:
        """Take what the state holds under a key; whether it is a model's."""
        if prefix == WATCH:
            self.watches[kind] = Watch.unpack(value)
        elif prefix == BESIDE:
            self.besides[kind] = Beside.unpack(value)
        return prefix in (WATCH, BESIDE) or self.days.restore(prefix, kind, value)

    def watch(self, kind: str, model: Any) -> Watch:
        """What is known of this version, about to change."""
        self._dirty[f"{WATCH}|{kind}"] = None
        watch = self.watches.get(kind)
        if watch is None or watch.version != model.version:
            shares = {name: of["shares"] for name, of in model.reference.items()}
            watch = self.watches[kind] = Watch(model.version, shares)
        return watch

    def beside(self, kind: str, shadow: str, active: str) -> Beside:
        """What is known of these two versions beside each other, about to change."""
        self._dirty[f"{BESIDE}|{kind}"] = None
        beside = self.besides.get(kind)
        if beside is None or (beside.shadow, beside.active) != (shadow, active):
            beside = self.besides[kind] = Beside(shadow, active)
        return beside

    def changes(self) -> Iterator[tuple[str, list[Any]]]:
        """Keys and values that changed since the last time."""
        for (prefix, kind), value in self.every():
            if (name := f"{prefix}|{kind}") in self._dirty:
                yield name, value
        self._dirty = {}
        yield from self.days.changes()

    def every(self) -> Iterator[tuple[tuple[str, str], list[Any]]]:
        """All that is kept of models: prefix and kind, and its JSON."""
        for kind, watch in self.watches.items():
            yield (WATCH, kind), watch.pack()
        for kind, beside in self.besides.items():
            yield (BESIDE, kind), beside.pack()


class Asking:
    """`model` of one decision's Context; remembers which kinds the detector at work has asked."""

    def __init__(self, model: Callable[[str], Any], memory: ModelMemory, at: int) -> None:
        self.asked: list[str] = []
        self._model = model
        self._memory = memory
        self._at = at

    def __call__(self, kind: str) -> Any:
        """The model in force, which counts what it is asked; None without any."""
        self.asked.append(kind)
        model = self._model(kind)
        if model is None or not getattr(model, "reference", None):
            return model
        return _Counting(model, self._memory.watch(kind, model), self._at)

    def told(self, detector: str, found: Sequence[Any]) -> None:
        """The detector that has just asked has made these alerts."""
        for kind in dict.fromkeys(self.asked):
            watch = self._memory.watches.get(kind)
            if found and watch is not None:
                watch.told(self._at, detector)


class _Counting:
    """A model whose scores, and what it is given, are counted for drift."""

    def __init__(self, model: Any, watch: Watch, at: int) -> None:
        self.version = model.version
        self._model = model
        self._watch = watch
        self._at = at

    def surprise(self, rows: Any) -> Any:
        """As the model's."""
        found = self._model.surprise(rows)
        step = -(-len(rows) // SAMPLED) or 1
        columns = {"surprise": found[::step].tolist(), **self._model.measures(rows[::step])}
        self._watch.take(self._at, columns, self._model.reference)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def compare(
    detector: Detector,
    scored: Sequence[Anomaly],
    observation: Observation,
    profile: Profile,
    context: Context,
    options: Options,
    memory: ModelMemory,
) -> None:
    """Ask the shadow what the model in force was just asked, and remember the difference."""
    asking = context.model
    if not isinstance(asking, Asking):
        return
    for kind in dict.fromkeys(asking.asked):
        shadow, active = options.shadow(kind), options.model(kind)
        if shadow is None:
            continue
        asked = replace(context, model=_answering(kind, shadow, options.model))
        theirs = [*detector.score(observation, profile, asked)]
        if not theirs and not scored:
            continue
        version = active.version if active is not None else ""
        spec: Spec = detector.spec
        memory.beside(kind, shadow.version, version).take(
            spec,
            (_highest(scored), _highest(theirs)),
            observation.entity.key,
            observation.start,
            options.budgets.get(spec.name, spec.budget) * options.share,
            [sample.event_id for sample in observation.samples],
        )


def _answering(kind: str, shadow: Any, model: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda name: shadow if name == kind else model(name)


def _highest(anomalies: Sequence[Anomaly]) -> float:
    return max((each.score for each in anomalies), default=0.0)
