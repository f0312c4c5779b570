"""Kernels and the functions beside them: from the cache, or compiled and put there."""

import functools
import platform
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from pkgutil import get_data, iter_modules
from typing import Any

import numpy as np

import einjit.plan
import einjit.source
from einjit.kernel.cache import Entry, Key, disk
from einjit.kernel.load import Code, Loaded
from einjit.kernel.modules import has_text, keep_text
from einjit.settings import settings
from einjit.source.module import CODEGEN, Source, Structure
from einjit.target import cpu

FASTMATH = ("contract", "reassoc")
"""Sums may be reordered into lanes and fused with products. Without "nsz" LLVM takes nothing out
of brackets (a·b + a·c stays), so NaN and infinity come out as they do in numpy, and 0 + -0 is 0."""

PRIMITIVES = (
    "intrinsics",
    "memory",
    "lanes",
    "vectors",
    "turning",
    "streams",
    "context",
    "compile",
)
"""The modules of this package that are in all machine code, or shape it."""


class Kernel:
    """A nest's machine code: its source, its address, what it cost, and how it is used.

    `usage` holds two words that the native call updates: how often it was called, and when last.
    """

    def __init__(self, source: Source) -> None:
        start = time.perf_counter()
        self.source = source

        def compiled() -> tuple[Code, dict[str, Any]]:
            from einjit.kernel.compile import compile_nest

            facts = {"module": source.module, "dtypes": source.nest.dtypes}
            return compile_nest(source, FASTMATH), facts

        self._loaded, kept = obtain(nest_key(source.nest), compiled)
        self.from_cache = kept is not None
        if kept is None or not has_text(str(kept.get("module"))):
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
        def compiled() -> tuple[Code, dict[str, Any]]:
            from einjit.kernel.compile import compile_builtin

            return compile_builtin(name, module), {}

        source = _digest(f"einjit.kernel.{module}", "einjit.kernel.layout")
        key = {**environment(), "kind": module, "name": name, "source": source}
        self._loaded, kept = obtain(key, compiled)
        self.from_cache = kept is not None
        self.address = self._loaded.address


def nest_key(nest: Structure) -> Key:
    """The key of a nest's kernel. The structure and the generator stand for the text."""
    return {
        **environment(),
        "kind": "nest",
        "nest": str(nest),
        "structure": repr(nest),
        "generator": generator(),
        "fastmath": FASTMATH,
    }


def is_cached(nest: Structure) -> bool:
    """Whether the cache has the kernel of a nest."""
    return disk().has(_plain(nest_key(nest)))


def obtain(
    key: Key, compiled: Callable[[], tuple[Code, dict[str, Any]]]
) -> tuple[Loaded, dict[str, Any] | None]:
    """The loaded code of a key, and the facts that the cache had with it; where it had nothing,
    the code is compiled and kept with the facts that come with it."""
    entry = disk().load(_plain(key))
    if entry is not None:
        code = Code.of(entry.facts, entry.code)
        if code is not None and not code.missing:
            return Loaded(code), entry.facts
    code, facts = compiled()
    facts = {**facts, "symbol": code.symbol, "needs": code.needs}
    disk().save(Entry(_plain(key), _plain(facts), code.object))
    return Loaded(code), None


@functools.cache
def generator() -> str:
    """The digest of all that generated text depends on, beside its structure."""
    modules = (
        f"{package.__name__}.{found.name}"
        for package in (einjit.plan, einjit.source)
        for found in iter_modules(package.__path__)
    )
    return _digest("einjit.names", *sorted(modules))


@functools.cache
def environment() -> Key:
    """What all machine code depends on, beside its own source."""
    name, features = cpu()
    return {
        "codegen": CODEGEN,
        "primitives": _digest(*(f"einjit.kernel.{name}" for name in PRIMITIVES)),
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
    """The digest of some modules."""
    names = (module.rpartition(".") for module in modules)
    texts = (get_data(package, f"{name}.py") or b"" for package, _, name in names)
    return sha256(b"\0".join(texts)).hexdigest()


def _plain(facts: dict[str, Any]) -> dict[str, Any]:
    """As JSON gives it back: tuples are lists."""

    def plain(value: Any) -> Any:
        return [plain(item) for item in value] if isinstance(value, tuple) else value

    return {name: plain(value) for name, value in facts.items()}
