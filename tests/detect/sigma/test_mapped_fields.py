"""Both matchers read fields alike, however the taxonomy maps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detect.sigma import Taxonomy
from detect.sigma.event import FieldMap, Mapped, Member, Path
from detect.sigma.taxonomy import Entry, Logsource, membership
from tests.detect.sigma.support import load
from tests.detect.sigma.test_batch import EVENTS, assert_agree, engine, rules_of
from tocsin.errors import BadInput, ContentErrors

if TYPE_CHECKING:
    import pathlib

__all__ = ["engine"]


def paths(*names: str) -> tuple[Path, ...]:
    return tuple(map(Path.of, names))


RENAMED = {"a": "cmd.exe", "true": "5", "5": "true", "\u00e9": "K"}

#: Fields of test_batch's rules, each mapped in another way.
MAPPED = Taxonomy(
    [
        Entry(
            Logsource(category="test"),
            membership({"never.there|exists": False}),
            FieldMap(
                {
                    "a": Mapped(paths("b", "a"), values=RENAMED),
                    "b": Mapped(paths("c", "list"), member=Member("n", "x", "v")),
                    "c.d": Mapped(paths("c.d", "a"), union=True, values=RENAMED),
                    "event.code": Mapped(paths("event.code"), values=RENAMED),
                    "event.category": Mapped(
                        paths("list"), values=RENAMED, member=Member("n", "5", "v")
                    ),
                },
            ),
        ),
        Entry(
            Logsource(category="test", service="other"),
            membership([{"event.code": ["a", "5", "true"]}, {"event.category": "a"}]),
            FieldMap({"a": Mapped((Path("x.y.z", ("x", "y.z")),))}, ("c",)),
        ),
    ]
)
NAMED = st.fixed_dictionaries(
    {}, optional={"n": st.sampled_from(["x", "X", 5, "5"]), "v": st.sampled_from(["a", "5", True])}
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    made=rules_of(),
    events=st.lists(st.tuples(EVENTS, st.lists(NAMED, max_size=3)), min_size=1, max_size=5),
)
@pytest.mark.usefixtures("engine")
def test_generated(
    made: list[dict[str, Any]],
    events: list[tuple[dict[str, Any], list[dict[str, Any]]]],
    tmp_path: pathlib.Path,
) -> None:
    try:
        rules = load(tmp_path, *made, taxonomy=MAPPED)
    except ContentErrors:
        return  # no valid Sigma: an expression that is none, an empty value
    given_events = [
        orjson.loads(orjson.dumps({**event, "list": named, "x": {"y.z": "a"}}))
        for event, named in events
    ]
    try:
        for event in given_events:
            rules.match(event)
    except BadInput:
        return
    assert_agree(rules, given_events)
