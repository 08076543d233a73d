"""Models on live events: drift, and a shadow beside the model in force, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest

from detect.behavior.calibrate import Calibration
from detect.behavior.detectors.scored import WebPayload
from detect.behavior.memory import Memory
from detect.behavior.models.asking import SAMPLED, Asking, ModelMemory
from detect.behavior.models.drift import reference
from detect.behavior.models.standing import Standings, against, alarms
from detect.behavior.models.watch import MAX_TOLD, Beside, Watch
from detect.behavior.options import Options
from detect.behavior.replaying import Replay
from tests.detect.behavior.events import DAY, MONDAY, event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tocsin.contracts import Document

MINUTE, A_DAY = 60_000, 60


class Lengths:
    """A model that says -log10 p by how long a query is: one digit for `letters` of them."""

    def __init__(self, version: str, letters: float) -> None:
        self.version = version
        self.letters = letters
        usual = [float(5 + number % 40) for number in range(400)]
        self.reference = {
            "surprise": reference(value / letters for value in usual),
            "length": reference(usual),
        }

    def surprise(self, texts: list[str]) -> Any:
        return np.array([len(text.partition("=")[2]) / self.letters for text in texts])

    def measures(self, texts: list[str]) -> dict[str, list[float]]:
        return {"length": [float(len(text.partition("=")[2])) for text in texts]}


def requests(days: int, longer: int = 0) -> Iterator[Document]:
    """Sixty addresses a day, each with one request; some of them are long."""
    for number in range(days * A_DAY):
        at = MONDAY + number * DAY // A_DAY
        size = 5 + number * 7 % 40 + longer
        if number % 30 == 29:
            size = 110 + number % 5
        yield event(
            at,
            "web",
            event={"id": f"r{number}"},
            source={"ip": f"203.0.113.{number % A_DAY}"},
            url={"path": "/s", "query": "q=" + "x" * size},
        )


def replayed(given: Any, model: Any, shadow: Any = None, batch: int = 1_000) -> Replay:
    options = Options(model=lambda kind: model, shadow=lambda kind: shadow)
    replay = Replay((WebPayload(),), options)
    replay.findings = [*replay.take(given, batch=batch), *replay.end()]  # type: ignore[attr-defined]
    replay.memory.save()
    return replay


def row(replay: Replay) -> dict[str, Any]:
    """What `tocsin behavior status` would show, from the state as it is stored."""
    standings = Standings()
    for key, value in replay.state.items():
        prefix, _, kind = key.partition("|")
        standings.restore(prefix, kind, orjson.dumps(value))
    (found,) = standings.told()
    return found


def test_drift_is_told_of_what_is_unlike_training_only() -> None:
    usual = row(replayed(requests(5), Lengths("a", 30)))
    assert usual["rows"] > 200
    assert usual["verdict"] == "stable", usual["figures"]
    assert alarms(usual, 10.0) == []
    other = row(replayed(requests(5, longer=25), Lengths("a", 30)))
    assert other["verdict"] == "drifted"
    assert "has drifted" in alarms(other, 10.0)[0]
    few = row(replayed(requests(1, longer=25), Lengths("a", 30)))
    assert few["verdict"] == "too few"


def test_what_no_longer_comes_is_forgotten_and_a_new_version_begins_anew() -> None:
    watch = Watch("a", {"n": [0.5, 0.5]})
    known = {"n": {"edges": [1.0], "shares": [0.5, 0.5]}}
    watch.take(MONDAY, {"n": [0.0] * 300}, known)
    assert watch.drifted
    for day in range(1, 40):
        watch.take(MONDAY + day * DAY, {"n": [0.0, 2.0] * 150}, known)
    assert not watch.drifted
    assert Watch.unpack(orjson.loads(orjson.dumps(watch.pack()))) == watch
    replay = replayed(requests(3), Lengths("a", 30))
    replay.memory.models.watch("payload", Lengths("b", 30))
    assert replay.memory.models.watches["payload"].rows == 0


def test_alerts_a_day_are_held_against_the_budget() -> None:
    replay = replayed(requests(5), Lengths("a", 10))
    told = row(replay)
    assert len(replay.findings) >= 3  # type: ignore[attr-defined]
    assert told["detector"] == "web_attack_payload"
    assert told["alerts_a_day"] > 0
    assert alarms({**told, "verdict": "stable"}, 0.1)[0].endswith("against a budget of 0.1")


def test_a_shadow_is_asked_the_same_and_alerts_nobody() -> None:
    alone = replayed(requests(5), Lengths("a", 30))
    beside = replayed(requests(5), Lengths("a", 30), Lengths("b", 15))
    told = [[each.id for each in replay.findings] for replay in (alone, beside)]  # type: ignore[attr-defined]
    assert told[0] == told[1]
    seen = row(beside)["shadow"]
    assert (seen["shadow"], seen["active"]) == ("b", "a")
    assert seen["slices"] == 5 * A_DAY
    assert seen["days"] == 5
    assert sum(seen["differences"].values()) == 5 * A_DAY
    assert 0 < seen["agreement"] < 1
    assert seen["alerts_a_day_of_shadow"] > seen["alerts_a_day"]
    assert 0 < len(seen["disagreements"]) <= MAX_TOLD
    odd = seen["disagreements"][-1]
    assert odd["shadow"] == pytest.approx(2 * odd["active"], abs=0.02)
    assert odd["events"][0].startswith("r")


def test_two_equal_models_agree() -> None:
    seen = row(replayed(requests(5), Lengths("a", 20), Lengths("b", 20)))["shadow"]
    assert seen["agreement"] == 1.0
    assert seen["disagreements"] == []
    assert seen["alerts_a_day"] == seen["alerts_a_day_of_shadow"] > 0


def test_of_a_long_question_a_few_rows_are_counted() -> None:
    model, memory = Lengths("a", 30), ModelMemory()
    texts = [f"q={'x' * number}" for number in range(48)]
    asked = Asking(lambda kind: model, memory, MONDAY)("payload")
    assert asked.surprise(texts).tolist() == model.surprise(texts).tolist()
    assert memory.watches["payload"].rows == SAMPLED
    assert asked.surprise([]).tolist() == []
    assert memory.watches["payload"].rows == SAMPLED


def test_batches_do_not_show() -> None:
    one, other = (
        replayed(requests(3), Lengths("a", 30), Lengths("b", 15), batch=size).state
        for size in (1_000, 7)
    )
    for key in ("model|payload", "shadow|payload"):
        assert one[key] == other[key]


def test_a_restart_does_not_show() -> None:
    given, models = list(requests(3)), (Lengths("a", 30), Lengths("b", 15))
    whole = replayed(given, *models).state
    options = Options(model=lambda kind: models[0], shadow=lambda kind: models[1])
    first, second = Replay((WebPayload(),), options), Replay((WebPayload(),), options)
    list(first.take(given[:90]))
    first.memory.save()
    second.state = orjson.loads(orjson.dumps(first.state))
    second.memory = Memory(second.state, options.max_entities)
    second._offset = first._offset
    list(second.take(given[90:]))
    second.end()
    second.memory.save()
    for key in ("model|payload", "shadow|payload"):
        assert second.state[key] == whole[key]


def test_a_first_model_is_tried_without_one_in_force() -> None:
    replay = replayed(requests(3), None, Lengths("b", 15))
    assert replay.findings == []  # type: ignore[attr-defined]
    seen = row(replay)["shadow"]
    assert (seen["active"], seen["alerts_a_day"]) == ("", 0)
    assert seen["alerts_a_day_of_shadow"] > 0


def test_partitions_are_added_up() -> None:
    first = replayed(requests(3), Lengths("a", 30), Lengths("b", 15)).memory.models
    standings, twice = Standings(), Standings()
    for (prefix, kind), value in first.every():
        standings.restore(prefix, kind, orjson.dumps(value))
        for _ in range(2):
            twice.restore(prefix, kind, orjson.dumps(value))
    once, both = standings.told()[0], twice.told()[0]
    assert both["rows"] == pytest.approx(2 * once["rows"], abs=1)
    assert both["figures"] == once["figures"]
    assert both["shadow"]["slices"] == 2 * once["shadow"]["slices"]
    rates = [each["shadow"]["alerts_a_day_of_shadow"] for each in (once, both)]
    assert rates[1] == pytest.approx(2 * rates[0], abs=0.01)


def test_evidence_for_a_promotion() -> None:
    told = row(replayed(requests(5), Lengths("a", 20), Lengths("b", 20)))
    assert against(told, "b", "a") == []
    assert against(None, "b", "") == []
    assert "has not scored" in against(None, "b", "a")[0]
    assert "has not scored" in against(told, "c", "a")[0]
    assert "has not scored" in against(told, "b", "other")[0]
    few = row(replayed(requests(1), Lengths("a", 20), Lengths("b", 20)))
    assert "60 slices on 1 days" in against(few, "b", "a")[0]
    noisy = {**told, "shadow": {**told["shadow"], "alerts_a_day_of_shadow": 9.0}}
    assert "9 alerts a day" in against(noisy, "b", "a")[0]


def test_what_is_kept_is_bounded() -> None:
    beside, spec = Beside("b", "a"), WebPayload().spec
    for number in range(2_000):
        scores = (0.0, 10.0 + number) if number % 2 else (9.0, 0.0)
        beside.take(spec, scores, f"t|source|{number}", MONDAY + number * MINUTE, 100.0, ["e"] * 9)
    data = orjson.dumps(beside.pack())
    assert Beside.unpack(orjson.loads(data)) == _loaded(beside)
    assert len(beside.disagreements) == MAX_TOLD
    assert len(data) < 40_000
    assert all(len(side.quiet) <= 256 for side in beside.sides)


def _loaded(beside: Beside) -> Beside:
    """As stored: a calibration is rounded there."""
    for side in beside.sides:
        side.calibration = Calibration.unpack(side.calibration.pack())
    return beside
