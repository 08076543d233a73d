"""What is trained on a few made rows tells what it should, is repeatable, and goes into a file."""

from __future__ import annotations

import gzip
import random
from typing import TYPE_CHECKING

import numpy as np
import pytest

from detect.behavior.models import dga, flow, kinds, payload
from detect.behavior.models.artifact import decode
from detect.behavior.models.calibration import Calibration
from detect.behavior.models.drift import counted, drifts, over_budget, psi, reference
from detect.behavior.models.metrics import at_threshold, auc, ranking, tpr_at
from detect.behavior.models.payload_text import FEATURES, decoded, parts, seen
from detect.behavior.models.signing import SigningKey, TrustedKeys
from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

KEY = SigningKey.made()
TRUST = TrustedKeys([KEY.public])
SYLLABLES = ("mar", "to", "lin", "ver", "sol", "ka", "ne", "port", "house", "bel")


def names(count: int, seed: int) -> dga.Rows:
    """Names of syllables, and of letters thrown together by six families."""
    draw = random.Random(seed)  # noqa: S311
    usual = ["".join(draw.choices(SYLLABLES, k=3)) + ".example" for _ in range(count)]
    odd = ["".join(draw.choices("bcdfghjkqwxz0123456789", k=12)) + ".test" for _ in range(count)]
    return dga.Rows(usual + odd, ["benign"] * count + [f"f{i % 6}" for i in range(count)])


def test_names_thrown_together_are_told_from_those_of_syllables() -> None:
    rows = names(90, 1)
    data = kinds.trained(kinds.KINDS["dga"], rows, KEY)
    artifact = decode(data, TRUST, kinds.SCHEMAS)
    assert artifact.manifest["metrics"]["missed_families"] == []
    model = kinds.opened(artifact)
    told = dga.evaluate(model, names(100, 2))
    assert told["auc"] > 0.99
    assert told["host_tpr_at_0.01"] > 0.99
    one = model.score(["xq9zk2wj7bdf.test"])[0]
    assert one == pytest.approx(model.score(["XQ9ZK2WJ7BDF.test.", "marto.example"])[0])
    assert model.surprise(["xq9zk2wj7bdf.test"])[0] > 1.5 > model.surprise(["solka.example"])[0]
    assert kinds.trained(kinds.KINDS["dga"], rows, KEY) == data, "the same rows, the same model"


def test_families_that_are_held_back_are_not_learned_from() -> None:
    _, about = dga.train(names(60, 1), ["f1", "f2"])
    assert about["trained"] == {"names": 100, "families": ["f0", "f3", "f4", "f5"]}
    with pytest.raises(ConfigError, match="no family f9"):
        dga.train(names(60, 1), ["f9"])


def test_names_are_read_with_and_without_a_family(tmp_path: Path) -> None:
    path = tmp_path / "names.tsv.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write("a.example\tbenign\nb.test\tkraken\n\nc.example\n")
    assert dga.read(path) == (["a.example", "b.test", "c.example"], ["benign", "kraken", "benign"])


DECODED = {
    "%3Cscript%3E": "<script>",
    "%253Cscript%253E": "<script>",
    "&lt;IMG&gt;": "<img>",
    "a+b%20c": "a b c",
    "un/**/ion sel/* x */ect": "un ion sel ect",
    "\\x3cb\\u003e": "<b>",
    "a\0b": "ab",
    "%": "%",
    "100%": "100%",
}


def test_encodings_are_undone() -> None:
    for text, plain in DECODED.items():
        assert decoded(text) == plain, text


def test_a_skeleton_keeps_what_attacks_know_and_no_other_word() -> None:
    one, other = seen("1' or kxyq=8410--").skeleton, seen("7' or abc=1--").skeleton
    assert one == other
    assert seen("1' xor kxyq=8410--").skeleton != one
    assert len(seen("").measured) == len(FEATURES)
    assert max(map(max, (seen(t).measured for t in ("((((<<<<", "'" * 5000, "../" * 900)))) < 2


def test_the_values_of_a_query_string_are_looked_at_by_themselves() -> None:
    assert parts("plain") == ["plain"]
    assert parts("/a?x=1&y=<b>") == ["/a?x=1&y=<b>", "/a", "1", "<b>"]
    assert parts("x=1&y=2") == ["x=1&y=2", "1", "2"]
    assert len(parts("&".join(f"a{n}=1" for n in range(900)))) <= 17


def test_payloads_are_told_from_what_people_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "_MADE", 120)
    draw = random.Random(3)  # noqa: S311
    usual = [f"{draw.choice(SYLLABLES)} {draw.randrange(9999)}" for _ in range(150)]
    odd = [f"{draw.randrange(99)}' or {draw.randrange(99)}={draw.randrange(9)}#" for _ in usual]
    rows = payload.Rows(usual + odd, ["norm"] * 150 + ["sqli"] * 150)
    artifact = decode(kinds.trained(kinds.KINDS["payload"], rows, KEY), TRUST, kinds.SCHEMAS)
    assert artifact.manifest["metrics"]["auc"] > 0.99
    model = kinds.opened(artifact)
    fine, wrong = "/shop?name=O%27Neil&page=2", "/shop?name=%27+or+4%3D4%23&page=2"
    scores = model.score([fine, wrong])
    assert scores[1] > scores[0] + 2
    assert scores[1] == pytest.approx(model.score([wrong])[0], abs=1e-5)


def test_payloads_are_read_by_the_names_of_columns(tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    path.write_text('Sentence,Label\n"a, b",0\n<x>,1\n', "utf-8")
    assert payload.read(path) == (["a, b", "<x>"], ["norm", "1"])
    path.write_text("a,b\n1,2\n", "utf-8")
    with pytest.raises(ConfigError, match="none of the columns payload"):
        payload.read(path)


def flows(path: Path, count: int, odd: int) -> flow.Rows:
    """Rows in the columns of NSL-KDD: web traffic, and floods."""
    draw = random.Random(4)  # noqa: S311
    lines = []
    for number in range(count + odd):
        row: list[object] = [0] * 41
        row[1:6] = "tcp", "http", "SF", draw.randrange(100, 400), draw.randrange(1000, 9000)
        row[22] = draw.randrange(1, 20)
        if number >= count:
            row[3:6] = "S0", 0, 0
            row[22] = draw.randrange(200, 500)
        lines.append(",".join(map(str, [*row, "flood" if number >= count else "normal", 21])))
    path.write_text("\n".join(lines), "utf-8")
    return flow.read(path)


def test_flows_unlike_the_normal_ones_are_told(tmp_path: Path) -> None:
    rows = flows(tmp_path / "flows.csv", 240, 60)
    artifact = decode(kinds.trained(kinds.KINDS["flow"], rows, KEY), TRUST, kinds.SCHEMAS)
    assert artifact.manifest["trained"]["rows"] == 240
    model = kinds.opened(artifact)
    told = flow.evaluate(model, rows)
    assert told["auc"] > 0.99
    assert told["told_by_label"]["flood"] == 1.0
    assert model.surprise(rows)[:240].mean() < 1 < model.surprise(rows)[240:].min()
    only = flow.Rows(rows.numbers[240:], rows.categories[240:], rows.labels[240:])
    assert np.allclose(model.score(only), model.score(rows)[240:])


def test_a_wrong_row_of_flows_is_named(tmp_path: Path) -> None:
    path = tmp_path / "flows.csv"
    path.write_text(",".join(["0"] * 42) + "\n1,2\n", "utf-8")
    with pytest.raises(ConfigError, match=r"flows\.csv:2: a row has 41 columns"):
        flow.read(path)
    path.write_text(",".join(["x"] * 42), "utf-8")
    with pytest.raises(ConfigError, match=r"flows\.csv:1: could not convert"):
        flow.read(path)


def test_p_values_hold_for_new_normal_scores_and_fall_in_the_tail() -> None:
    draw = np.random.default_rng(5)
    calibration = Calibration.of_scores(draw.exponential(size=5_000))
    again = Calibration.of_arrays(calibration.arrays())
    fresh = draw.exponential(size=20_000)
    for share in (0.5, 0.1, 0.01, 0.001):
        assert (again.p_values(fresh) <= share).mean() == pytest.approx(share, rel=0.5)
        told = (fresh >= again.threshold(share)).mean()
        assert told == pytest.approx(share, rel=0.5)
    p = again.p_values(np.linspace(0, 60, 500))
    assert (np.diff(p) <= 1e-12).all()
    assert p.min() >= 1e-9


def test_figures_of_merit_by_hand() -> None:
    scores = np.array([0.1, 0.4, 0.4, 0.9])
    attack = np.array([False, False, True, True])
    assert auc(scores, attack) == pytest.approx(0.875)
    assert tpr_at(scores, attack, 0.4) == 0.5
    assert tpr_at(scores, attack, 0.5) == 1.0
    assert at_threshold(scores, attack, 0.4)["recall"] == 0.5
    with pytest.raises(ValueError, match="both kinds"):
        ranking(scores, np.ones(4, bool))


def test_drift_shows_in_scores_and_not_in_chance() -> None:
    draw = np.random.default_rng(6)
    known = {"score": reference(draw.normal(size=5_000)), "few": reference(draw.normal(size=500))}
    edges, shares = known["score"]["edges"], known["score"]["shares"]
    assert psi(counted(draw.normal(size=2_000), edges), shares) < 0.1
    moved = drifts({"score": draw.normal(1, size=2_000).tolist(), "few": [0.0] * 10}, known)
    assert {d.name: d.verdict for d in moved} == {"score": "drifted", "few": "too few"}
    assert over_budget(60, 30, 1.0) == 2.0
