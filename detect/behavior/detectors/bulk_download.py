"""bulk_download and atypical_data_access: very many objects, or objects of others."""

from __future__ import annotations

from math import log10
from typing import TYPE_CHECKING

from detect.behavior.detector import Anomaly, Part, Plain, Spec
from detect.behavior.tails import of_count, of_scales

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detect.behavior.detector import Context
    from detect.behavior.observation import Observation
    from detect.behavior.profile import Profile

#: Objects in an hour that are nothing to speak of.
FEW = 15
#: Location and scale (log10) of an hour for somebody of whom nothing is known.
UNKNOWN = (0.6, 0.35)
#: Least scale: everybody reads a folder now and then.
SCALE = 0.25


class BulkDownload(Plain):
    """Objects read in the running hour, against the hours in which the user reads at all."""

    spec = Spec(
        name="bulk_download",
        title="Bulk download",
        kinds=frozenset({"user"}),
        inputs=("event.category", "user.name", "file.path"),
        techniques=("T1213", "T1039", "T1530"),
        level="medium",
        budget=0.5,
        floor=2.0,
        cold=6.0,
        parameters={
            "FEW": "15 objects in an hour are never told",
            "SCALE": "0.25 (decimal logarithm), the least spread of a user's hours",
        },
        description="A user reads many times more objects in an hour than ever.",
    )

    def score(
        self, observation: Observation, profile: Profile, context: Context
    ) -> Iterable[Anomaly]:
        """How unlikely so many objects in an hour are for this user."""
        amount = observation.sum("objects")
        if not amount:
            return
        volume = profile.volumes.get("objects")
        location, scale, hours = *UNKNOWN, 0
        if volume is not None:
            amount = volume.now(observation.start, amount)[0]
            level = volume.hourly
            if (hours := level.count) >= 20:
                location, scale = level.location, max(level.scale, SCALE)
        if amount <= FEW:
            return
        score = of_scales((log10(1 + amount) - location) / scale)
        folders = sorted(observation.values("object").items(), key=lambda told: (-told[1], told[0]))
        typical = 10**location - 1
        yield Anomaly(
            self.spec.name,
            score,
            observation.last,
            f"read {amount:.0f} objects within the hour; about {typical:.0f} are usual",
            (
                Part("objects", f"{amount:.0f} in the hour", f"{typical:.0f}"),
                Part(
                    "object",
                    ", ".join(name for name, _ in folders[:3]),
                    ", ".join(profile.typical("object")),
                ),
            ),
            tuple(observation.samples[:5]),
            baseline=profile.age(observation.start),
            confidence=min(1.0, hours / 20) * profile.confidence(observation.start),
            tactic="collection",
        )


#: Objects of unfamiliar folders in a slice that are nothing to speak of, and that are usual.
STRANGE, USUAL = 3, 0.5
#: Probability under which a folder is unfamiliar: for the user with peers and everybody behind.
UNFAMILIAR = 0.02


class AtypicalDataAccess(Plain):
    """Objects of folders that neither the user nor the user's peers read."""

    spec = Spec(
        name="atypical_data_access",
        title="Atypical access to data",
        kinds=frozenset({"user"}),
        inputs=("event.category", "user.name", "file.path"),
        techniques=("T1213", "T1039"),
        level="medium",
        budget=0.5,
        floor=2.0,
        cold=6.0,
        parameters={
            "STRANGE": "3 objects of unfamiliar folders in ten minutes are never told",
            "UNFAMILIAR": "0.02, the probability of a folder under which it is unfamiliar",
            "USUAL": "0.5 such objects in ten minutes are expected",
        },
        description="A user reads many objects of folders that neither they nor their peers read.",
    )

    def score(
        self, observation: Observation, profile: Profile, context: Context
    ) -> Iterable[Anomaly]:
        """How unlikely so many objects of unfamiliar folders are in a slice."""
        if observation.sum("objects") <= STRANGE:
            return
        objects = observation.values("object")
        rarities = {folder: context.rarity("object", folder) for folder in objects}
        strange = {f: amount for f, amount in objects.items() if rarities[f].p < UNFAMILIAR}
        total = sum(strange.values())
        if total <= STRANGE:
            return
        told = sorted(strange, key=lambda folder: (-strange[folder], folder))[:3]
        usual = ", ".join(profile.typical("object"))
        yield Anomaly(
            self.spec.name,
            of_count(total, USUAL) * profile.confidence(observation.start),
            observation.last,
            f"read {total:.0f} objects in folders unusual for them and their peers, as {told[0]}",
            tuple(
                Part(
                    "object",
                    f"{folder} ({strange[folder]:.0f})",
                    usual,
                    rarities[folder].own,
                    rarities[folder].peer,
                    rarities[folder].population,
                )
                for folder in told
            ),
            tuple(observation.samples[:5]),
            baseline=profile.age(observation.start),
            confidence=profile.confidence(observation.start),
            tactic="collection",
        )
