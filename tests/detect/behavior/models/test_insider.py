"""Users' days: how they are kept, what a model makes of them, and what verdicts change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest

from detect.behavior.detectors.insider import InsiderRisk
from detect.behavior.models import insider, kinds
from detect.behavior.models.artifact import decode
from detect.behavior.models.days import FEATURES, MAX_DAYS, Ring, added, vector
from detect.behavior.models.in_force import Served
from detect.behavior.models.signing import SigningKey, TrustedKeys
from detect.behavior.observation import SLICE, Entity, Observation
from detect.behavior.options import Options
from detect.behavior.replaying import Replay
from detect.behavior.verdicts import Verdict, apply, parse
from tests.detect.behavior.events import DAY, HOUR, MONDAY, event
from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

KEY = SigningKey.made()
SIZE = len(FEATURES)
SENT, HOURS = FEATURES.index("bytes sent"), FEATURES.index("rare hour")


def days(count: int = 600, *, verdicts: int = 0, odd: float = 3.0) -> insider.Rows:
    """Usual days of twenty users; judged ones send much (incidents) or come at night (none)."""
    draw = np.random.default_rng(7)
    found: list[tuple[int, Any, bool | None]] = []
    for number in range(count):
        row = np.abs(draw.normal(0.5, 0.3, SIZE))
        found.append((number // 20, row.round(2).tolist(), None))
    for number in range(verdicts):
        row = np.abs(draw.normal(0.5, 0.3, SIZE))
        true = number % 2 == 0
        row[SENT if true else HOURS] += odd
        found.append((number * count // 20 // max(verdicts, 1), row.round(2).tolist(), true))
    return insider.rows_of(found)


def model_of(rows: insider.Rows, seed: int = 0) -> tuple[Any, Any]:
    trust = TrustedKeys([KEY.public])
    artifact = decode(
        kinds.trained(kinds.KINDS["insider"], rows, KEY, (), seed), trust, kinds.SCHEMAS
    )
    return kinds.opened(artifact), artifact.manifest


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insider, "_TREES", 20)


def day(**features: float) -> list[float]:
    row = [0.5] * SIZE
    for name, amount in features.items():
        row[FEATURES.index(name.replace("_", " "))] = amount
    return row


def test_odd_days_are_told_from_usual_ones() -> None:
    model, manifest = model_of(days())
    usual, odd = model.surprise([day(), day(bytes_sent=6.0, rare_hour=6.0, objects=6.0)])
    assert usual < 1 < 1.9 < odd, "of 180 days no more can be said"
    assert manifest["verdicts"] == {
        "count": 0, "incidents": 0, "used": False, "why": "50 are needed"}  # fmt: skip
    assert manifest["metrics"]["told_at_0.01"] == pytest.approx(0.01, abs=0.01)
    assert manifest["reference"].keys() == {"surprise", *FEATURES}
    assert model.opinion(day(bytes_sent=4.0)).odd[0][0] == "bytes sent"
    again, _ = model_of(days())
    assert again.score([day(objects=1.0)]) == model.score([day(objects=1.0)])


def test_fifty_verdicts_change_the_ranking_and_forty_nine_do_not() -> None:
    sends, nights = day(bytes_sent=3.5), day(rare_hour=3.5)

    def lead(verdicts: int) -> tuple[float, Any]:
        model, manifest = model_of(days(verdicts=verdicts))
        ours, theirs = model.opinion(sends), model.opinion(nights)
        scores = model.score([sends, nights])
        assert abs(ours.digits) <= insider.OPINION
        return float(scores[0] - scores[1]), (ours, theirs, manifest["verdicts"])

    few, (ours, theirs, told) = lead(49)
    assert (ours.digits, theirs.digits, told["used"]) == (0, 0, False)
    many, (ours, theirs, told) = lead(50)
    assert told["used"]
    assert told["auc_with"] >= told["auc_without"]
    assert ours.digits > 0 > theirs.digits
    assert "bytes sent" in ours.features
    assert "rare hour" in theirs.features
    assert many > few + 0.5


def test_verdicts_that_rank_the_later_ones_worse_are_not_heard() -> None:
    rows = days(verdicts=80)
    judged = np.flatnonzero(rows.said >= 0)
    said = rows.said.copy()
    said[judged[56:]] = 1 - said[judged[56:]]
    model, manifest = model_of(insider.Rows(rows.table, rows.days, said))
    assert manifest["verdicts"]["why"] == "they ranked the later ones worse"
    assert model.opinion(day(bytes_sent=3.5)).digits == 0
    alike = insider.Rows(rows.table, rows.days, np.where(rows.said >= 0, 1, rows.said))
    assert "of each kind" in model_of(alike)[1]["verdicts"]["why"]


def test_days_are_read_and_too_few_refused(tmp_path: Path) -> None:
    path = tmp_path / "days.jsonl"
    lines = [{"day": 20_000 + n, "row": [0.1] * SIZE, "said": None} for n in range(3)]
    path.write_bytes(b"\n".join(map(orjson.dumps, lines)))
    rows = insider.read(path)
    assert rows.days == [20_000, 20_001, 20_002]
    with pytest.raises(ConfigError, match="at least 100 users' days"):
        insider.train(rows)
    path.write_bytes(b'{"day": 1, "row": [1]}')
    with pytest.raises(ConfigError, match=r"days\.jsonl:1: a day has"):
        insider.read(path)


def seen(at: int, objects: float = 0, user: str = "ada") -> Observation:
    entity = Entity("default", "user", user)
    made = Observation(entity, at - at % SLICE, at, at, sums={"events": 1, "objects": objects})
    return made


def test_a_day_has_the_highest_scores_and_what_was_done() -> None:
    first = added(None, seen(MONDAY, 9), {"bulk_download": 3.04, "beaconing": 9.0})
    both = added(first, seen(MONDAY + HOUR, 90), {"bulk_download": 1.0, "masquerade": 99.0})
    row = dict(zip(FEATURES, vector(both), strict=True))
    assert (row["bulk download"], row["rare program"], row["objects"]) == (3.0, 20.0, 2.0)
    assert added(both, seen(MONDAY + DAY), {})[1:] == [[0] * 10, [0, 0, 0, 0, 0, 1], 1]
    assert len(orjson.dumps(both)) < 120


def test_days_and_verdicts_are_kept_in_a_ring() -> None:
    ring, state = Ring(), {}
    for number in range(MAX_DAYS + 3):
        ring.finish(f"t|user|u{number}", added(None, seen(MONDAY), {}), open=False)
    today = added(None, seen(MONDAY + DAY, 5), {})
    ring.judge("t|user|u0", MONDAY // DAY, None, true=True, at=1)  # its day is no longer kept
    ring.judge("t|user|u5", MONDAY // DAY, None, true=True, at=2)
    ring.judge("t|user|u5", MONDAY // DAY, None, true=False, at=3)  # another word
    ring.judge("t|user|u5", MONDAY // DAY + 1, today, true=True, at=4)
    state = {name: orjson.loads(orjson.dumps(value)) for name, value in ring.changes()}
    assert len([name for name in state if name.startswith("day|")]) == MAX_DAYS
    judged = [value for name, value in state.items() if name.startswith("judged|")]
    assert [(j[1], j[4]) for j in judged] == [(3, 0), (4, 1)]
    again = Ring()
    for name, value in state.items():
        assert again.restore(*name.split("|"), value)  # type: ignore[call-arg]
    again.finish("t|user|next", today, open=True)
    ((name, value),) = again.changes()
    assert (name, value[0], value[3]) == ("day|3", MAX_DAYS + 3, 1)


def test_the_stage_keeps_days_and_verdicts_of_alerts() -> None:
    given = [
        event(MONDAY + day * DAY + 9 * HOUR, "file", event={"id": f"f{day}"},
              user={"name": "ada"}, file={"path": "/srv/plans/a.txt"})
        for day in range(3)
    ]  # fmt: skip
    replay = Replay()
    assert [*replay.take(given), *replay.end()] == []
    ada = Entity("default", "user", "ada")
    verdict = Verdict("true_positive", ada, "insider_risk", "a", MONDAY + 3 * DAY, of=MONDAY + HOUR)
    assert parse(orjson.loads(verdict.outgoing().value)) == verdict
    apply(verdict, replay.memory)
    apply(verdict._replace(of=MONDAY + 2 * DAY), replay.memory)
    replay.memory.save()
    kept = {k: v for k, v in replay.state.items() if k.partition("|")[0] in ("day", "judged")}
    assert [kept[f"day|{n}"][1:3] for n in (0, 1)] == [
        ["default|user|ada", MONDAY // DAY + n] for n in (0, 1)
    ]
    assert [kept[f"judged|{n}"][3] for n in (0, 1)] == [MONDAY // DAY, MONDAY // DAY + 2]
    ring = replay.memory.models.days
    assert not ring.restore("profile", "x", [])
    assert [*map(list, kept.values())] == [value for _, value in ring.every()]


def test_the_detector_adds_what_the_model_makes_of_the_day() -> None:
    model, manifest = model_of(days(verdicts=60))
    served = Served("insider", "0123456789ab", model, manifest["reference"])
    given = []
    for number in range(9):
        at = MONDAY + number * DAY + 9 * HOUR
        many = 40 if number == 8 else 1
        given += [
            event(at + each * 1_000, "network", event={"id": f"n{number}-{each}"},
                  user={"name": "ada"}, host={"name": "ws"},
                  source={"ip": "192.0.2.4", "bytes": 9_000_000},
                  destination={"domain": "drop.example.com", "bytes": 10})
            for each in range(many)
        ]  # fmt: skip

    def scored(model: Any) -> list[Any]:
        found: list[Any] = []
        detector = InsiderRisk()
        plain = detector.score

        class Looking(InsiderRisk):
            def score(self, observation: Any, profile: Any, context: Any) -> Any:
                made = [*plain(observation, profile, context)]
                found.extend(made)
                return made

        replay = Replay((Looking(),), Options(model=lambda kind: model))
        assert len([*replay.take(given), *replay.end()]) <= 1
        return found

    (without,), (told,) = scored(None)[-1:], scored(served)[-1:]
    assert told.model == "insider 0123456789ab"
    assert without.model == "profile"
    names = {part.feature for part in told.parts}
    assert {"a day like this", "verdicts"} <= names
    assert 0 < told.score - without.score <= 4.0 + insider.OPINION
