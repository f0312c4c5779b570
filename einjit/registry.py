"""What is compiled, and which call is ready: the only state there is.

A kernel's key is its `Nest`, all that the machine code depends on; each is compiled once, however
many threads ask. A call's key is what one call looks like (subscripts, dtypes, shapes, strides,
options); it finds a callable with every decision made.
"""

import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Any

from einjit.equation.equation import Equation
from einjit.equation.parser import parse
from einjit.errors import SubscriptsError
from einjit.plan.nest import Nest
from einjit.plan.packed import Packed, Part
from einjit.plan.plan import Plan
from einjit.settings import logger, settings
from einjit.source.module import Source, Structure

if TYPE_CHECKING:
    from einjit.kernel.build import Kernel
    from einjit.kernel.native import Native

KERNELS = 4096
"""Kernels kept; the least recently used leaves first."""

CALLS = 16 * KERNELS
"""Calls kept ready; the oldest half leaves when there are more."""


def _find_nothing(*operands: Any) -> None:
    """Stands for `Native.find` and its like until the first call has compiled it."""


def _plain() -> Any:
    """What stands in for compiled code where numba is told not to compile."""
    from einjit.kernel import plain

    return plain


class Registry:
    """The kernels this process has compiled, and the calls that are ready.

    >>> import einjit, numpy as np
    >>> _ = einjit.einsum("ij,jk->ik", np.ones((2, 3)), np.ones((3, 4)))
    >>> "ab,bc->ac" in einjit.registry
    True
    """

    def __init__(self, limit: int = KERNELS) -> None:
        self.limit = limit
        self.find: Callable[..., Any] = _find_nothing
        self.find_into: Callable[..., Any] = _find_nothing
        self.find_ordered: dict[str, Callable[..., Any]] = {}
        self._calls: dict[Hashable, Callable[..., Any]] = {}
        self._kernels: dict[Nest | Packed, Kernel] = {}
        self._shared: dict[Part, Kernel] = {}
        self._uses: dict[Hashable, tuple[Equation, list[Nest | Packed]]] = {}
        self._lock = threading.RLock()
        self._native: Native | None = None
        self._counts: Counter[str] = Counter()
        self._fallbacks: Counter[str] = Counter()
        self._seconds = 0.0

    # ------------------------------------------------------------ for people

    def __len__(self) -> int:
        """How many kernels are compiled."""
        return len(self._kernels)

    def __iter__(self) -> Iterator["Kernel"]:
        """The compiled kernels, in the order they were compiled."""
        return iter(list(self._kernels.values()))

    def __contains__(self, subscripts: object) -> bool:
        try:
            return isinstance(subscripts, str) and bool(self._lookup(subscripts))
        except SubscriptsError:
            return False

    def __getitem__(self, subscripts: str) -> tuple["Kernel", ...]:
        """The kernels that calls of this equation have used; KeyError if there are none.

        The letters do not matter: "ij,jk->ik" and "ab,bc->ac" are one equation. An ellipsis stands
        for nothing here.
        """
        found = self._lookup(subscripts)
        if not found:
            raise KeyError(subscripts)
        return found

    def stats(self) -> dict[str, Any]:
        """Counts since the process started or `clear`: kernels compiled and evicted, seconds spent
        compiling, calls that were ready (hits) or had to be planned (misses), and calls handed to
        numpy, by reason; and the bytes of memory that large results have left for the next."""
        hits = self._counts["hits"] + (self._native.hits if self._native else 0)
        return {
            "compiled": self._counts["compiled"],
            "loaded": self._counts["loaded"],
            "evicted": self._counts["evicted"],
            "seconds": self._seconds,
            "hits": hits,
            "misses": self._counts["misses"],
            "fallbacks": dict(self._fallbacks),
            "kept_bytes": self._native.kept if self._native else 0,
        }

    def clear(self) -> None:
        """Forget every kernel, call and count. Calls under way finish undisturbed."""
        with self._lock:
            self._calls.clear()
            self._kernels.clear()
            self._shared.clear()
            self._uses.clear()
            self._counts.clear()
            self._fallbacks.clear()
            self._seconds = 0.0
            if self._native:
                self._native.hits = 0
                self._native.let_go()

    def forget_calls(self) -> None:
        """Forget which calls are ready, but not the kernels: each is planned once more."""
        with self._lock:
            self._calls.clear()
            self._uses.clear()

    # ------------------------------------------------------------ for the calls

    @property
    def keeps(self) -> bool:
        """Whether what is compiled is kept on disk."""
        with self._lock:
            from einjit.kernel.cache import disk

        return disk().writes

    def holds(self, nest: Nest | Packed) -> bool:
        """Whether a nest's kernel is loaded."""
        return nest in self._kernels

    def has_on_disk(self, nest: Nest | Packed) -> bool:
        """Whether the cache has a nest's kernel, and the compiled code that it calls."""
        with self._lock:
            from einjit.kernel.build import is_cached

        return all(is_cached(part) for part in (nest, *nest.needs))

    @property
    def native(self) -> "Native":
        """The compiled functions of the hot path; the first access compiles them."""
        if self._native is None:
            with self._lock:  # the imports too: a fork must not come into one of them
                from einjit.kernel.native import Native
                from einjit.kernel.parallel import Threads

                if self._native is None:
                    native = (
                        _plain().PlainNative() if not settings.compiles else Native(self._calls)
                    )
                    self._threads = Threads(native, self._lock)
                    self.find, self.find_into = native.find, native.find_into
                    self.find_ordered = native.find_ordered
                    self._native = native
        return self._native

    def fetch_threads(self) -> None:
        """Launch the threads of large calls now, not once those have waited for them."""
        _ = self.native  # makes them
        self._threads.fetch()

    def get(self, key: Hashable) -> Callable[..., Any] | None:
        """The ready call of this key, if there is one."""
        found = self._calls.get(key)
        if found is not None:
            with self._lock:
                self._counts["hits"] += 1
        return found

    def add(self, key: Hashable, plan: Plan) -> Callable[..., Any]:
        """Make a plan ready, compiling what is not compiled, and keep it under its key.

        A key of None is that of a call too large to be kept.
        """
        with self._lock:
            from einjit.kernel.call import ready

        made = ready(plan, self.native, self.kernel, self.shared)
        with self._lock:
            self._counts["misses"] += 1
            self._keep(key, plan, made)
        return made

    def kernel(self, nest: Nest | Packed) -> "Kernel":
        """The compiled kernel of a nest or a packed contraction, and with it what it calls."""
        found = self._kernels.get(nest)
        if found is not None:
            return found
        with self._lock:
            found = self._kernels.get(nest)
            if found is None:
                for part in nest.needs:
                    self.shared(part)
                found = self._built(nest)
                self._counts["loaded" if found.from_cache else "compiled"] += 1
                self._kernels[nest] = found
                if len(self._kernels) > self.limit:
                    self._evict()
        return found

    def shared(self, part: Part) -> "Kernel":
        """The compiled code that many kernels call."""
        found = self._shared.get(part)
        if found is not None:
            return found
        with self._lock:
            found = self._shared.get(part)
            if found is None:
                found = self._shared[part] = self._built(part)
        return found

    def _built(self, structure: Structure) -> "Kernel":
        from einjit.kernel.build import Kernel

        build = Kernel if settings.compiles else _plain().PlainKernel
        built = build(Source(structure))
        built.last_use = self.native.clock
        self._seconds += 0.0 if built.from_cache else built.seconds
        what = "loaded" if built.from_cache else "compiled"
        logger.info("%s %r in %.0f ms", what, built, 1e3 * built.seconds)
        self._threads.wait()
        return built

    def fell_back(self, reason: str) -> None:
        """Count a call that is handed to numpy."""
        with self._lock:
            self._fallbacks[reason] += 1
        logger.info("handed to numpy: %s", reason)

    def _keep(self, key: Hashable, plan: Plan, made: Callable[..., Any]) -> None:
        nests = [step.lowered.nest for step in plan.steps if step.lowered.nest]
        if key is None or not self._kernels.keys() >= set(nests):
            return
        if len(self._calls) >= CALLS:
            for old in list(self._calls)[: CALLS // 2]:
                self._forget(old)
        self._calls[key] = made
        self._uses[key] = (plan.equation, nests)

    def _forget(self, key: Hashable) -> None:
        self._calls.pop(key, None)
        self._uses.pop(key, None)

    def _evict(self) -> None:
        """Let the least recently used kernel go, and the calls that are bound to it."""
        nest = min(self._kernels, key=lambda nest: self._kernels[nest].last_use)
        del self._kernels[nest]
        for key in [key for key, (_, nests) in self._uses.items() if nest in nests]:
            self._forget(key)
        self._counts["evicted"] += 1

    def _lookup(self, subscripts: str) -> tuple["Kernel", ...]:
        text = subscripts.replace(".", "").replace(" ", "")
        equation = parse(text, [len(term) for term in text.split("->")[0].split(",")])
        uses = list(self._uses.values())
        nests = dict.fromkeys(nest for found, used in uses if found == equation for nest in used)
        return tuple(self._kernels[nest] for nest in nests if nest in self._kernels)


registry = Registry()


def _hold_over_fork() -> None:
    """Keep a fork from happening while another thread compiles: the child could never finish it."""
    held: list[Any] = []  # what the forking thread holds beside the registry's lock

    def before() -> None:
        registry._lock.acquire()
        module = sys.modules.get("numba.core.compiler_lock")
        lock = getattr(module, "global_compiler_lock", None)
        if lock is not None:
            lock.acquire()
            held.append(lock)

    def after() -> None:
        while held:
            held.pop().release()
        registry._lock.release()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=before, after_in_parent=after, after_in_child=after)


_hold_over_fork()
