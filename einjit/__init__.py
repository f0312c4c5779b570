"""np.einsum on generated, compiled loop nests.

>>> import einjit, numpy as np
>>> einjit.einsum("ij,jk->ik", np.eye(2), np.array([[1.0, 2.0], [3.0, 4.0]]))
array([[1., 2.],
       [3., 4.]])
"""

from einjit.api import Expression, einsum, einsum_path, expression
from einjit.errors import ArgumentError, EinjitError, OptionError, ShapeError, SubscriptsError
from einjit.explain import Explanation, explain
from einjit.kernel.cache import cache_dir, cache_info, clear_cache
from einjit.registry import registry
from einjit.thread_count import get_num_threads, set_num_threads, threads
from einjit.warmup import Warmup, record, warmup

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
