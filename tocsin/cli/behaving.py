"""The stages of learned behaviour, as the configuration wants them."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from detect.behavior.behavior import BehaviorStage
from detect.behavior.deciding import RISK
from detect.behavior.detectors.table import all_detectors
from detect.behavior.observe import ObserveStage
from detect.behavior.options import Options, Suppression
from detect.behavior.risk_feed import RiskStage
from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tocsin.config import Settings
    from tocsin.stage import Stage


def behavior_stages(
    settings: Settings, wanted: set[str], behaving: list[BehaviorStage]
) -> Iterator[Stage]:
    """Observe (with the risk that rules add) and behavior, which is added to `behaving`.

    Raises ConfigError.
    """
    if "observe" in wanted:
        yield ObserveStage()
        yield RiskStage()
    if "behavior" in wanted:
        behaving.append(BehaviorStage(all_detectors(), behavior_options(settings)))
        yield behaving[-1]


def behavior_options(settings: Settings) -> Options:
    """What the site says; raises ConfigError naming detectors that do not exist."""
    section = settings.behavior
    known = {each.spec.name for each in all_detectors()} | {RISK.name}
    named = {*section.disable, *section.budgets}
    named |= {each.detector for each in section.suppress if each.detector}
    if unknown := sorted(named - known):
        raise ConfigError(
            f"behavior: there is no detector {', '.join(unknown)}; `tocsin behavior detectors` "
            "lists them"
        )
    return Options(
        disable=frozenset(section.disable),
        budgets=section.budgets,
        egress=section.egress,
        suppress=tuple(
            Suppression(each.detector, each.entity, each.until, each.reason)
            for each in section.suppress
        ),
        share=1 / settings.log.partitions,
        lateness=settings.lateness,
        max_entities=section.max_entities,
        **_models(settings),
    )


def _models(settings: Settings) -> dict[str, Any]:
    """The models in force and their shadows; nothing where there never were any."""
    directory = settings.data_dir / "models"
    if settings.behavior.models.retrain and find_spec("cryptography"):
        from detect.behavior.models.signing import own_key

        own_key(directory)  # so that what is trained later is trusted by this process
    if not (directory / "trusted.keys").exists():
        return {}
    from detect.behavior.models.in_force import ModelsInForce

    models = ModelsInForce(directory)
    return {"model": models, "shadow": models.shadow}
