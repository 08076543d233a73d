"""Detectors that ask a model, and tunnels in DNS: what they tell, and what they leave alone."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from detect.behavior.detector import Anomaly, Context, Detector
from detect.behavior.detectors.dns_tunneling import DnsTunneling, carried_bytes
from detect.behavior.detectors.scored import Dga, WebPayload
from detect.behavior.observation import Entity, Observation, Sample
from detect.behavior.profile import Profile

START = 1_767_225_600_000


class Rated:
    """A model that says -log10 p by a word within a text."""

    version = "0123456789ab"

    def __init__(self, **ratings: float) -> None:
        self.ratings = ratings

    def surprise(self, texts: list[str]) -> Any:
        return np.array(
            [max([0.3, *(r for w, r in self.ratings.items() if w in t)]) for t in texts]
        )


def observed(kind: str, id: str, **texts: list[str]) -> Observation:
    made = Observation(Entity("t", kind, id), START, START, START + 60_000)
    made.samples.append(Sample(START, "e1", "events/0/1"))
    made.texts = {name.replace("_", ".", 1): list(found) for name, found in texts.items()}
    made.sums["queries"] = float(len(texts.get("dns_name", ())))
    return made


def told(detector: Detector, observation: Observation, model: Any = None) -> list[Anomaly]:
    context: Any = Context(
        rarity=lambda feature, value: None,  # type: ignore[arg-type, return-value]
        egress=lambda address: False,
        seen=lambda feature, value: 0.0,
        model=lambda name: model,
    )
    return [*detector.score(observation, Profile(START, START, 0), context)]


@pytest.mark.parametrize("detector", [Dga(), WebPayload()])
def test_without_a_model_they_are_silent(detector: Detector) -> None:
    seen = observed("host", "h", dns_name=["a.example"], url_query=["/?a=1"])
    assert told(detector, seen) == []


def test_names_that_do_not_exist_are_judged_together() -> None:
    model = Rated(odd=1.2)
    odd = [f"odd{n}.test" for n in range(10)]
    fine = [f"fine{n}.example" for n in range(10)]
    (many,) = told(Dga(), observed("host", "h", dns_name=[*odd, *fine], dns_nxdomain=odd), model)
    (few,) = told(Dga(), observed("host", "h", dns_name=odd[:2], dns_nxdomain=odd[:2]), model)
    (usual,) = told(Dga(), observed("host", "h", dns_name=fine, dns_nxdomain=fine), model)
    assert many.score > Dga.spec.floor > few.score
    assert usual.score < 1
    assert "10 names that do not exist" in many.what
    assert many.model == "dga 0123456789ab"


def test_the_worst_parameter_of_an_address_is_told() -> None:
    seen = observed("source", "203.0.113.5", url_query=["/a?x=1", "/a?x=union", "/a?x=2"])
    (found,) = told(WebPayload(), seen, Rated(union=5.0))
    assert found.score == 5.0
    assert found.what == "sent /a?x=union"
    assert found.parts[1].actual == "1 of 3 look like attacks"


def test_a_tunnel_is_told_from_the_names_of_a_site() -> None:
    digests = [hashlib.sha256(str(n).encode()).hexdigest()[:50] for n in range(48)]
    tunnel = observed("domain", "example.com", dns_name=[f"{d}.example.com" for d in digests])
    tunnel.sums["queries"] = 480.0
    site = observed("domain", "example.com", dns_name=[f"www{n}.example.com" for n in range(20)])
    few = observed("domain", "example.com", dns_name=[f"{d}.example.com" for d in digests[:5]])
    (found,) = told(DnsTunneling(), tunnel)
    (usual,) = told(DnsTunneling(), site)
    # Fifty hexadecimal digits carry 25 bytes; 48 of 480 names were seen.
    assert found.score == pytest.approx(np.log10(480 * 25), abs=0.02)
    assert usual.score < 2 < DnsTunneling.spec.floor
    assert told(DnsTunneling(), few) == []


def test_what_all_names_begin_with_carries_nothing() -> None:
    assert carried_bytes(["same"] * 12) == pytest.approx(carried_bytes(["same"]) * 12)
    assert carried_bytes([f"a-long-common-beginning-{n}" for n in range(10)]) < 5
