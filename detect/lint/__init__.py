"""Looking at rules before they run: what is wrong, doubtful or dear, each with its place."""

from detect.lint.model import LEVELS, Check, Issue, Level
from detect.lint.run import CHECKS, lint

__all__ = ["CHECKS", "LEVELS", "Check", "Issue", "Level", "lint"]
