"""Products of a few rows with many, the contracted loop side by side in both: rows times rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from einjit.names import index_name
from einjit.plan.groups import Groups, with_a_row
from einjit.plan.indices import Loops, bytes_moved, simplify
from einjit.plan.nest import TOGETHER, Nest
from einjit.plan.spans import LONG_SUM
from einjit.plan.task import FMA_TIME, Lowered, Task, move_time
from einjit.target import is_far, vector_bytes, vector_registers

FEW = 8
"""Rows of the smaller operand up to which turning the larger one round for register tiles costs
more than it saves. Measured."""

FEW_WIDE = 4
"""The same of elements of 8 bytes in the caches, of which half as many are to be turned."""

FEW_COMPLEX = 3
"""The same of complex ones: fewer of their sums fit in registers. Measured: 0.5 to 0.8 of the time
up to here, 0.85 to 1.3 for one more."""

FEW_SHORT = ((8, 4), (32, 6))
"""The same of elements of less than 8 bytes where registers are few, up to so many vectors of a row
(vectors, rows): of more, tiles of sums side by side take 0.35 to 1.1 of the time, 0.7 to 0.9 for 7
and 8 rows."""

FEWEST_TILES = 4
"""Tiles below which a long sum is better cut into spans."""

TURNED = 1 << 15
"""Iterations from which a smaller operand that lies along its rows is turned first: a step more."""

TURNED_SHARE = 4
"""How many times larger the other operand is then, at least."""

LONG_ROW = 4
"""Vectors of a row from which summing it in vectors pays."""

FAR_ROW = 4 << 10
"""Bytes of rows from memory from which they are summed with a vector; complex ones always are.
Measured."""


@dataclass(frozen=True, slots=True)
class Dots(Nest):
    """Sums along the innermost loop, TOGETHER × `others` of them at a time: each load serves
    several.

    Free loops come first, those along which A has large strides outside; A is the larger operand.
    Its rows are taken together along the loop `down`, those of B along the loop `beside`, `lanes`
    elements of each in a vector. Tiles are what the loops up to `down` run through.
    """

    down: int = 0
    beside: int = 0
    others: int = TOGETHER
    lanes: int = 1

    @property
    def kind(self) -> str:
        """One word for the shape of the loops, for the module's name."""
        return "dots"

    @property
    def inner(self) -> int:
        """The contracted loop."""
        return self.loops - 1

    def describe(self) -> list[str]:
        """The operands' types and the role of each loop, a line each."""
        lines = [
            f"{name}[{', '.join(map(index_name, indices))}]: {dtype}"
            for name, indices, dtype in zip(self.operands, self.terms, self.dtypes, strict=True)
        ]
        lines[-1] += f", summed in {self.compute}"
        together = {self.down: TOGETHER, self.beside: self.others}
        lines += [
            f"{index_name(i)}: free" + f", {together.get(i)} at a time" * (together.get(i, 1) > 1)
            for i in range(self.inner)
        ]
        return [*lines, f"{index_name(self.inner)}: contracted, innermost, unit stride in A, B"]

    def sizes(self) -> list[tuple[str, int | None, int]]:
        """What the compiled kernel is handed besides addresses, as `Nest.sizes` has it."""
        found: list[tuple[str, int | None, int]] = [
            (f"n_{index_name(i)}", None, i) for i in range(self.loops)
        ]
        for number, (name, indices) in enumerate(zip(self.operands, self.terms, strict=True)):
            found += [(f"{name}_{index_name(i)}", number, i) for i in indices if i != self.inner]
        return found


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of two operands: which is the larger, its loop and the other's that are taken
    together, and the loop along the rows."""

    larger: int
    down: int
    beside: int
    inner: int


def rows_of(loops: Loops, dtype: str) -> Rows | None:
    """The rows of a step that is one of a few rows with many, if it is; the smaller operand may
    have to be turned first."""
    *inputs, result = loops.strides
    contracted = loops.contracted
    if len(inputs) != 2 or len(contracted) != 1:
        return None
    inner = contracted[0]
    size = np.dtype(dtype).itemsize
    lanes = vector_bytes() // size
    if loops.extents[inner] < LONG_ROW * lanes:
        return None
    own = [
        [i for i in range(len(result)) if result[i] and inputs[k][i] and not inputs[1 - k][i]]
        for k in range(2)
    ]
    volumes = [math.prod(loops.extents[i] for i in group) for group in own]
    larger = 0 if volumes[0] >= volumes[1] else 1
    few = FEW if size < 8 or _is_far(loops, size) else FEW_WIDE
    if vector_registers() <= 16 and size < 8:
        short = (rows for vectors, rows in FEW_SHORT if loops.extents[inner] <= vectors * lanes)
        few = min(few, next(short, few))
    few = FEW_COMPLEX if _is_complex(dtype) else few
    if not own[0] or not own[1] or volumes[1 - larger] > few or inputs[larger][inner] != 1:
        return None

    def longest(group: Sequence[int]) -> int:
        return max(group, key=lambda i: loops.extents[i])

    return Rows(larger, longest(own[larger]), longest(own[1 - larger]), inner)


def order_of(loops: Loops, rows: Rows) -> list[int]:
    """The order of the loops: the larger operand is walked forwards."""
    stride = loops.strides[rows.larger]
    free = [i for i in range(len(stride)) if i != rows.inner]
    return [*sorted(free, key=lambda i: -abs(stride[i])), rows.inner]


def is_dots(task: Task) -> bool:
    """Whether a few rows meet many, along both of which the contracted loop lies side by side."""
    loops, rows = _rows(task)
    if rows is None or loops.strides[1 - rows.larger][rows.inner] != 1:
        return False
    return loops.iterations < LONG_SUM or _tiles(loops, rows) >= FEWEST_TILES


def _tiles(loops: Loops, rows: Rows) -> int:
    """What runs in parallel: rows of the larger operand, TOGETHER at a time."""
    order = order_of(loops, rows)
    outside = order[: order.index(rows.down)]
    tiles = -(-loops.extents[rows.down] // TOGETHER)
    return tiles * math.prod(loops.extents[i] for i in outside)


def turned_first(task: Task) -> tuple[int, tuple[int, ...]] | None:
    """The operand of few rows that is better turned before its rows are multiplied with many, and
    the indices that are to lie side by side in it."""
    loops, rows = _rows(task)
    if rows is None or loops.iterations < TURNED or _is_complex(task.compute):
        return None
    smaller = 1 - rows.larger
    sizes = bytes_moved(loops, task.itemsizes)
    lies = loops.strides[smaller][rows.inner] == 1
    if lies or sizes[rows.larger] < TURNED_SHARE * sizes[smaller]:
        return None
    return smaller, loops.indices[rows.inner]


def _rows(task: Task) -> tuple[Loops, Rows | None]:
    """The loops of a task, simplified, and its rows, of types that are summed. A vector that meets
    a matrix of long rows from memory, or of complex ones, is one row."""
    loops = simplify(task.loops)
    if not task.multiplies:
        return loops, None
    groups, size = Groups.of(loops), task.itemsizes[0]
    row = math.prod(loops.extents[i] for i in groups.k) * size
    long = _is_complex(task.compute) or (row >= FAR_ROW and _is_far(loops, size))
    if long and bool(groups.m) != bool(groups.n):
        loops = with_a_row(loops, int(not groups.n))
    return loops, rows_of(loops, task.compute)


def _is_complex(dtype: str) -> bool:
    """Whether elements have two parts: LLVM takes those of rows apart, and sums them slowly."""
    return np.dtype(dtype).kind == "c"


def _is_far(loops: Loops, size: int) -> bool:
    """Whether an operand comes from memory."""
    return is_far(max(bytes_moved(loops, (size,) * len(loops.strides))))


def _parts(dtype: str) -> int:
    """Vectors that a sum takes."""
    return 2 if _is_complex(dtype) else 1


def _most_others(dtype: str) -> int:
    """Rows of B that are taken together at most: as many sums as fit in registers, in pairs."""
    most = max(1, 3 * vector_registers() // 4 // (TOGETHER * _parts(dtype)))
    return min(TOGETHER, 1 << (most.bit_length() - 1))


def lower_dots(name: str, reason: str, task: Task) -> Lowered:
    """The task as sums of rows times rows."""
    loops, rows = _rows(task)
    assert rows
    order, place = order_of(loops, rows), (rows.larger, 1 - rows.larger)
    few = 1 << (loops.extents[rows.beside] - 1).bit_length()  # sums are added in pairs
    tiles = _tiles(loops, rows)
    loops = loops.take(order)
    strides = [loops.strides[k] for k in (*place, 2)]
    n = len(loops.extents)
    nest = Dots(
        terms=tuple(tuple(i for i in range(n) if row[i]) for row in strides),
        unit=(True, True, False),
        dtypes=task.dtypes,
        compute=task.compute,
        loops=n,
        down=order.index(rows.down),
        beside=order.index(rows.beside),
        others=min(_most_others(task.compute), few),
        lanes=vector_bytes() // task.itemsizes[0],
    )
    sizes = tuple(
        loops.extents[loop] if operand is None else strides[operand][loop]
        for _, operand, loop in nest.sizes()
    )
    moved = sum(bytes_moved(loops, task.itemsizes))
    time = loops.iterations / nest.lanes * _parts(task.compute) * FMA_TIME + move_time(moved)
    return Lowered(name, reason, loops, nest, sizes, tiles, time, place)
