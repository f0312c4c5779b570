"""Whether an answer is right: some of its elements are computed again, one by one.

What is compared with is no engine's answer but each element's own sum, by np.einsum in float64 (in
the dtype itself where arithmetic is exact), and what a float may be off by is measured by the sum
of the absolute values of its terms (Higham, Accuracy and Stability of Numerical Algorithms, 3.1).
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from einjit.bench.cases import Array, Point

PROBES = 48
"""Elements compared beside the corners, where each axis is at its first or last place."""

WORK = 1 << 26
"""Terms summed at most, in all elements compared; one is compared whatever it takes."""

TOLERANCE = 32.0
"""Units in the last place of the sum of absolute values."""


def fault(point: Point, operands: Sequence[Array], result: Any) -> str | None:
    """What is wrong with an answer; None where nothing is.

    A wider dtype is not: torch, for one, sums int32 in int64.
    """
    found = np.asarray(result)
    shape = tuple(point.sizes[k] for k in point.output)
    if found.shape != shape:
        return f"wrong: shape {found.shape}, not {shape}"
    worst = max(_error(point, operands, place, found[place]) for place in _places(point, shape))
    return None if worst <= TOLERANCE else f"wrong: an element is off by {worst:.0f} ulp"


def _places(point: Point, shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Corners and pseudo-random places, each once, as many as the work allows."""
    rng = np.random.default_rng(len(shape))
    corners = itertools.islice(itertools.product(*[sorted({0, n - 1}) for n in shape]), PROBES)
    others = (tuple(int(rng.integers(n)) for n in shape) for _ in range(PROBES))
    terms = point.loops // max(1, math.prod(shape))
    return itertools.islice(dict.fromkeys([*corners, *others]), max(1, WORK // max(1, terms)))


def _error(point: Point, operands: Sequence[Array], place: tuple[int, ...], value: Any) -> float:
    """How far an element is from its own sum, in units in the last place."""
    at = dict(zip(point.output, place, strict=True))
    parts = [
        operand[tuple(at.get(letter, slice(None)) for letter in term)]
        for operand, term in zip(operands, point.terms, strict=True)
    ]
    terms = ",".join("".join(k for k in term if k not in at) for term in point.terms)
    value = value.astype(point.dtype)
    if np.dtype(point.dtype).kind in "biu":
        return 0.0 if np.einsum(f"{terms}->", *parts) == value else math.inf
    wide = np.result_type(point.dtype, np.float64)
    true = np.einsum(f"{terms}->", *parts, dtype=wide)
    scale = np.einsum(f"{terms}->", *map(np.abs, parts), dtype=np.float64)
    error = abs(complex(value) - complex(true)) / float(scale or 1.0)
    return float(error / np.finfo(point.dtype).eps) if error == error else math.inf
