"""Pictures of playbooks: everything is in them, and hostile text is only text."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from playbooks.loading import load_playbooks
from playbooks.picture import to_mermaid, to_svg
from responders.catalog import known_actions
from tests.playbooks.doubles import ACTIONS, playbook

HOSTILE = """
steps:
  - id: a
    if: 'alert.x == "<script>alert(1)</script>" && "#1]" != "|"'
    stop: "</text><script>x</script> # \\"quoted\\" ]"
"""


def test_every_step_of_the_library_is_in_both_pictures() -> None:
    actions = known_actions()
    for one in load_playbooks([], actions=actions):
        svg, mermaid = to_svg(one.document, actions), to_mermaid(one.document, actions)
        drawn = {element.text for element in ET.fromstring(svg).iter() if element.text}  # noqa: S314
        for step in one.steps:
            assert step.path in drawn, (one.id, step.path)
            assert f'"{step.path}' in mermaid, (one.id, step.path)
        assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")


def test_hostile_text_stays_text() -> None:
    made = playbook(HOSTILE)
    svg = to_svg(made.document, ACTIONS)
    ET.fromstring(svg)  # noqa: S314
    assert "<script" not in svg
    mermaid = to_mermaid(made.document, ACTIONS)
    assert "<script" not in mermaid
    for text in re.findall(r'[\[{(]"(.*)"[\]})]', mermaid):
        assert '"' not in text


def test_always_steps_come_last_and_conditions_are_asked() -> None:
    mermaid = to_mermaid(
        playbook(
            "steps:\n"
            "  - {id: last, always: true, action: case.report}\n"
            "  - {id: first, if: 1 > 2, action: geoip.lookup, with: {ip: 192.0.2.1}}\n"
        ).document,
        ACTIONS,
    )
    assert mermaid.index("first") < mermaid.index("last (always)")
    assert 'c0{"1 #gt; 2"}' in mermaid
    assert "c0 -- no -->" in mermaid
