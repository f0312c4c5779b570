"""Products and copies larger than the caches: whole lines of them are written past the caches. And
complex products within them, which vectors multiply as well."""

from dataclasses import dataclass, fields, replace

import numpy as np

from einjit.names import index_name
from einjit.plan.indices import LINE, Loops, bytes_moved, simplify
from einjit.plan.nest import Nest
from einjit.plan.nesting import lower_nest, parallel_loops
from einjit.plan.task import MULTIPLIED, Lowered, Task
from einjit.target import last_cache, vector_bytes

ROW_VECTORS = 6
"""Vectors of a row from which complex ones are multiplied so in the caches. Measured: 0.5 to 0.9 of
the time, 1.0 to 1.2 of shorter ones."""

PARTIAL_ROW = 128
"""Bytes of the result's rows from which they need not be whole lines."""


@dataclass(frozen=True, slots=True)
class Streamed(Nest):
    """A nest without sums, whose innermost loop has unit stride in the result, and unit stride or
    none in the operands, which are multiplied `lanes` elements at a time; one alone is copied. What
    is written goes `past` the caches or not."""

    lanes: int = 1
    past: bool = True

    @property
    def kind(self) -> str:
        """One word for the shape of the loops, for the module's name."""
        return "streamed" if self.past else "multiplied"

    @property
    def copies(self) -> bool:
        """Whether elements of one operand move as they are."""
        return len(self.terms) == 2

    def describe(self) -> list[str]:
        """The operands' types and the role of each loop, a line each."""
        lines = Nest.describe(self)
        lines[len(self.terms) - 1] += ", written past the caches" * self.past
        return [*lines, f"{index_name(self.loops - 1)}: {self.lanes} at a time"]


def _loops(task: Task) -> Loops:
    """The loops, those of large strides outside: of strides in an operand as large as the result
    where there is one, since prefetchers follow what is read, and what goes past the caches is
    written as fast anywhere."""
    loops = simplify(task.loops)
    sizes = bytes_moved(loops, task.itemsizes)
    row = loops.strides[sizes.index(max(sizes))]
    return loops.take(sorted(range(len(row)), key=lambda i: -abs(row[i])))


def is_streamed(task: Task) -> bool:
    """Whether a product of elements that lie side by side, or do not vary, or a copy of such,
    outgrows the caches."""
    loops = _loops(task)
    if loops.contracted or set(task.dtypes) != {task.compute}:
        return False
    if not task.moves and task.compute not in MULTIPLIED:
        return False
    if not loops.extents or not _has_lines(loops.extents[-1] * task.itemsizes[-1]):
        return False
    if bytes_moved(loops, task.itemsizes)[-1] <= last_cache():
        return False
    return _lie_along(loops)


def _lie_along(loops: Loops) -> bool:
    """Whether the innermost loop has unit stride in the result, and unit stride or none in the
    operands."""
    *inputs, result = (row[-1] for row in loops.strides)
    return result == 1 and set(inputs) <= {0, 1}


def _has_lines(row: int) -> bool:
    """Whether a row of so many bytes is worth it: parts of lines are written as usual."""
    return row >= PARTIAL_ROW or (row > 0 and row % LINE == 0)


def is_multiplied(task: Task) -> bool:
    """Whether rows of complex elements are multiplied, which LLVM takes apart."""
    loops, types = task.arranged, set(task.dtypes)
    if loops.contracted or types != {task.compute} or np.dtype(task.compute).kind != "c":
        return False
    if len(task.dtypes) < 3 or not loops.extents:
        return False
    long = loops.extents[-1] * task.itemsizes[-1] >= ROW_VECTORS * vector_bytes()
    return long and _lie_along(loops)


def lower_streamed(name: str, reason: str, task: Task, past: bool = True) -> Lowered:
    """The task as a nest that multiplies vectors and writes them past the caches, or not."""
    loops = _loops(task) if past else task.arranged
    tiling = parallel_loops(loops, task.compute)
    lowered = lower_nest(name, reason, task.dtypes, task.compute, loops, *tiling)
    assert isinstance(lowered.nest, Nest)
    facts = {field.name: getattr(lowered.nest, field.name) for field in fields(Nest)}
    facts["lanes"] = vector_bytes() // task.itemsizes[-1]
    return replace(lowered, nest=Streamed(**facts, past=past))
