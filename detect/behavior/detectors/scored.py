"""Detectors that ask a trained model about whole texts: generated names, web payloads.

Without a model in force they are silent: `tocsin models` puts one there.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any

from detect.behavior.detector import Anomaly, Part, Plain, Spec
from detect.behavior.tails import of_scales

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detect.behavior.detector import Context
    from detect.behavior.observation import Observation
    from detect.behavior.profile import Profile

#: Names of one host that do not exist from which they are judged together.
NAMES = 4
#: Mean of -log10 p of what is usual, which is exponential.
_USUAL = 0.4343
#: Share of usual parameters that score as high as one that is told by itself, as -log10.
ODD = 3.0
#: Characters of a text that are shown.
_SHOWN = 80


class Dga(Plain):
    """Names of one host: the oddest by itself, and those that do not exist together.

    One generated name is hardly told from an odd real one; ten of them are.
    """

    spec = Spec(
        name="dga",
        title="Domain names that an algorithm made",
        kinds=frozenset({"host"}),
        inputs=("dns.question.name", "dns.response_code", "source.ip", "host.name"),
        techniques=("T1568.002",),
        level="high",
        floor=3.0,
        cold=8.0,
        parameters={
            "NAMES": "4 names without an answer in ten minutes are judged together",
            "model": "dga, put in force by `tocsin models promote dga`",
        },
        description="A host asks for names that look made by an algorithm, most of which do not "
        "exist. Names put together from dictionary words are missed.",
    )

    def score(
        self, observation: Observation, profile: Profile, context: Context
    ) -> Iterable[Anomaly]:
        """-log10 p of the names, from the model's calibration on popular ones."""
        names = sorted(set(observation.texts.get("dns.name", ())))
        if not names or (model := context.model("dga")) is None:
            return
        surprise = dict(zip(names, model.surprise(names).tolist(), strict=True))
        missing = [
            n for n in sorted(set(observation.texts.get("dns.nxdomain", ()))) if n in surprise
        ]
        oddest = max(names, key=surprise.__getitem__)
        together = _together([surprise[name] for name in missing])
        about = f"asked for {oddest[:_SHOWN]}"
        if together > surprise[oddest]:
            oddest = max(missing, key=surprise.__getitem__)
            about = (
                f"asked for {len(missing)} names that do not exist and look made by an algorithm,"
                f" like {oddest[:_SHOWN]}"
            )
        yield Anomaly(
            self.spec.name,
            max(together, surprise[oddest]),
            observation.last,
            about,
            (
                Part("dns.question.name", oddest[:_SHOWN], "names like the popular ones"),
                Part("names", f"{len(names)} asked for, {len(missing)} do not exist"),
            ),
            tuple(observation.samples[:5]),
            {"dns.question.name": oddest},
            baseline=profile.age(observation.start),
            model=f"dga {model.version}",
            tactic="command-and-control",
        )


class WebPayload(Plain):
    """The worst of the requests' parameters of one address."""

    spec = Spec(
        name="web_attack_payload",
        title="An attack in a web request",
        kinds=frozenset({"source"}),
        inputs=("url.path", "url.query", "source.ip"),
        techniques=("T1190",),
        level="medium",
        floor=ODD,
        cold=4.0,
        parameters={
            "ODD": "3: one usual parameter in a thousand scores as high",
            "model": "payload, put in force by `tocsin models promote payload`",
        },
        description="A parameter of a request reads like SQL injection, a script, a path or a "
        "command, whatever it is encoded in.",
    )

    def score(
        self, observation: Observation, profile: Profile, context: Context
    ) -> Iterable[Anomaly]:
        """-log10 p of the worst request, from the model's calibration on usual parameters."""
        texts = sorted(set(observation.texts.get("url.query", ())))
        if not texts or (model := context.model("payload")) is None:
            return
        surprise = model.surprise(texts).tolist()
        worst = max(range(len(texts)), key=surprise.__getitem__)
        odd = sum(each >= ODD for each in surprise)
        yield Anomaly(
            self.spec.name,
            surprise[worst],
            observation.last,
            f"sent {texts[worst][:_SHOWN]}",
            (
                Part("url.query", texts[worst][:_SHOWN], "parameters without an attack"),
                Part("requests", f"{odd} of {len(texts)} look like attacks"),
            ),
            tuple(observation.samples[:5]),
            {"source.ip": observation.entity.id},
            baseline=profile.age(observation.start),
            model=f"payload {model.version}",
            tactic="initial-access",
        )


def _together(surprise: list[Any]) -> float:
    """-log10 p of names judged together: their mean is nearly normal where they are usual."""
    if len(surprise) < NAMES:
        return 0.0
    mean = sum(surprise) / len(surprise)
    return of_scales((mean / _USUAL - 1) * sqrt(len(surprise)))
