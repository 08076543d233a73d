"""Tests of rules: in their files or beside them, run against the real matcher and stages."""

from detect.rule_tests.beside import beside
from detect.rule_tests.run import Failure, Ran, ran, run, tests_of

__all__ = ["Failure", "Ran", "beside", "ran", "run", "tests_of"]
