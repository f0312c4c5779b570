"""Long batches of tiny products: the tiny extents are numbers in the source, and unrolled."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from einjit.plan.batched import LONG_BATCH
from einjit.plan.indices import Loops, bytes_moved, simplify
from einjit.plan.nesting import TINY, UNROLLED, lower_nest, outermost
from einjit.plan.task import FMA_TIME, REAL, Lowered, Task, move_time
from einjit.plan.tiling import shorter_side, turning
from einjit.target import vector_bytes

ELEMENT_TIME = 0.15
"""Nanoseconds that one thread takes for an element of an operand or of the result. Measured: 0.08
to 0.22."""

LONG_ROW = 32
"""Elements of the result's rows from which, where there are many, tiny free loops outside of them
are not unrolled: vectors run along the rows. Measured: 0.1 to 0.9 of the time."""

COMPLEX_ROW = 16
"""The same of complex numbers: 0.15 to 1.04 of the time for 3 to 16 terms."""

REAL_ROW = 12
"""Terms of a sum of real products along rows from which vectors run along them: 0.54 to 0.95 of the
time. Measured up to TINY; sums of one operand gain nothing, integers lose."""


def is_unrolled(task: Task) -> bool:
    """Whether every contracted loop is tiny and the others are long, and no two of those the ones
    that operands have side by side."""
    loops = simplify(task.loops)
    tiny = _tiny(loops)
    others = math.prod(n for i, n in enumerate(loops.extents) if i not in tiny)
    contracted = set(loops.contracted)
    if not contracted or not contracted <= set(tiny) or others < LONG_BATCH:
        return False
    if _has_complex_rows(loops, task) or _multiplies_rows(loops, task):
        return False
    tiling = turning(loops, task.itemsizes)
    return tiling is None or shorter_side(loops, tiling) <= TINY


def _has_complex_rows(loops: Loops, task: Task) -> bool:
    """Whether the result's rows are sums of complex ones, each times a number: those are added in
    vectors as they lie, of which LLVM would take the parts apart."""
    *inputs, result = loops.strides
    if np.dtype(task.compute).kind != "c" or 1 not in result or len(inputs) != 2:
        return False
    row = result.index(1)
    once = sorted(stride[row] for stride in inputs) == [0, 1]
    return once and loops.extents[row] >= COMPLEX_ROW


def _multiplies_rows(loops: Loops, task: Task) -> bool:
    """Whether real rows that lie so are multiplied with rows, and are long enough for vectors along
    them, of which unrolled ones leave LLVM none."""
    if task.compute not in REAL.values() or len(task.dtypes) != 3 or len(loops.contracted) != 1:
        return False
    (row,) = loops.contracted
    return loops.extents[row] >= REAL_ROW and all(stride[row] == 1 for stride in loops.strides[:-1])


def lower_unrolled(name: str, reason: str, task: Task) -> Lowered:
    """Long free loops outside, the tiny ones inside, the contracted ones innermost."""
    loops = simplify(task.loops)
    tiny = _inside(loops, _tiny(loops))
    result = loops.strides[-1]

    def place(i: int) -> tuple[bool, bool, bool, int]:
        one = sum(row[i] == 1 for row in loops.strides)
        return i in tiny, result[i] == 0, i not in tiny and one > 0, -abs(result[i])

    loops = loops.take(sorted(range(len(loops.extents)), key=place))
    long = len(loops.extents) - len(tiny)
    tile, _ = outermost(loops.extents[: max(1, long - 1)])
    lowered = lower_nest(name, reason, task.dtypes, task.compute, loops, tile, False, None, long)
    return replace(lowered, time=_time(loops, task.itemsizes))


def _time(loops: Loops, itemsizes: Sequence[int]) -> float:
    """One thread's nanoseconds, about: which loop's vectors they are is up to LLVM."""
    moved = bytes_moved(loops, itemsizes)
    elements = sum(count // size for count, size in zip(moved, itemsizes, strict=True))
    work = elements * ELEMENT_TIME + loops.iterations * max(itemsizes) / vector_bytes() * FMA_TIME
    return max(work, move_time(sum(moved)))


def _tiny(loops: Loops) -> tuple[int, ...]:
    """The loops that are unrolled: the shortest ones, as many as UNROLLED iterations allow."""
    chosen: list[int] = []
    for i in sorted(range(len(loops.extents)), key=lambda i: loops.extents[i]):
        together = math.prod(loops.extents[j] for j in (*chosen, i))
        if loops.extents[i] > TINY or together > UNROLLED:
            break
        chosen.append(i)
    return tuple(chosen)


def _inside(loops: Loops, tiny: tuple[int, ...]) -> tuple[int, ...]:
    """Those of the tiny loops that stay inside: where the result has long rows and many of them,
    no free ones that lie outside of its rows, so that vectors run along these."""
    result = loops.strides[-1]
    long = [i for i in range(len(result)) if i not in tiny]
    rows = any(result[i] == 1 and loops.extents[i] >= LONG_ROW for i in long)
    if not rows or len(long) < 2:
        return tiny
    return tuple(i for i in tiny if abs(result[i]) < LONG_ROW)
