"""How many threads a large call may use. No bit of a result depends on it.

What a Python thread has set for itself decides; else EINJIT_NUM_THREADS, or what the thread has set
with numba.set_num_threads where that is less. numba is asked only once its threads are there.
threadpoolctl's limits set the same number.
"""

import operator
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from einjit.errors import ArgumentError, OptionError
from einjit.settings import settings


class _Own(threading.local):
    """What each Python thread has set for itself."""

    chosen: int | None = None


_own = _Own()


def get_num_threads() -> int:
    """How many threads a call from this thread may use.

    >>> import einjit
    >>> einjit.get_num_threads() >= 1
    True
    """
    return min(_own.chosen or _unchosen(), _most())


def set_num_threads(n: int) -> None:
    """Let calls from this Python thread use `n` threads, whatever EINJIT_NUM_THREADS says; from 1
    to the number the process started with (the cores it may run on, or NUMBA_NUM_THREADS).

    Raises ArgumentError for what is no integer, OptionError for a number out of range.

    >>> import einjit
    >>> einjit.set_num_threads(einjit.get_num_threads())
    """
    _own.chosen = _checked(n)


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Use `n` threads in a `with` block, and what it was before behind it.

    >>> import einjit, numpy as np
    >>> with einjit.threads(1):
    ...     einjit.einsum("i,i->", np.ones(3), np.ones(3))
    np.float64(3.0)
    """
    before, _own.chosen = _own.chosen, _checked(n)
    try:
        yield
    finally:
        _own.chosen = before


def _checked(n: int) -> int:
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise ArgumentError(f"the number of threads must be an int, not {type(n).__name__}")
    n, most = operator.index(n), _most()
    if not 1 <= n <= most:
        raise OptionError(f"the number of threads must be from 1 to {most}, not {n}")
    return n


def _most() -> int:
    """How many threads numba has, or will have."""
    config = sys.modules.get("numba.core.config")
    return int(getattr(config, "NUMBA_NUM_THREADS", settings.most_threads))


def _unchosen() -> int:
    """The number of a Python thread that has set none."""
    n, parallel = _most(), sys.modules.get("numba.np.ufunc.parallel")
    if parallel is not None and getattr(parallel, "_is_initialized", False):
        masked = int(parallel._get_num_threads())  # numba.get_num_threads itself takes locks
        n = masked if masked > 0 else n  # numba tells a new thread of a forked child -1
    return min(n, settings.num_threads or n)


def _limit_by(threadpoolctl: Any) -> None:
    """Let `threadpoolctl.threadpool_limits` set the number of the Python thread that calls it.

    It finds what it limits by the shared libraries that are loaded. numba's layers come late, and a
    limit on libgomp does nothing to numba, which tells it a number at each launch. So numpy's
    library, which is there before any call, stands for einjit.
    """

    class Controller(threadpoolctl.LibController):  # type: ignore[misc]
        user_api = internal_api = "einjit"
        filename_prefixes = ("_multiarray_umath.",)

        def get_num_threads(self) -> int:
            return get_num_threads()

        def set_num_threads(self, num_threads: int) -> None:
            n = max(1, min(num_threads, _most()))
            # At the end of a block it sets what it found: nothing, for most threads.
            _own.chosen = None if n == _unchosen() else n

        def get_version(self) -> str:
            return str(sys.modules["einjit"].__version__)

    threadpoolctl.register(Controller)


try:  # now: a limit that is set before einjit is known to it does not reach einjit
    import threadpoolctl
except ImportError:
    pass
else:
    if hasattr(threadpoolctl, "register"):  # since 3.2
        _limit_by(threadpoolctl)
