"""Sigma on the stream: rules are parsed by pySigma and evaluated here, event by event.

Semantics, with every decision that the specification leaves open: docs/sigma.md.
"""

from detect.sigma.loader import load_rules
from detect.sigma.ruleset import CompiledRule, Explanation, Match, RuleSet, Unevaluated
from detect.sigma.taxonomy import Logsource, Taxonomy, load_taxonomy

__all__ = [
    "CompiledRule",
    "Explanation",
    "Logsource",
    "Match",
    "RuleSet",
    "Taxonomy",
    "Unevaluated",
    "load_rules",
    "load_taxonomy",
]
