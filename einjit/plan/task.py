"""A step before and after it is lowered."""

from dataclasses import dataclass

import numpy as np

from einjit.equation.operands import Layout
from einjit.plan.indices import Loops, arrange, simplify
from einjit.plan.nest import Nest
from einjit.plan.packed import Packed
from einjit.target import is_far

MULTIPLIED = (
    *("float32", "float64", "complex64", "complex128"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
)
"""Types whose vectors are multiplied and added."""

REAL = {"complex64": "float32", "complex128": "float64"}
"""The types of complex numbers' parts."""

PARALLEL_TIME = 15_000.0
"""Nanoseconds of one thread's work from which more threads are asked for: a launch costs 2 to 20
microseconds, and on a machine where others run, the wait for the last thread far more."""

LINE_TIME = 0.8
"""Nanoseconds that an iteration takes for each cache line it moves: a rough measure, for deciding
what is worth more threads."""

FMA_TIME = 0.2
"""Nanoseconds of a vector's multiplication and addition in a microkernel."""

BYTE_TIME = 0.05
"""Nanoseconds that one thread takes to move a byte between memory and registers."""

CACHED_BYTE_TIME = 0.025
"""The same between a cache and registers."""


def move_time(moved: int) -> float:
    """Nanoseconds that one thread takes to move so many bytes of operands and the result."""
    return moved * (BYTE_TIME if is_far(moved) else CACHED_BYTE_TIME)


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be lowered: the loops of a step, the dtypes of its operands and its result, and
    the type its sums are held in.

    `moves` says that there is one operand and no index is summed, be its extent 1; `viewable` that
    a view may be the result then.
    """

    loops: Loops
    dtypes: tuple[str, ...]
    compute: str
    moves: bool = False
    viewable: bool = False

    @property
    def itemsizes(self) -> list[int]:
        """Bytes of an element of each operand and of the result."""
        return [np.dtype(dtype).itemsize for dtype in self.dtypes]

    @property
    def multiplies(self) -> bool:
        """Whether two operands of one type that vectors multiply give a result of that type."""
        own = len(self.dtypes) == 3 and set(self.dtypes) == {self.compute}
        return own and self.compute in MULTIPLIED

    @property
    def of_parts(self) -> "Task | None":
        """A sum of complex numbers as that of their parts, two real ones side by side along a loop
        more."""
        real = REAL.get(self.compute)
        if real is None or self.moves or self.dtypes != (self.compute,) * 2:
            return None
        loops = simplify(self.loops)
        strides = tuple((*(2 * stride for stride in row), 1) for row in loops.strides)
        parts = Loops((*loops.indices, ()), (*loops.extents, 2), strides)
        return Task(parts, (real, real), real)

    @property
    def arranged(self) -> Loops:
        """The loops as they are nested."""
        return arrange(simplify(self.loops), self.itemsizes)


@dataclass(frozen=True, slots=True)
class Lowered:
    """A task, lowered: which way and why; for a nest its structure, sizes and tiles.

    `sizes` are the values of `nest.sizes()`; `time` is a rough estimate of one thread's
    nanoseconds; `order` says which of the task's operands is the nest's first, second and so on;
    `pieces` is the layout of the result where it is not the task's own, but one for each span.
    """

    name: str
    reason: str
    loops: Loops
    nest: Nest | Packed | None = None
    sizes: tuple[int, ...] = ()
    tiles: int = 1
    time: float = 0.0
    order: tuple[int, ...] = ()
    pieces: Layout | None = None

    @property
    def is_parallel(self) -> bool:
        """Whether the tiles are worth more than one thread."""
        return self.tiles > 1 and self.time >= PARALLEL_TIME

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        if self.nest is None:
            return 0
        multiplications = len(self.nest.terms) - 2
        return (multiplications + bool(self.nest.contracted)) * self.loops.iterations
