"""Child processes of tests: Python code run apart, with its own environment and a time-out."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

from einjit.kernel.build import Builtin
from einjit.kernel.cache import disk
from einjit.registry import registry

ROOT = Path(__file__).parents[1]
TIMEOUT = 120

OWN = ("EINJIT_", "NUMBA_")
"""Settings of these kinds reach a child only where a test gives them."""


def environment(**settings):
    """The environment of a child: this one's without einjit's and numba's settings, and `settings`;
    without an EINJIT_CACHE_DIR among them there is no cache."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    given = {name: str(value) for name, value in settings.items()}
    none = {} if "EINJIT_CACHE_DIR" in given else {"EINJIT_CACHE": "0"}
    return {**kept, "PYTHONPATH": path, "PYTHONUTF8": "1", **none, **given}


def start(code, *arguments, command=None, **settings):
    """Start a child that runs `code`, or a command."""
    command = command or ["-c", textwrap.dedent(code)]
    return subprocess.Popen(
        [sys.executable, *command, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(**settings),
        encoding="utf-8",
    )


def finish(child, timeout=TIMEOUT):
    """What a child printed, to its two outputs; an error where it did not end well in time."""
    try:
        out, err = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        child.kill()
        out, err = child.communicate()
        raise AssertionError(f"no end after {timeout} s: {out}\n{err}") from None
    assert child.returncode == 0, f"exit code {child.returncode}: {out}\n{err}"
    return out.strip(), err.strip()


def run(code, *arguments, timeout=TIMEOUT, **settings):
    """What `code` prints in a child, which must end well and say nothing else."""
    out, err = finish(start(code, *arguments, **settings), timeout)
    assert err == ""
    return out


def stock(folder):
    """A folder with what all kernels share already compiled: seconds less for each child."""
    assert registry.native
    Builtin("drive")
    folder.mkdir(mode=0o700)
    for path, entry in disk().entries():
        if entry is not None and entry.key["kind"] == "hot":
            shutil.copy2(path, folder)
    return folder
