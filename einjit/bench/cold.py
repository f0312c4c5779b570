"""What the first call costs, in processes that are started for it.

The yardstick is what numba takes, in this run, to compile a plain matrix product of three loops
with `@njit(parallel=True)`, in a process that has compiled before.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from einjit.bench.engines import OWN, installed
from einjit.bench.programs import FIRST_CALLS, FIRST_RESULTS, YARDSTICK
from einjit.bench.table import time_text
from einjit.errors import OptionError

Show = Callable[[str], None]


class Equation(NamedTuple):
    """What a process is asked to contract."""

    subscripts: str
    sizes: Mapping[str, int]
    dtype: str = "float64"


EQUATIONS = (
    Equation("i,i->", {"i": 100_000}),
    Equation("ijk->ik", {"i": 64, "j": 64, "k": 64}),
    Equation("ij,jk->ik", {"i": 256, "j": 256, "k": 256}),
    Equation("bqhd,bkhd->bhqk", {"b": 2, "q": 64, "k": 64, "h": 4, "d": 32}),
    Equation("abcd,ebdf->aecf", dict.fromkeys("abcdef", 16)),
    Equation("ijk,il,jm,kn->lmn", dict.fromkeys("ijklmn", 24)),
)

OTHERS = (
    Equation("ca,cb->ab", {"a": 300, "b": 300, "c": 300}, "float32"),
    Equation("ab->b", {"a": 300, "b": 3000}, "float32"),
)
"""What leaves in the cache what all equations share, and by their dtype nothing else."""

PRICES = ("cold", "warm", "further", "import")
"""Seconds of an equation's first call in a process: with none of its own kernels on disk; with
them; with them, behind the first calls of OTHERS. And of the import of einjit."""

LONGEST = 120.0
"""Seconds that a process may take."""


def cold_start(
    only: str, peers: Sequence[str], rounds: int, show: Show
) -> tuple[dict[str, Any], str]:
    """The yardstick, first calls with and without their kernels on disk, and whole processes."""
    equations = [one for one in EQUATIONS if only in one.subscripts]
    if not equations:
        raise OptionError(f"no equation has {only!r} in it")
    names = [OWN, *(name for name in peers if name in FIRST_RESULTS and installed(name))]
    problems: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        facts = {
            "yardstick": _yardstick(folder, rounds, problems, show),
            "nothing_on_disk": _nothing_on_disk(folder, problems, show),
            "rows": _rows(equations, folder, rounds, problems, show),
        }
        wholes = _processes(names, folder, rounds, problems)
    own = {OWN, *(one.subscripts for one in equations)}
    failed = [name for name in problems if name in own]
    lines = [f"{name:8}  {time_text(seconds):>8}" for name, seconds in wholes.items()]
    lines += [f"{name}: {problem}" for name, problem in problems.items()]
    text = "\n".join(["\nfrom the start of a process to its first result", *lines])
    return {**facts, "processes": wholes, "problems": problems, "failed": failed}, text


def _yardstick(folder: Path, rounds: int, problems: dict[str, str], show: Show) -> float | None:
    seconds = None
    with _noted(problems, "numba"):
        seconds = statistics.median(float(_run(YARDSTICK, folder)) for _ in range(rounds))
    show(f"numba compiles a plain parallel matrix product: {time_text(seconds)}")
    return seconds


def _nothing_on_disk(folder: Path, problems: dict[str, str], show: Show) -> float | None:
    """Seconds of the very first call on a machine; it leaves what all equations share."""
    seconds = None
    with _noted(problems, OWN):
        seconds = _first_calls(OTHERS, folder / "shared")[1]
    show(f"einjit's first call with nothing on disk: {time_text(seconds)}")
    return seconds


def _rows(
    equations: Sequence[Equation], folder: Path, rounds: int, problems: dict[str, str], show: Show
) -> list[dict[str, Any]]:
    """The prices of each equation, in a cache of its own."""
    width = max(len(one.subscripts) for one in equations)
    show("  ".join(["\nfirst call".ljust(width + 1), *(f"{name:>8}" for name in PRICES)]))
    rows = []
    for number, asked in enumerate(equations):
        seconds: dict[str, float] = {}
        with _noted(problems, asked.subscripts):
            cache = shutil.copytree(folder / "shared", folder / str(number))
            seconds = _prices(asked, cache, rounds)
        times = [f"{time_text(seconds.get(name)):>8}" for name in PRICES]
        show("  ".join([asked.subscripts.ljust(width), *times]))
        facts = {"equation": asked.subscripts, "sizes": dict(asked.sizes), "dtype": asked.dtype}
        rows.append({**facts, "seconds": seconds})
    return rows


def _prices(asked: Equation, cache: Path, rounds: int) -> dict[str, float]:
    cold = _first_calls([asked], cache)[1]
    warm = [_first_calls([asked], cache) for _ in range(rounds)]
    further = [_first_calls([*OTHERS, asked], cache)[-1] for _ in range(rounds)]
    imports, first = zip(*warm, strict=True)
    medians = map(statistics.median, (first, further, imports))
    return dict(zip(PRICES, (cold, *medians), strict=True))


def _processes(
    names: Sequence[str], folder: Path, rounds: int, problems: dict[str, str]
) -> dict[str, float]:
    """Medians of the seconds of whole processes, which take turns.

    The first turn, which reads files from the disk and fills the cache, does not count.
    """
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(1 + rounds):
        for name in names:
            with _noted(problems, name):
                start = time.perf_counter()
                _run(FIRST_RESULTS[name], folder / "whole")
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(some[1:]) for name, some in times.items() if some[1:]}


def _first_calls(equations: Sequence[Equation], cache: Path) -> list[float]:
    """Seconds of the import of einjit, and of the first call of each equation in one process."""
    seconds: list[float] = json.loads(_run(FIRST_CALLS, cache, json.dumps(equations)))
    return seconds


@contextmanager
def _noted(problems: dict[str, str], name: str) -> Iterator[None]:
    """A process that fails is a problem of its own, and the run goes on."""
    try:
        yield
    except (OSError, subprocess.SubprocessError) as problem:
        told = getattr(problem, "stderr", None) or problem
        problems[name] = str(told).strip().splitlines()[-1]


def _run(program: str, cache: Path, *arguments: str) -> str:
    """What a program prints in a process of its own, with a cache of einjit's."""
    own = {"JAX_PLATFORMS": "cpu", "EINJIT_CACHE": "1", "EINJIT_CACHE_DIR": str(cache)}
    kept = {name: value for name, value in os.environ.items() if name != "EINJIT_RECORD"}
    program = f"import sys; sys.path[:] = {sys.path!r}\n{program}"  # einjit is found as it is here
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=kept | own,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=True,
    )
    return done.stdout
