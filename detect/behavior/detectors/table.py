"""The table of all detectors, in the order in which they are asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detect.behavior.detectors.beaconing import Beaconing
from detect.behavior.detectors.bot import BotSession
from detect.behavior.detectors.bulk_download import AtypicalDataAccess, BulkDownload
from detect.behavior.detectors.dns_tunneling import DnsTunneling
from detect.behavior.detectors.exfiltration import HighSentBytes
from detect.behavior.detectors.flood import RequestFlood
from detect.behavior.detectors.insider import InsiderRisk
from detect.behavior.detectors.logon import BruteForce, FailedLogons
from detect.behavior.detectors.masquerade import Masquerade
from detect.behavior.detectors.rarity import RARE, RareHour
from detect.behavior.detectors.scored import Dga, WebPayload
from detect.behavior.detectors.silence import LogSilence
from detect.behavior.detectors.spraying import PasswordSpraying
from detect.behavior.detectors.stuffing import CredentialStuffing
from detect.behavior.detectors.travel import ImpossibleTravel
from detect.behavior.detectors.volume import DRIFTS, HIGH

if TYPE_CHECKING:
    from detect.behavior.detector import Detector


def all_detectors() -> tuple[Detector, ...]:
    """Every detector that is shipped, each once."""
    return (
        RareHour(),
        *RARE,
        ImpossibleTravel(),
        FailedLogons(),
        BruteForce(),
        PasswordSpraying(),
        CredentialStuffing(),
        Masquerade(),
        *HIGH,
        *DRIFTS,
        LogSilence(),
        Beaconing(),
        HighSentBytes(),
        BulkDownload(),
        AtypicalDataAccess(),
        InsiderRisk(),
        BotSession(),
        RequestFlood(),
        Dga(),
        WebPayload(),
        DnsTunneling(),
    )
