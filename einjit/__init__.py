"""np.einsum on generated, compiled loop nests.

>>> import einjit, numpy as np
>>> einjit.einsum("ij,jk->ik", np.eye(2), np.array([[1.0, 2.0], [3.0, 4.0]]))
array([[1., 2.],
       [3., 4.]])
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from einjit.api import Expression, einsum, einsum_path, expression
from einjit.errors import ArgumentError, EinjitError, OptionError, ShapeError, SubscriptsError
from einjit.kernel.cache import cache_dir, cache_info, clear_cache
from einjit.registry import registry
from einjit.thread_count import get_num_threads, set_num_threads, threads

if TYPE_CHECKING:
    from einjit.explanation import Explanation, explain
    from einjit.warming import Warmup, record, warmup

__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "EinjitError",
    "Explanation",
    "Expression",
    "OptionError",
    "ShapeError",
    "SubscriptsError",
    "Warmup",
    "cache_dir",
    "cache_info",
    "clear_cache",
    "einsum",
    "einsum_path",
    "explain",
    "expression",
    "get_num_threads",
    "record",
    "registry",
    "set_num_threads",
    "threads",
    "warmup",
]

_LATER = {
    **dict.fromkeys(("Explanation", "explain"), "explanation"),
    **dict.fromkeys(("Warmup", "record", "warmup"), "warming"),
}
"""What a process that only computes does not wait for, and the modules it is in."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
