"""What the environment says, read once."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass

from einjit.errors import OptionError

logger = logging.getLogger("einjit")

CACHE_MODES = {"": "rw", "1": "rw", "ro": "ro", "0": "off"}
CPUS = ("native", "generic")

NUMBA_SETTINGS = (
    "NUMBA_OPT",
    "NUMBA_LOOP_VECTORIZE",
    "NUMBA_SLP_VECTORIZE",
    "NUMBA_ENABLE_AVX",
    "NUMBA_CPU_NAME",
    "NUMBA_CPU_FEATURES",
    "NUMBA_BOUNDSCHECK",
    "NUMBA_DEBUGINFO",
    "NUMBA_FULL_TRACEBACKS",
    "NUMBA_LLVM_REFPRUNE_PASS",
    "NUMBA_LLVM_REFPRUNE_FLAGS",
)
"""Settings of numba's that change the code it makes."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment of the process.

    `EINJIT_CACHE_DIR`: the folder of the cache. `EINJIT_CACHE`: `1`, `ro` (read, also what is
    root's, and never write) or `0` (none). `EINJIT_CPU`: `native`, or `generic` for kernels that
    run on every CPU of the architecture. `EINJIT_STRICT=1`: raise where a call would fall back to
    numpy or warn.
    `EINJIT_RECORD`: the path of a profile that every call is noted in.
    `EINJIT_NUM_THREADS`: how many threads a large call may use, where nothing in the program says
    otherwise; NUMBA_NUM_THREADS, or the cores there are, bounds it (`most_threads`).
    `EINJIT_KEEP_MB`: how many megabytes of memory that large results leave are kept for the next
    ones (an eighth of the machine's, at least 512); 0 leaves it all to numpy.
    `NUMBA_DISABLE_JIT=1`: run generated source as plain Python.
    `EINJIT_LOG`: a level of the standard library's logging, as in `EINJIT_LOG=debug`.
    """

    cache_dir: str | None = None
    cache: str = "rw"
    cpu: str = "native"
    strict: bool = False
    record: str | None = None
    num_threads: int | None = None
    most_threads: int = 1
    keep: int = 512 << 20
    log: str | None = None
    compiles: bool = True
    numba_settings: tuple[tuple[str, str], ...] = ()

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Settings":
        """The settings of an environment; OptionError for a value that is none."""
        mode, cpu = environment.get("EINJIT_CACHE", "1"), environment.get("EINJIT_CPU", "native")
        if mode not in CACHE_MODES:
            raise OptionError(f"EINJIT_CACHE={mode!r} is none of '1', 'ro', '0'")
        if cpu not in CPUS:
            raise OptionError(f"EINJIT_CPU={cpu!r} is none of 'native', 'generic'")
        threads = environment.get("EINJIT_NUM_THREADS") or None
        if threads is not None and not (threads.isdecimal() and int(threads) > 0):
            raise OptionError(f"EINJIT_NUM_THREADS={threads!r} is no number of threads, 1 or more")
        keep = environment.get("EINJIT_KEEP_MB") or str(max(512, _memory() // 8))
        if not keep.isdecimal():
            raise OptionError(f"EINJIT_KEEP_MB={keep!r} is no number of megabytes, 0 or more")
        return cls(
            cache_dir=environment.get("EINJIT_CACHE_DIR") or None,
            cache=CACHE_MODES[mode],
            cpu=cpu,
            strict=environment.get("EINJIT_STRICT", "0") not in ("", "0"),
            record=environment.get("EINJIT_RECORD") or None,
            num_threads=threads and int(threads),
            most_threads=_most_threads(environment.get("NUMBA_NUM_THREADS", "")),
            keep=int(keep) << 20,
            log=environment.get("EINJIT_LOG") or None,
            compiles=environment.get("NUMBA_DISABLE_JIT", "0") in ("", "0"),
            numba_settings=tuple((n, environment[n]) for n in NUMBA_SETTINGS if n in environment),
        )


def _memory() -> int:
    """Megabytes of memory of the machine; 0 where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    except (AttributeError, OSError, ValueError):
        return 0


def _most_threads(asked: str) -> int:
    """How many threads numba will launch, by its own rule."""
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


settings = Settings.read(os.environ)
logger.addHandler(logging.NullHandler())  # else what is logged without one goes to stderr

if settings.log:
    logging.basicConfig()
    logger.setLevel(settings.log.upper())
