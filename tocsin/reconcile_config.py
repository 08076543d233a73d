"""Comparing leases with what products have: `response.reconcile` of tocsin.yaml."""

from __future__ import annotations

from tocsin.config_types import Duration, Section


class ReconcileSettings(Section):
    """Every `every` (0: never) each product that can list is asked what it has in force.

    Differences are told. What a product has lost is applied again only with `reapply_missing`,
    what no lease holds is removed only with `remove_orphans`: on a list that people or other
    programs write to as well, that removes what is theirs.
    """

    every: Duration = 10 * 60_000
    reapply_missing: bool = False
    remove_orphans: bool = False
