"""How many threads a large call may use: numba's number, which each Python thread has for itself.

No bit of a result depends on it.
"""

import operator
from collections.abc import Iterator
from contextlib import contextmanager

from einjit.errors import ArgumentError, OptionError


def get_num_threads() -> int:
    """How many threads a call from this thread may use.

    >>> import einjit
    >>> einjit.get_num_threads() >= 1
    True
    """
    import numba

    return int(numba.get_num_threads())


def set_num_threads(n: int) -> None:
    """Let calls from this thread use `n` threads, from 1 to the number the process started with
    (the cores it may run on, or NUMBA_NUM_THREADS).

    Raises ArgumentError for what is no integer, OptionError for a number out of range.

    >>> import einjit
    >>> einjit.set_num_threads(einjit.get_num_threads())
    """
    import numba

    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise ArgumentError(f"the number of threads must be an int, not {type(n).__name__}")
    n = operator.index(n)
    most = int(numba.config.NUMBA_NUM_THREADS)
    if not 1 <= n <= most:
        raise OptionError(f"the number of threads must be from 1 to {most}, not {n}")
    numba.set_num_threads(n)


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Use `n` threads in a `with` block, and what it was before behind it.

    >>> import einjit, numpy as np
    >>> with einjit.threads(1):
    ...     einjit.einsum("i,i->", np.ones(3), np.ones(3))
    np.float64(3.0)
    """
    before = get_num_threads()
    set_num_threads(n)
    try:
        yield
    finally:
        set_num_threads(before)
