#!/usr/bin/env python3
"""boto3 against the endpoint. `boto3_suite.py [topic...]` runs only these topics, e.g. `boto3_suite.py listing copy`."""

import importlib
import sys

from common import Suite

TOPICS = ["smoke", "buckets", "objects", "conditions", "copy", "listing", "multipart", "checksums", "keys", "presign", "accounts", "big"]

if __name__ == "__main__":
    Suite("boto3").run(*(importlib.import_module("boto3_" + topic).main for topic in sys.argv[1:] or TOPICS))
