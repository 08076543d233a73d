"""dns_tunneling: data that leaves in the names below one domain."""

from __future__ import annotations

from collections import Counter
from math import log2, log10
from typing import TYPE_CHECKING

from detect.behavior.detector import Anomaly, Part, Plain, Spec
from detect.behavior.observation import MAX_TEXTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from detect.behavior.detector import Context
    from detect.behavior.observation import Observation
    from detect.behavior.profile import Profile

#: Distinct names below a domain in a slice under which nothing is said.
LEAST = 10
#: Characters shown of a name.
_SHOWN = 80


class DnsTunneling(Plain):
    """How many bytes the distinct names below a domain can have carried, as a power of ten.

    Names are a bounded sample; where it is full, the rest is taken to be alike.
    """

    spec = Spec(
        name="dns_tunneling",
        title="Data in the names of DNS queries",
        kinds=frozenset({"domain"}),
        inputs=("dns.question.name", "dns.question.registered_domain"),
        techniques=("T1071.004", "T1048.003"),
        level="high",
        budget=0.5,
        floor=2.3,
        cold=3.6,
        parameters={
            "LEAST": "10 distinct names below a domain in ten minutes",
            "floor": "3: a thousand bytes in ten minutes",
        },
        description="Many distinct, long, random names below one domain: more than names need.",
    )

    def score(
        self, observation: Observation, profile: Profile, context: Context
    ) -> Iterable[Anomaly]:
        """log10 of the bytes that the names can have carried in the slice."""
        domain = observation.entity.id
        names = sorted(set(observation.texts.get("dns.name", ())))
        below = [name.removesuffix(domain).rstrip(".") for name in names]
        labels = [label for label in below if label]
        if len(labels) < LEAST:
            return
        queries = observation.sum("queries")
        alike = max(1.0, queries / len(names)) if len(names) >= MAX_TEXTS else 1.0
        carried = carried_bytes(labels) * alike
        longest = max(labels, key=len)
        yield Anomaly(
            self.spec.name,
            log10(max(carried, 1.0)),
            observation.last,
            f"was asked for names that can have carried {carried:,.0f} bytes in ten minutes",
            (
                Part("dns.question.name", f"{longest[:_SHOWN]}.{domain}", "short names"),
                Part("bytes", f"{carried:,.0f} in {queries:,.0f} queries", "under 1,000"),
            ),
            tuple(observation.samples[:5]),
            {"dns.question.registered_domain": domain},
            baseline=profile.age(observation.start),
            tactic="exfiltration",
        )


def carried_bytes(labels: Sequence[str]) -> float:
    """Bytes of information in names, by the entropy of their characters.

    What all of them begin or end with carries nothing.
    """
    first, last = min(labels), max(labels)
    shared = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), 0)
    text = "".join(label[shared:] for label in labels)
    if not text:
        return 0.0
    counts = Counter(text).values()
    entropy = sum(n * log2(len(text) / n) for n in counts) / len(text)
    return len(text) * entropy / 8
