"""A long sum in fixed spans, each with a result of its own, and a second step that adds those."""

import math
from dataclasses import dataclass

from einjit.equation.operands import Layout, packed
from einjit.plan.indices import Loops
from einjit.plan.nest import TOGETHER
from einjit.plan.nesting import FEW_TILES
from einjit.plan.task import Task

LONG_SUM = 1 << 18
"""Iterations from which splitting a sum pays for the second step that adds its pieces. It pays for
fewer where they are one tile, few results and enough work for two threads."""

SPANS = 64
"""Pieces that a split sum is cut into at most, and"""

SPAN_TERMS = 512
"""terms of each result that a piece has at least where there are FEW_TILES of them: the second step
reads so much less than the first."""

LONG_SPAN = 16
"""Rows of a span from which they are a multiple of those that are added in one go."""


@dataclass(frozen=True, slots=True)
class Span:
    """How a contracted loop is cut: the loop, the length of its pieces, their number, and the
    stride from one piece's result to the next."""

    loop: int
    length: int
    number: int
    stride: int


def spans_of(loops: Loops, cut: int) -> tuple[int, int]:
    """The length of the spans of a contracted loop, and their number."""
    terms = math.prod(loops.extents[i] for i in loops.contracted)
    number = min(SPANS, max(FEW_TILES, terms // SPAN_TERMS))
    length = -(-loops.extents[cut] // number)
    length += -length % TOGETHER if length >= LONG_SPAN else 0
    return length, -(-loops.extents[cut] // length)


def pieces_of(task: Task, loops: Loops, number: int) -> tuple[Layout, Task, tuple[int, ...]]:
    """The layout of so many partial results, the task that adds them, and the strides of one along
    the loops."""
    free = [i for i in range(len(loops.extents)) if i not in loops.contracted]
    free.sort(key=lambda i: -abs(loops.strides[-1][i]))
    shape = (number, *(loops.extents[i] for i in free))
    pieces = Layout(shape, packed(shape, range(len(shape))), task.compute)
    along = dict(zip(free, pieces.strides[1:], strict=True))
    final = tuple(loops.strides[-1][i] for i in free)
    indices = ((), *(loops.indices[i] for i in free))
    fold = Loops(indices, shape, (pieces.strides, (0, *final)))
    adding = Task(fold, (task.compute, task.dtypes[-1]), task.compute)
    return pieces, adding, tuple(along.get(i, 0) for i in range(len(loops.extents)))
