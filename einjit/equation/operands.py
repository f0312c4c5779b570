"""Operands as strided views: what each is, and where its elements lie along each index."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from einjit.equation.equation import Equation

Array = npt.NDArray[Any]


@functools.lru_cache
def dtype_name(dtype: np.dtype[Any]) -> str:
    """The name of a dtype, which numpy takes microseconds to put together."""
    return dtype.name


@dataclass(frozen=True, slots=True)
class Layout:
    """An array without its data: shape, strides in elements, and the dtype's name."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str

    @classmethod
    def of(cls, array: Array) -> "Layout":
        """The layout of a plain array (`as_plain`)."""
        size = array.itemsize
        return cls(array.shape, tuple(s // size for s in array.strides), dtype_name(array.dtype))

    @classmethod
    def contiguous(cls, shape: tuple[int, ...], dtype: str) -> "Layout":
        """The layout of a new array in C order."""
        return cls(shape, packed(shape, range(len(shape))), dtype)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=object))


def as_plain(array: Array) -> Array:
    """The same values as an exact, aligned ndarray of native byte order and whole strides.

    A copy only where the array is not that already; subclasses are viewed.
    """
    plain = np.asarray(array)
    if not plain.dtype.isnative:
        plain = plain.astype(plain.dtype.newbyteorder("="))
    if not plain.flags.aligned or any(s % plain.itemsize for s in plain.strides):
        plain = plain.copy(order="K")
    return plain


def view_of(equation: Equation, array: Array) -> Array | None:
    """The view of any array that an equation of one operand asks for; None if it sums an index."""
    term = equation.inputs[0]
    if set(term) != set(equation.output):
        return None
    axes = [[axis for axis, index in enumerate(term) if index == kept] for kept in equation.output]
    shape = [array.shape[found[0]] for found in axes]
    strides = [sum(array.strides[axis] for axis in found) for found in axes]
    return np.lib.stride_tricks.as_strided(array, shape, strides, writeable=array.flags.writeable)


def strides_by_index(
    equation: Equation, extents: Sequence[int], operands: Sequence[Layout]
) -> list[list[int]]:
    """For each operand, its stride in elements along each index of the equation.

    A repeated index runs along the diagonal: its strides add up. 0 where the operand does not have
    the index, or has it with an extent of 1 or a stride of 0 (broadcast): then it does not vary.
    """
    rows = []
    for term, operand in zip(equation.inputs, operands, strict=True):
        row = [0] * len(extents)
        for index, extent, stride in zip(term, operand.shape, operand.strides, strict=True):
            if extent != 1:
                row[index] += stride
        rows.append(row)
    return rows


def packed(shape: Sequence[int], order: Sequence[int]) -> tuple[int, ...]:
    """Strides in elements of a new array whose axes lie in `order`, the last one contiguous."""
    strides, run = [0] * len(shape), 1
    for axis in reversed(order):
        strides[axis] = run
        run *= max(1, shape[axis])
    return tuple(strides)


def result_layout(
    equation: Equation, extents: Sequence[int], operands: Sequence[Layout], order: str, dtype: str
) -> Layout:
    """The layout that numpy gives a new result: `order` is "C", "F", "A" or "K".

    "K" orders the axes as the operands' strides do, by the insertion sort of numpy's iterator:
    axes that no operand orders stay in C order, and where operands disagree, C order wins.
    """
    shape = tuple(extents[i] for i in equation.output)
    axes = list(range(len(shape)))
    if order == "F" or (order == "A" and _are_fortran(equation, operands)):
        axes.reverse()
    elif order == "K":
        rows = strides_by_index(equation, extents, operands)
        summed = [i for i in range(len(extents)) if i not in equation.output]
        indices = [*equation.output, *summed]
        found = _sorted_axes([[abs(row[i]) for row in rows] for i in indices])
        axes = [axis for axis in found if axis < len(shape)]
    return Layout(shape, packed(shape, axes), dtype)


def _sorted_axes(strides: list[list[int]]) -> list[int]:
    """Axes from the outermost to the innermost, given each one's strides in every operand."""
    axes = list(range(len(strides)))[::-1]  # innermost first, as numpy's iterator keeps them
    for here in range(1, len(axes)):
        axis, place = axes[here], here
        for other in range(here - 1, -1, -1):
            pairs = [
                (one, two)
                for one, two in zip(strides[axis], strides[axes[other]], strict=True)
                if one and two
            ]
            if not pairs:
                continue
            if any(two <= one for one, two in pairs):
                break
            place = other
        axes.insert(place, axes.pop(here))
    return axes[::-1]


def _are_fortran(equation: Equation, operands: Sequence[Layout]) -> bool:
    """Whether every operand, its diagonals taken, is contiguous with the first index innermost."""
    for term, operand in zip(equation.inputs, operands, strict=True):
        steps: dict[int, tuple[int, int]] = {}
        for index, extent, stride in zip(term, operand.shape, operand.strides, strict=True):
            steps[index] = (extent, steps.get(index, (0, 0))[1] + stride)
        run = 1
        for extent, stride in steps.values() if operand.size else ():
            if extent > 1 and stride != run:
                return False
            run *= extent
    return True
