"""Kernels and the functions beside them: from the cache, or compiled and put there."""

import functools
import platform
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from pkgutil import get_data
from typing import Any

import numpy as np

from einjit.kernel.cache import Entry, Key, disk
from einjit.kernel.load import Code, Loaded
from einjit.kernel.modules import keep_text
from einjit.settings import settings
from einjit.source.module import CODEGEN, Source
from einjit.target import cpu

FASTMATH = ("contract", "reassoc")
"""Sums may be reordered into lanes and fused with products. Without "nsz" LLVM takes nothing out
of brackets (a·b + a·c stays), so NaN and infinity come out as they do in numpy, and 0 + -0 is 0."""


class Kernel:
    """A nest's machine code: its source, its address, what it cost, and how it is used.

    `usage` holds two words that the native call updates: how often it was called, and when last.
    """

    def __init__(self, source: Source) -> None:
        start = time.perf_counter()
        self.source = source
        facts = {"module": source.module, "dtypes": source.nest.dtypes}

        def compiled() -> Code:
            from einjit.kernel.compile import compile_nest

            return compile_nest(source, FASTMATH)

        self._loaded, self.from_cache = obtain(nest_key(source), facts, compiled)
        keep_text(source)
        self.address = self._loaded.address
        self.seconds = time.perf_counter() - start
        self.usage = np.zeros(2, np.intp)

    @property
    def calls(self) -> int:
        """How often the kernel was called."""
        return int(self.usage[0])

    @property
    def last_use(self) -> int:
        """When it was last called, by the clock that counts calls of kernels."""
        return int(self.usage[1])

    @last_use.setter
    def last_use(self, clock: int) -> None:
        self.usage[1] = clock

    def __repr__(self) -> str:
        return f"<Kernel {self.source.nest} {self.source.nest.compute}, {self.calls} calls>"


class Builtin:
    """A function of the module `hot` or `pool`, as machine code."""

    def __init__(self, name: str, module: str = "hot") -> None:
        def compiled() -> Code:
            from einjit.kernel.compile import compile_builtin

            return compile_builtin(name, module)

        source = _digest(module, "layout")
        key = {**environment(), "kind": module, "name": name, "source": source}
        self._loaded, self.from_cache = obtain(key, {}, compiled)
        self.address = self._loaded.address


def nest_key(source: Source) -> Key:
    """The key of a nest's kernel."""
    return {
        **environment(),
        "kind": "nest",
        "nest": str(source.nest),
        "source": sha256(source.text.encode()).hexdigest(),
        "fastmath": FASTMATH,
    }


def is_cached(source: Source) -> bool:
    """Whether the cache has the kernel of a source."""
    return disk().has(_plain(nest_key(source)))


def obtain(key: Key, facts: dict[str, Any], compiled: Callable[[], Code]) -> tuple[Loaded, bool]:
    """The loaded code of a key, and whether the cache had it; else it is compiled and kept."""
    entry = disk().load(_plain(key))
    code = None if entry is None else Code.of(entry.facts, entry.code)
    if code is not None and not code.missing:
        return Loaded(code), True
    code = compiled()
    facts = {**facts, "symbol": code.symbol, "needs": code.needs}
    disk().save(Entry(_plain(key), _plain(facts), code.object))
    return Loaded(code), False


@functools.cache
def environment() -> Key:
    """What all machine code depends on, beside its own source."""
    name, features = cpu()
    return {
        "codegen": CODEGEN,
        "primitives": _digest("intrinsics", "memory", "lanes", "vectors", "context", "compile"),
        "python": sys.implementation.cache_tag,
        "system": f"{sys.platform} {platform.machine()}",
        "numba": _version("numba"),
        "llvmlite": _version("llvmlite"),
        "cpu": name,
        "features": features,
        "settings": settings.numba_settings,
    }


def _version(package: str) -> str:
    """The digest of a package's version file: numba is not imported for its version alone."""
    spec = find_spec(package)
    folder = Path(spec.origin or "").parent if spec else Path()
    return sha256((folder / "_version.py").read_bytes()).hexdigest()[:16]


def _digest(*modules: str) -> str:
    """The digest of some modules of this package."""
    texts = (get_data("einjit.kernel", f"{module}.py") or b"" for module in modules)
    return sha256(b"\0".join(texts)).hexdigest()


def _plain(facts: dict[str, Any]) -> dict[str, Any]:
    """As JSON gives it back: tuples are lists."""

    def plain(value: Any) -> Any:
        return [plain(item) for item in value] if isinstance(value, tuple) else value

    return {name: plain(value) for name, value in facts.items()}
