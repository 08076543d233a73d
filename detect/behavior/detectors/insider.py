"""insider_risk: small oddities of one user that keep coming, day after day."""

from __future__ import annotations

from math import log10
from typing import TYPE_CHECKING, Any

from detect.behavior.detector import DAY, Anomaly, Part, Spec
from detect.behavior.models.days import DAY_OF_USER, added, vector
from detect.behavior.sketches import short
from detect.behavior.tails import decayed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detect.behavior.detector import Context
    from detect.behavior.observation import Observation
    from detect.behavior.profile import Profile

#: Half-life of the evidence, ms; most that one kind of oddity adds in a day.
HALF_LIFE, CAP = 3 * DAY, 2.0
#: Kinds of oddities, in the order of memory.
KINDS = ("many objects", "new destinations for much", "many bytes sent")
#: -log10 p of a day that adds nothing, and most that a day's rarity adds.
ORDINARY, ODDEST = 1.0, 4.0
#: Days that a user must be known.
KNOWN = 7.0
#: Objects in a slice and bytes to one destination that are nothing to speak of.
FEW_OBJECTS, FEW_BYTES = 4, 3_000_000
#: Destinations that a user is remembered to use.
REMEMBERED = 16


class InsiderRisk:
    """Evidence of three kinds, each capped for the day, added up with a half-life of three days.

    None of them is worth an alert; together and repeated they are. What a day gave is the largest
    of its slices, so that work in small steps does not hide and one burst does not suffice.
    """

    spec = Spec(
        name="insider_risk",
        title="Signs of an insider",
        kinds=frozenset({"user"}),
        inputs=("user.name", "event.category", "file.path", "source.bytes", "destination.domain"),
        techniques=("T1074", "T1567.002"),
        level="medium",
        budget=0.5,
        floor=2.0,
        cold=6.0,
        refractory=3 * DAY,
        parameters={
            "HALF_LIFE": "3 days, of the evidence",
            "CAP": "2 decimal digits a day, of each kind of oddity",
            "KNOWN": "7 days before a user is judged",
            "ODDEST": "4 decimal digits at most by a model of users' days, where one is in force",
            "verdicts": "1.5 decimal digits up or down at most, from fifty verdicts on",
        },
        description="More reading and sending than usual, repeatedly.",
    )

    def score(
        self, observation: Observation, profile: Profile, context: Context
    ) -> Iterable[Anomaly]:
        """The evidence with this slice's."""
        if profile.age(observation.start) < KNOWN:
            return
        memory = self.remember(observation, profile.memory(self.spec.name))
        _, before, told, *_ = memory or (0, 0.0, (0.0, 0.0, 0.0))
        more, parts, model = _of_model(observation, profile, context)
        score = before + sum(told) + more
        if score <= 0:
            return
        kinds = [kind for kind, amount in zip(KINDS, told, strict=True) if amount >= 0.3]
        yield Anomaly(
            self.spec.name,
            score,
            observation.last,
            f"shows signs that keep coming: {', '.join(kinds) or 'earlier days'}",
            (
                *(
                    Part(kind, f"{amount:.1f} of {CAP:.0f} today", "0")
                    for kind, amount in zip(KINDS, told, strict=True)
                    if amount >= 0.3
                ),
                Part("days before", f"{before:.1f}", "0"),
                *parts,
            ),
            tuple(observation.samples[:5]),
            baseline=profile.age(observation.start),
            confidence=profile.confidence(observation.start),
            model=model,
            tactic="collection",
        )

    def remember(self, observation: Observation, memory: Any) -> Any:
        """[day, evidence of days before (decayed), today's by kind, usual levels, destinations].

        Usual levels are log10 means of objects in a slice and bytes to one destination.
        """
        if "objects" not in observation.sums and "destination.bytes" not in observation.counts:
            return memory
        day, before, today, levels, known = memory or [0, 0, [0, 0, 0], [0, 0], ""]
        now = observation.start // DAY
        if now != day:
            before = decayed(before + sum(today), (now - day) * DAY, HALF_LIFE) if day else 0
            day, today = now, [0, 0, 0]
        objects = observation.sum("objects")
        sent = observation.values("destination.bytes")
        most = max(sent.values(), default=0.0)
        names = [short(name) for name, amount in sorted(sent.items()) if amount > FEW_BYTES]
        fresh = [name for name in names if name not in known.split()]
        told = [
            _above(objects, levels[0], FEW_OBJECTS),
            1.0 if fresh and known else 0.0,
            _above(most, levels[1], FEW_BYTES),
        ]
        levels = [_level(levels[0], objects), _level(levels[1], most)]
        known = " ".join([*known.split(), *fresh][-REMEMBERED:])
        today = [round(max(pair), 2) for pair in zip(today, told, strict=True)]
        return [day, round(before, 2), today, levels, known]


def _of_model(
    observation: Observation, profile: Profile, context: Context
) -> tuple[float, list[Part], str]:
    """What the model of users' days adds, why, and its name; nothing without one in force.

    The day so far is judged: what was done, and the highest scores of the other detectors.
    """
    model = context.model("insider")
    if model is None:
        return 0.0, [], "profile"
    row = vector(added(profile.memory(DAY_OF_USER), observation, context.scores))
    rare = float(model.surprise([row])[0])
    odd, opinion = min(max(0.0, rare - ORDINARY), ODDEST), model.opinion(row)
    parts = []
    if odd > 0:
        parts.append(Part("a day like this", f"one of {10**rare:,.0f} users' days", "one of ten"))
        parts += [Part(name, f"{much:.1f}", f"{usual:.1f}") for name, much, usual in opinion.odd]
    if opinion.digits:
        like = "incidents" if opinion.digits > 0 else "what was none"
        by = f"{opinion.digits:+.1f} by {', '.join(opinion.features) or 'all features'}"
        parts.append(Part("verdicts", f"like {like}: {by}", f"of {opinion.verdicts} verdicts"))
    return odd + opinion.digits, parts, f"insider {model.version}"


def _above(amount: float, level: float, few: float) -> float:
    if amount <= few:
        return 0.0
    return min(CAP, max(0.0, log10(1 + amount) - max(level, log10(1 + few)) - 0.2))


def _level(level: float, amount: float) -> float:
    return round(level + 0.05 * (log10(1 + amount) - level), 3) if amount else level
