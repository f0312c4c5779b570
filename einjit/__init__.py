"""np.einsum on generated, compiled loop nests.

>>> import einjit, numpy as np
>>> einjit.einsum("ij,jk->ik", np.eye(2), np.array([[1.0, 2.0], [3.0, 4.0]]))
array([[1., 2.],
       [3., 4.]])
"""

from einjit.api import Expression, einsum, einsum_path, expression
from einjit.errors import ArgumentError, EinjitError, OptionError, ShapeError, SubscriptsError
from einjit.explain import Explanation, explain
from einjit.registry import registry
from einjit.thread_count import get_num_threads, set_num_threads, threads

__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "EinjitError",
    "Explanation",
    "Expression",
    "OptionError",
    "ShapeError",
    "SubscriptsError",
    "einsum",
    "einsum_path",
    "explain",
    "expression",
    "get_num_threads",
    "registry",
    "set_num_threads",
    "threads",
]
