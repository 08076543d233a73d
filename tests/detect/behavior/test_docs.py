"""The page on behaviour says of each detector what the detector says of itself."""

from __future__ import annotations

import re
from pathlib import Path

from detect.behavior.deciding import RISK
from detect.behavior.detectors.table import all_detectors

PAGE = (Path(__file__).parents[3] / "docs" / "behavior.md").read_text("utf-8")


def test_every_detector_has_its_section() -> None:
    sections = dict(re.findall(r"^### (\S+)\n(.*?)(?=^###? |\Z)", PAGE, re.MULTILINE | re.DOTALL))
    specs = {each.spec.name: each.spec for each in all_detectors()} | {RISK.name: RISK}
    assert sections.keys() == specs.keys()
    for name, spec in specs.items():
        text = sections[name]
        missing = [each for each in (*spec.inputs, *spec.techniques) if each not in text]
        assert not missing, f"{name}: {', '.join(missing)}"
        assert spec.parameters or name in text, name
        assert f"level: {spec.level}" in text, name


def test_detectors_have_names_of_their_own_and_documented_parameters() -> None:
    names = [each.spec.name for each in all_detectors()]
    assert len(names) == len(set(names)) > 25
    for each in all_detectors():
        assert re.fullmatch(r"[a-z][a-z0-9_]+", each.spec.name)
        assert each.spec.kinds
        assert each.spec.parameters, each.spec.name
        assert each.spec.description, each.spec.name
