"""The whole suite has a cache of its own, shared by its processes and removed at the end."""

import os
import shutil
import tempfile

OURS = "PYTEST_XDIST_WORKER" not in os.environ
"""Whether this process makes the folder: workers are given it by the process that starts them."""

if OURS:  # before einjit is imported: it reads the environment once
    os.environ["EINJIT_CACHE_DIR"] = tempfile.mkdtemp(prefix="einjit-tests-")
    for name in ("EINJIT_CACHE", "EINJIT_NUM_THREADS", "EINJIT_RECORD", "EINJIT_STRICT"):
        os.environ.pop(name, None)


def pytest_addoption(parser):
    help_ = "write tests/golden anew from what the generator says, and run that"
    parser.addoption("--update-golden", action="store_true", help=help_)


def pytest_unconfigure(config):
    if OURS:
        shutil.rmtree(os.environ["EINJIT_CACHE_DIR"], ignore_errors=True)
