"""Models on data of others, a part of it so that it takes seconds; docs/models.md has the whole."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from detect.behavior.models import dga, flow
from detect.behavior.models.nab import costs, read, swept

if TYPE_CHECKING:
    from pathlib import Path

#: A published detector's window, bins, and chi-square's 99th percentile (four degrees of freedom).
WINDOW, BINS, CHI_SQUARE = 52, 5, 13.276704135987622


@pytest.fixture
def ml(shared: Path) -> Path:
    path = shared / "data" / "ml"
    if not path.is_dir():
        pytest.skip(f"no {path}")
    return path


def relative_entropy(values: Any) -> Any:
    """The detector of Wang et al. (2011) as the benchmark ran it: 1 where a mixture is new.

    It knows the least and the greatest value of the file beforehand, which ours does not.
    """
    told = np.zeros(len(values))
    low, step = values.min(), (values.max() - values.min()) / BINS
    if step == 0:
        return told
    bins = np.minimum(np.ceil((values - low) / step), BINS - 1).astype(int)
    filled = np.cumsum(np.eye(BINS, dtype=int)[bins], axis=0)
    filled = np.vstack([np.zeros((1, BINS), int), filled])
    shares = (filled[WINDOW:] - filled[:-WINDOW]) / WINDOW
    nearest, at = np.full(len(shares), np.inf), 0
    while at < len(shares):
        known, rest = shares[at], shares[at:]
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(rest > 0, rest * np.log(rest / known), 0.0)
        nearest[at:] = np.minimum(nearest[at:], 2 * WINDOW * terms.sum(axis=1))
        new = np.flatnonzero(nearest[at + 1 :] >= CHI_SQUARE)
        at = at + 1 + int(new[0]) if len(new) else len(shares)
        if at < len(shares):
            told[at + WINDOW - 1] = 1.0
    return told


def test_a_published_detector_gets_its_published_score(ml: Path, tmp_path: Path) -> None:
    with tarfile.open(ml / "nab.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    found, weights = read(tmp_path), costs(tmp_path, "standard")
    assert len(found) == 58
    result = swept(found, [relative_entropy(series.values) for series in found], weights)
    # config/thresholds.json of the benchmark: relativeEntropy, standard profile; 54.6 in its table.
    assert result.raw == pytest.approx(10.7711775285, abs=1e-8)
    assert round(result.score, 1) == 54.6
    assert result.windows == 116


def test_flows_of_a_part_of_the_training_file(ml: Path) -> None:
    every = flow.read(ml / "nslkdd-KDDTrain+_20Percent.txt.gz")
    part = range(0, len(every.labels), 16)
    chosen = flow.Rows(
        every.numbers[::16], [every.categories[i] for i in part], [every.labels[i] for i in part]
    )
    arrays, about = flow.train(chosen)
    assert about["trained"]["rows"] == chosen.labels.count("normal")
    assert about["metrics"]["auc"] > 0.98
    test = flow.read(ml / "nslkdd-KDDTest-21.txt.gz")
    part = range(0, len(test.labels), 16)
    held = flow.Rows(
        test.numbers[::16], [test.categories[i] for i in part], [test.labels[i] for i in part]
    )
    assert flow.evaluate(flow.opened(arrays, "part"), held)["auc"] > 0.82


def test_families_of_generated_names_that_were_held_back(ml: Path) -> None:
    rows = dga.read(ml / "dga.tsv.gz")
    part = dga.Rows(rows.names[::8], rows.families[::8])
    _, about = dga.train(part)
    assert about["metrics"]["auc"] > 0.9
    assert about["metrics"]["host_tpr_at_0.01"] > 0.88
    assert set(about["metrics"]["missed_families"]) <= {"nymaim2", "qsnatch", "suppobox"}
