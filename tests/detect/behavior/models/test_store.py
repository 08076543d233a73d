"""Versions and pointer: shadow, gate, promotion, rollback; what is refused stops nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from detect.behavior.models import dga, kinds
from detect.behavior.models.artifact import encode
from detect.behavior.models.in_force import ModelsInForce
from detect.behavior.models.signing import SigningKey, TrustedKeys, own_key
from detect.behavior.models.store import ModelStore, Pointer, gate
from tocsin.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from pathlib import Path

KEY = SigningKey.made()
SCHEMAS = {"dga": "a" * 64}
GOOD = {"auc": 0.98, "tpr_at_0.01": 0.8}


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path, TrustedKeys([KEY.public]), SCHEMAS)


def again(store: ModelStore) -> ModelStore:
    """The same directory, opened by another process."""
    return ModelStore(store.root, TrustedKeys([KEY.public]), SCHEMAS)


def model(seed: int, metrics: dict[str, Any] | None = None, held_out: str = "h") -> bytes:
    arrays = {"weights": np.full(3, seed, np.float32)}
    about = {"metrics": GOOD if metrics is None else metrics, "held_out": held_out}
    return encode("dga", "a" * 64, arrays, about, KEY)


def in_force(store: ModelStore) -> float:
    found = store.active("dga")
    assert found is not None
    return float(found.arrays["weights"][0])


def promoted(store: ModelStore, seed: int) -> str:
    version = store.add(model(seed)).version
    assert store.promote("dga").version == version
    return version


def test_a_candidate_alerts_nobody_before_it_is_promoted(store: ModelStore) -> None:
    added = store.add(model(1))
    assert store.active("dga") is None
    shadow = store.shadow("dga")
    assert shadow is not None
    assert shadow.version == added.version
    store.promote("dga")
    assert in_force(store) == 1
    assert store.shadow("dga") is None


def test_another_process_sees_the_new_model_without_a_restart(store: ModelStore) -> None:
    promoted(store, 1)
    other = again(store)
    assert in_force(other) == 1
    promoted(store, 2)
    assert in_force(other) == 2


def test_rollback_goes_back_one_by_one_and_keeps_the_newer_as_shadow(store: ModelStore) -> None:
    first, second, third = (promoted(store, seed) for seed in (1, 2, 3))
    assert store.rollback("dga").version == second
    assert store.pointer("dga") == Pointer(second, third, (first,))
    assert store.rollback("dga").version == first
    assert in_force(store) == 1
    with pytest.raises(ConfigError, match="no former model"):
        store.rollback("dga")


def test_the_gate_keeps_out_what_finds_less_at_few_false_alarms(store: ModelStore) -> None:
    promoted(store, 1)
    # The AUC of a model that learned from attacks is nearly the same; its recall is not.
    store.add(model(2, {"auc": 0.979, "tpr_at_0.01": 0.57}))
    with pytest.raises(ConfigError, match=r"tpr_at_0\.01 is 0\.570.* 0\.800"):
        store.promote("dga")
    assert in_force(store) == 1
    store.promote("dga", force=True)
    assert in_force(store) == 2


def test_the_gate_wants_figures_of_the_same_rows(store: ModelStore) -> None:
    one, other, none = (
        store.add(model(seed, metrics, held_out))
        for seed, metrics, held_out in ((1, GOOD, "a"), (2, GOOD, "b"), (3, {}, "a"))
    )
    assert gate(one, None) == []
    assert gate(other, one) == ["it was measured on other held-out rows than the model in force"]
    assert gate(none, None) == ["it was not measured on rows held out"]


def spoiled(store: ModelStore, version: str, how: str) -> None:
    path = store.root / "dga" / f"{version}.model"
    data = path.read_bytes()
    match how:
        case "truncated":
            path.write_bytes(data[:-3])
        case "tampered":
            path.write_bytes(data[:-3] + b"\0\0\1")
        case "unsigned":
            path.write_bytes(data[:20] + bytes(64) + data[84:])
        case "foreign_schema":
            path.write_bytes(encode("dga", "c" * 64, {}, {}, KEY))
        case "oversized":
            with path.open("r+b") as file:
                file.truncate(64 * 1024 * 1024 + 1)


@pytest.mark.parametrize(
    "how", ["truncated", "tampered", "unsigned", "foreign_schema", "oversized"]
)
def test_a_refused_file_stops_nothing(store: ModelStore, how: str) -> None:
    promoted(store, 1)
    running = again(store)
    assert in_force(running) == 1
    second = promoted(store, 2)
    spoiled(store, second, how)
    assert in_force(running) == 1, "the old one goes on"
    assert f"({how})" in running.problems["dga"]
    assert in_force(again(store)) == 1, "in a new process, too"
    store.rollback("dga")
    assert in_force(running) == 1
    assert not running.problems


def test_a_file_under_another_version_is_refused(store: ModelStore) -> None:
    first = promoted(store, 1)
    second = promoted(store, 2)
    directory = store.root / "dga"
    (directory / f"{second}.model").write_bytes((directory / f"{first}.model").read_bytes())
    fresh = again(store)
    assert in_force(fresh) == 1
    assert "holds another model" in fresh.problems["dga"]


def test_a_refused_file_does_not_come_in(store: ModelStore) -> None:
    promoted(store, 1)
    before = store.pointer("dga")
    with pytest.raises(ModelError, match="truncated"):
        store.add(model(2)[:-1])
    assert store.pointer("dga") == before


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"active": "../../etc", "shadow": "", "history": []}', '{"active": ""}']
)
def test_a_pointer_that_cannot_be_read_stops_nothing(store: ModelStore, text: str) -> None:
    promoted(store, 1)
    assert in_force(store) == 1
    (store.root / "dga" / "pointer.json").write_text(text, "utf-8")
    assert in_force(store) == 1
    assert "pointer.json" in store.problems["dga"]


def test_there_is_no_kind_that_the_program_does_not_score(store: ModelStore) -> None:
    with pytest.raises(ConfigError, match="no kind 'weather'"):
        store.promote("weather")


def test_detectors_get_the_model_in_force_opened_once(tmp_path: Path) -> None:
    key = own_key(tmp_path)
    store = ModelStore(tmp_path, TrustedKeys([key.public]), kinds.SCHEMAS)
    models = ModelsInForce(tmp_path)
    assert models("dga") is None
    words = [f"{a}{b}.example" for a in "mnv" for b in ("ara", "elo", "iso", "ota", "una", "ive")]
    odd = [f"x{n * 7919:x}q{n * 104729:x}.test" for n in range(1, 19)]
    rows = dga.Rows(words + odd, ["benign"] * 18 + ["made"] * 18)
    store.add(kinds.trained(kinds.KINDS["dga"], rows, key))
    assert models("dga") is None, "a shadow alerts nobody"
    beside = models.shadow("dga")
    assert beside is not None
    assert beside.reference.keys() == {"surprise", *beside.measures(["a.example"])}
    promoted = store.promote("dga")
    first = models("dga")
    assert first is not None
    assert first.version == promoted.version
    assert models("dga") is first
    assert first.score(["x7a2q9f31b.test"])[0] > first.score(["mara.example"])[0]
