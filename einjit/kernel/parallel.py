"""Threads: when large calls begin to share their tiles out, and over which layer.

numba's threads are there when numba is, and importing it takes longer than many a call. So large
calls run in one thread until they have taken some time, and go on in it while another thread
imports numba. What waits for the import is a call that takes longer itself, a call of something
new, which needs the registry, and a program that ends.
"""

import ctypes
import functools
import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

from einjit.kernel.build import Builtin
from einjit.settings import logger
from einjit.thread_count import get_num_threads

if TYPE_CHECKING:
    from einjit.kernel.native import Native

PATIENCE = 50_000_000
"""Nanoseconds of large calls in one thread before numba is imported, which takes three times as
long; a process that ends meanwhile waits for that."""

LONG = 500_000_000
"""Nanoseconds of a call in one thread that waits for the import: it gains more in several."""

NEVER = sys.maxsize
"""Patience of a process that must not launch threads."""


INSIDE = {"omp": "omp_in_parallel", "tbb": "_ZN3tbb6detail2r115current_contextEv"}
"""By layer: the C function of its library that gives other than 0 within a parallel loop."""


class Threads:
    """The parallel loop of a process, fetched when large calls have waited long enough for it."""

    def __init__(self, native: "Native", registry_lock: threading.RLock) -> None:
        self._native = weakref.proxy(native)
        self._registry_lock = registry_lock
        self._driver: Builtin | None = None
        self._ready = self._forbidden = False
        self._lock = 0
        native.call_back(wake=self.wake, admit=admitted)
        self.wait()
        if hasattr(os, "register_at_fork"):
            method = weakref.WeakMethod(self._after_fork)
            os.register_at_fork(after_in_child=lambda: (method() or bool)())

    def wait(self) -> None:
        """Begin to count what large calls could save, if there is no parallel loop yet."""
        self._native.forgive()
        if self._driver is None and not self._forbidden:
            self._share(0, PATIENCE)

    def wake(self) -> None:
        """What large calls do about threads once they have waited for them."""
        is_long = self._native.owed > LONG
        if not self._registry_lock.acquire(timeout=LONG / 1e9 if is_long else 0):
            return  # the next call asks again
        try:
            if admitted() < 2:  # for now: the next call may ask for more
                if not self._ready:
                    self.wait()
            elif self._ready or self._driver is not None or is_long:
                self.fetch()
            else:
                self._share(0, self._native.owed + LONG)  # until it is ready, or a call is long
                self._import_aside()
        finally:
            self._registry_lock.release()

    def _import_aside(self) -> None:
        """Import numba in a thread of its own."""
        try:
            threading.Thread(target=self._prepare, name="einjit: import numba").start()
        except RuntimeError as problem:  # the process ends, or has all the threads it may have
            self._share(0, NEVER)
            logger.info("threads: none, numba is not imported: %s", problem)

    def _prepare(self) -> None:
        """Import numba; large calls go on meanwhile."""
        with self._registry_lock:  # no fork comes into the imports
            try:
                _initialize()
            except Exception as problem:  # threads are a gain, not a need
                self._share(0, NEVER)
                logger.warning("threads: none, calls run in one: %s", problem)
                return
            self._ready = True
            if self._driver is None:
                self._share(0, 0)

    def fetch(self) -> None:
        """Launch numba's threads and load the parallel loop, or compile it.

        The thread that calls is the one to launch: tbb stops its threads for a fork only there.
        """
        with self._registry_lock:
            if self._driver is not None or self._forbidden:
                return
            self._share(0, NEVER)  # whatever happens: not twice
            try:
                layer = _launch()
                self._driver = Builtin("drive")
                if layer == "workqueue":
                    self._lock = ctypes.pythonapi.PyThread_allocate_lock()
                self._share(self._driver.address, NEVER)
                logger.info("threads: %s", layer)
            except Exception as problem:  # as above: calls go on in one
                logger.warning("threads: none, calls run in one: %s", problem)

    def _share(self, driver: int, patience: int) -> None:
        self._native.share_threads(driver, patience=patience, lock=self._lock)

    def _after_fork(self) -> None:
        """In a child: one thread for good where the layer cannot launch there.

        GNU OpenMP ends a child that launches after its parent did, whoever's launch it was. tbb
        hangs in one where its threads could not be stopped for the fork: where another thread of
        the parent has launched, or has been the first to.
        """
        if getattr(sys.modules.get("numba.np.ufunc.parallel"), "_is_initialized", False):
            import numba

            self._forbidden = numba.threading_layer() != "workqueue"
            self._lock = self._lock and ctypes.pythonapi.PyThread_allocate_lock()
        if self._forbidden:
            self._share(0, NEVER)
        elif self._driver is not None:
            self._share(self._driver.address, NEVER)
        else:
            self.wait()  # the thread that imports numba is not in the child


def admitted() -> int:
    """How many threads the calling one may launch on: one within somebody's parallel loop.

    numba's workqueue ends the process that launches there, OpenMP would start threads of its own
    for each. A thread that Python did not start is taken for one of a parallel loop: numba's
    workers are such.
    """
    if isinstance(threading.current_thread(), threading._DummyThread):
        return 1
    layer = getattr(sys.modules.get("numba.np.ufunc.parallel"), "_threading_layer", None)
    return 1 if layer is not None and _asks(layer)() else get_num_threads()


@functools.cache
def _asks(layer: str) -> Callable[[], int]:
    """What tells whether the calling thread is within a parallel loop, where the layer can tell.

    The workqueue needs none: the thread that launches does not itself run what it launched.
    """
    library = sys.modules.get(f"numba.np.ufunc.{layer}pool")
    try:
        ask = getattr(ctypes.PyDLL(str(library.__file__)), INSIDE[layer])  # type: ignore[union-attr]
    except (AttributeError, KeyError, OSError):
        return int
    ask.restype, ask.argtypes = ctypes.c_size_t, []
    return ask


ctypes.pythonapi.PyThread_allocate_lock.restype = ctypes.c_size_t
ctypes.pythonapi.PyThread_allocate_lock.argtypes = []


def _initialize() -> None:
    """Import what launching takes, and enter the symbols that parallel code needs."""
    from numba.core.registry import cpu_target
    from numba.core.runtime import rtsys
    from numba.np.ufunc import parallel  # noqa: F401, imported here for _launch

    rtsys.initialize(cpu_target.target_context)


def _launch() -> str:
    """Launch numba's threads; the name of their layer."""
    _initialize()
    import numba
    from numba.np.ufunc import parallel

    parallel._launch_threads()
    return str(numba.threading_layer())
