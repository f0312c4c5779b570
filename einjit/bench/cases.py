"""A case of the benchmark, and a point: the case at one dtype and one size."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

PERIOD = 1_000_003
"""Elements after which an operand repeats itself: a prime, so that no two rows are alike."""


@dataclass(frozen=True)
class Case:
    """An equation, and how its extents grow: an int stays, a float is a weight that is scaled.

    >>> case = Case("nest", "rows", "row sums", "ij->i", ("float32",), {"i": 1.0, "j": 8})
    >>> case.at("float32", 1 << 20)
    Point(rows: row sums ij->i, float32, i=29120 j=8)
    """

    suite: str
    group: str
    name: str
    equation: str
    dtypes: tuple[str, ...]
    extents: Mapping[str, float]
    copied: bool = False
    """Whether the result is wanted in C order, where einsum alone would give a view."""

    def at(self, dtype: str, footprint: int = 0) -> "Point":
        """The point whose operands and result take at most so many bytes."""

        def point(scale: float) -> Point:
            sizes = {k: n if isinstance(n, int) else _even(n * scale) for k, n in items}
            return Point(self, dtype, sizes)

        items = self.extents.items()
        low, high = 0.0, float(max(footprint, 1))
        while high - low > 1e-6 * high:  # the largest scale that fits
            middle = (low + high) / 2
            low, high = (middle, high) if point(middle).bytes <= footprint else (low, middle)
        return point(low)


@dataclass(frozen=True)
class Point:
    """A case with a dtype and with the extents of its indices: work that engines are given."""

    case: Case
    dtype: str
    sizes: Mapping[str, int]

    def __repr__(self) -> str:
        case = self.case
        text = f"{case.group}: {case.name} {case.equation}, {self.dtype}, {self.sizes_text}"
        return f"Point({text})"

    @property
    def terms(self) -> list[str]:
        """The letters of each operand."""
        return self.case.equation.partition("->")[0].split(",")

    @property
    def output(self) -> str:
        """The letters of the result."""
        return self.case.equation.partition("->")[2]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of the operands."""
        return [tuple(self.sizes[k] for k in term) for term in self.terms]

    @property
    def sizes_text(self) -> str:
        """The extents, those that are alike together: ij=64 k=8."""
        alike: dict[int, str] = {}
        for letter, extent in self.sizes.items():
            alike[extent] = alike.get(extent, "") + letter
        return " ".join(f"{letters}={extent}" for extent, letters in alike.items())

    @property
    def reads(self) -> int:
        """Bytes of the elements of the operands that the result depends on."""
        return sum(map(self._elements, self.terms)) * np.dtype(self.dtype).itemsize

    @property
    def writes(self) -> int:
        """Bytes of the result."""
        return self._elements(self.output) * np.dtype(self.dtype).itemsize

    @property
    def bytes(self) -> int:
        """Of operands and result."""
        return self.reads + self.writes

    @property
    def loops(self) -> int:
        """Iterations of one loop nest over all indices."""
        return math.prod(self.sizes.values())

    @functools.cached_property
    def flops(self) -> float:
        """Real additions and multiplications: along opt_einsum's optimal path where there are
        more than two operands. A complex product and sum are 8, a sum alone is 2."""
        is_complex = np.dtype(self.dtype).kind == "c"
        sums = set(self.output) < set(self.sizes)
        if len(self.terms) == 1:
            return float(self.loops * sums * (2 if is_complex else 1))
        if len(self.terms) == 2:
            count = float(self.loops * (1 + sums))
        else:
            import opt_einsum

            path = opt_einsum.contract_path(
                self.case.equation, *self.shapes, shapes=True, optimize="optimal"
            )
            count = float(path[1].opt_cost)
        return count * (4 if is_complex else 1)

    def operands(self) -> list[Array]:
        """Pseudo-random operands, the same in every process."""
        return [self._operand(number, shape) for number, shape in enumerate(self.shapes)]

    def _operand(self, number: int, shape: tuple[int, ...]) -> Array:
        rng = np.random.default_rng(number)
        dtype = np.dtype(self.dtype)
        count = min(PERIOD, math.prod(shape))
        block: Array
        if dtype.kind in "iu":
            block = rng.integers(0, 7, count)
        elif dtype.kind == "b":
            block = rng.random(count) < 0.3
        else:
            block = rng.standard_normal(count)
            if dtype.kind == "c":
                block = block + 1j * rng.standard_normal(count)
        return np.resize(block.astype(dtype), shape)

    def _elements(self, term: str) -> int:
        return math.prod(self.sizes[k] for k in set(term))


def _even(extent: float) -> int:
    """An extent that is not odd for its size: a multiple of 8 from 64 on."""
    return max(1, int(extent) if extent < 64 else int(extent) // 8 * 8)
