"""Generated modules: entered where Python finds them, and found again in later processes.

A module's text lies in the cache beside the kernels, checked as they are, so that
`einjit.generated.…` can be imported where another process generated it: a user's own cached numba
function may call its `contract`.
"""

import importlib.abc
import importlib.machinery
import linecache
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from einjit.kernel.cache import Entry, Key, disk
from einjit.source.module import PACKAGE, Source, module_name


def module_of(source: Source) -> Any:
    """The module of a source, run but not entered."""
    module = ModuleType(source.module)
    _fill(module, source.text)
    return module


def enter(module: ModuleType, text: str) -> None:
    """Enter a module where Python and tracebacks look for it."""
    _show(module, text)
    sys.modules[module.__name__] = module


def has_text(module: str) -> bool:
    """Whether the cache has the text of a module, or keeps nothing."""
    return not disk().writes or disk().has(_key(module))


def keep_text(source: Source) -> None:
    """Put the text of a source into the cache, for other processes to import."""
    if not has_text(source.module):
        disk().save(Entry(_key(source.module), {"text": source.text}, b""))


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of `einjit.generated` in the cache."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of a generated module that the cache holds."""
        if not fullname.startswith(PACKAGE + ".") or _text(fullname) is None:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, origin=_origin(fullname))

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's text."""
        text = _text(module.__name__)
        if text is None:
            raise ImportError(f"{module.__name__} is not in the cache any more")
        _fill(module, text)
        _show(module, text)


def _fill(module: ModuleType, text: str) -> None:
    module.__file__ = _origin(module.__name__)
    exec(compile(text, module.__file__, "exec"), module.__dict__)


def _show(module: ModuleType, text: str) -> None:
    """Let tracebacks and `inspect` find the text."""
    origin = _origin(module.__name__)
    linecache.cache[origin] = (len(text), None, text.splitlines(keepends=True), origin)


def _text(name: str) -> str | None:
    entry = disk().load(_key(name))
    text = entry.facts.get("text") if entry else None
    # The name holds a digest of the text.
    return text if isinstance(text, str) and module_name(_kind(name), text) == name else None


def _kind(name: str) -> str:
    return name.removeprefix(PACKAGE + ".").rpartition("_")[0]


def _key(name: str) -> Key:
    return {"kind": "source", "module": name}


def _origin(name: str) -> str:
    return f"<{name}>"
