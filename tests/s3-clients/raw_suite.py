#!/usr/bin/env python3
"""HTTP by hand against the endpoint. `raw_suite.py [topic...]` runs only these topics."""

import importlib
import sys

from common import Suite

TOPICS = ["auth", "chunked", "operations"]

if __name__ == "__main__":
    Suite("raw").run(*(importlib.import_module("raw_" + topic).main for topic in sys.argv[1:] or TOPICS))
