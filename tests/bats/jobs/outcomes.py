#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Usage: outcomes.py MODULE: runs a module of Python's own test suite; prints `OUTCOME TEST` for each test, sorted."""
import sys
import unittest

from test import support
from test.support import os_helper


class Outcomes(unittest.TestResult):
    """Keeps one word for each test; a subtest that fails counts for its test."""

    def __init__(self):
        super().__init__()
        self.of = {}

    def addSuccess(self, test):
        self.of.setdefault(test.id(), "ok")

    def addSkip(self, test, reason):
        self.of[test.id()] = "skipped"

    def addExpectedFailure(self, test, err):
        self.of[test.id()] = "ok"

    def addUnexpectedSuccess(self, test):
        self.of[test.id()] = "failed"

    def addFailure(self, test, err):
        self.of[test.id()] = "failed"
        print(test.id(), self._exc_info_to_string(err, test), file=sys.stderr)

    addError = addFailure

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.addFailure(test, err)


def main():
    # As `python3 -m test` does without -u: no network, nothing that takes gigabytes.
    support.use_resources = {}
    outcomes = Outcomes()
    with os_helper.temp_cwd(name=None):
        unittest.defaultTestLoader.loadTestsFromName("test." + sys.argv[1]).run(outcomes)
    for name, outcome in sorted(outcomes.of.items()):
        print(outcome, name)


main()
