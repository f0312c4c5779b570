"""Long batches of small products: each is a few register tiles, read and written where they lie."""

import math
from dataclasses import dataclass, replace

import numpy as np

from einjit.names import index_name
from einjit.plan.blocking import Groups
from einjit.plan.dots import SUMMED
from einjit.plan.indices import Loops, bytes_moved, simplify
from einjit.plan.nest import BLOCK, Nest
from einjit.plan.nesting import TILES, UNROLLED
from einjit.plan.task import BYTE_TIME, FMA_TIME, Lowered, Task
from einjit.target import vector_bytes, vector_registers

MULTIPLIED = (*SUMMED, "complex64", "complex128")
"""Types that microkernels multiply."""

LONG_BATCH = 64
"""Products from which a kernel of their extents pays."""

SHORTEST_ROW = 8
"""Bytes of the result's rows from which vectors run along them."""

SHORT_ROW = 16
"""Bytes of rows of which LLVM makes vectors by itself, across rows, where all is unrolled and no
complex products are in the way. Measured: up to twice as fast for 4×4 in float32."""

MOST_VECTORS = 4
"""Vectors of a row up to which it is not packed."""

LONGEST = 72
"""Rows, columns and strides up to which they are numbers in the source; of more terms than that the
number is not."""

LARGEST = 32**3
"""Multiplications of one product up to which packing costs more than it saves. Measured."""


LARGEST_TURNED = 144
"""Elements of a matrix of B up to which it is copied where its columns do not lie side by side: one
by one, since so few fill no blocks that are transposed in registers. Measured."""


@dataclass(frozen=True, slots=True)
class Batched(Nest):
    """Products of small matrices: the loops of the batch, other free ones, other contracted ones,
    and the rows (M), the contracted loop (K) and the columns (N) of a register tile.

    The result has unit stride along the columns, and so has B, or it is copied so. Rows are cut
    into `heights`, given as (tiles, rows of one), columns into `widths`, given as (vectors, lanes):
    what fills no vectors is a narrower tile.
    """

    heights: tuple[tuple[int, int], ...] = ()
    widths: tuple[tuple[int, int], ...] = ()

    @property
    def kind(self) -> str:
        """One word for the shape of the loops, for the module's name."""
        return "batched"

    @property
    def tile_loops(self) -> tuple[int, int, int]:
        """The loops of register tiles: rows, contracted, columns."""
        return self.loops - 3, self.loops - 2, self.loops - 1

    def describe(self) -> list[str]:
        """The operands' types and the role of each loop, a line each."""
        lines = [
            f"{name}[{', '.join(map(index_name, indices))}]: {dtype}"
            for name, indices, dtype in zip(self.operands, self.terms, self.dtypes, strict=True)
        ]
        lines[-1] += f", summed in {self.compute}"
        rows, terms, columns = self.tile_loops
        notes = {
            rows: f", in tiles of {' + '.join(f'{n} × {rows}' for n, rows in self.heights)} rows",
            terms: ", within the tiles",
            columns: f", in tiles of {' + '.join(f'{v} × {n}' for v, n in self.widths)} lanes",
        }
        for i in range(self.loops):
            role = "contracted" if i in self.contracted else "free"
            role += ", runs in parallel" * (i < self.tile)
            lines.append(f"{index_name(i)}: {role}{notes.get(i, '')}")
        return lines


@dataclass(frozen=True, slots=True)
class _Roles:
    """The operands in their roles, A and B, and the order of the loops."""

    place: tuple[int, int]
    batch: tuple[int, ...]
    order: tuple[int, ...]


def _roles(task: Task) -> tuple[Loops, _Roles | None]:
    """The loops of a task, simplified, and their roles in small products, if they are such."""
    loops = simplify(task.loops)
    if len(task.dtypes) != 3 or set(task.dtypes) != {task.compute}:
        return loops, None
    groups = Groups.of(loops)
    result = loops.strides[-1]
    if task.compute not in MULTIPLIED or not (groups.h and groups.m and groups.n and groups.k):
        return loops, None
    shared = all(row[i] for row in loops.strides[:2] for i in groups.k)
    if not shared or 1 not in result or result.index(1) in groups.h:
        return loops, None
    column = result.index(1)
    place, m, n = (0, 1), groups.m, groups.n
    if column in m:
        place, m, n = (1, 0), n, m
    size = task.itemsizes[0]
    extents = loops.extents
    terms = math.prod(extents[i] for i in groups.k)
    products = math.prod(extents[i] for i in (*m, *n)) * terms
    small = terms <= BLOCK and max(extents[i] for i in (*m, *n)) <= LONGEST and products <= LARGEST
    long = math.prod(extents[i] for i in groups.h) >= LONG_BATCH
    row = extents[column] * size
    fits = SHORTEST_ROW <= row <= MOST_VECTORS * vector_bytes()
    if np.dtype(task.compute).kind != "c" and row <= SHORT_ROW:
        fits = fits and products > UNROLLED
    lies = loops.strides[place[1]][column] == 1 or extents[column] * terms <= LARGEST_TURNED
    if not (small and long and fits and lies):
        return loops, None

    def far(i: int) -> int:
        return -abs(result[i]) or -max(abs(row[i]) for row in loops.strides)

    def longest(group: tuple[int, ...]) -> int:
        return max(group, key=lambda i: extents[i])

    inner = [longest(m), longest(groups.k), column]
    others = [i for i in (*m, *n) if i not in inner]
    summed = [i for i in groups.k if i not in inner]
    batch = sorted(groups.h, key=far)
    order = [*batch, *sorted(others, key=far), *sorted(summed, key=far), *inner]
    return loops, _Roles(place, tuple(batch), tuple(order))


def is_batched(task: Task) -> bool:
    """Whether a task is a long batch of small products whose rows lie side by side."""
    return _roles(task)[1] is not None


def lower_batched(name: str, reason: str, task: Task) -> Lowered:
    """The task as register tiles, each written where it belongs."""
    loops, roles = _roles(task)
    assert roles
    loops = loops.take(roles.order)
    strides = [loops.strides[k] for k in (*roles.place, 2)]
    n, batch = len(loops.extents), len(roles.batch)
    tile, tiles = 1, loops.extents[0]
    while tile < batch and tiles < TILES:
        tiles *= loops.extents[tile]
        tile += 1
    lanes = vector_bytes() // task.itemsizes[0]
    widths = _widths(loops.extents[-1], lanes)
    heights = _heights(loops.extents[-3], widths[0][0], task.compute)
    nest = Batched(
        terms=tuple(tuple(i for i in range(n) if row[i]) for row in strides),
        unit=(False, strides[1][-1] == 1, True),
        dtypes=task.dtypes,
        compute=task.compute,
        loops=n,
        tile=tile,
        short=True,
        unrolled=batch,
        heights=heights,
        widths=widths,
    )

    def value(operand: int | None, loop: int) -> int:
        return loops.extents[loop] if operand is None else strides[operand][loop]

    found = [(name, loop, value(operand, loop)) for name, operand, loop in nest.sizes()]
    constants = tuple((name, n) for name, loop, n in found if loop >= batch and abs(n) <= LONGEST)
    known = {name for name, _ in constants}
    nest = replace(nest, constants=constants)
    sizes = tuple(n for name, _, n in found if name not in known)
    moved = sum(bytes_moved(loops, task.itemsizes))
    time = max(loops.iterations / lanes * FMA_TIME, moved * BYTE_TIME)
    return Lowered(name, reason, loops, nest, sizes, tiles, time, roles.place)


def _widths(extent: int, lanes: int) -> tuple[tuple[int, int], ...]:
    """The columns of a row in (vectors, lanes): as many lanes as there are columns, or equal parts
    of them, or whole vectors and a rest."""
    vectors = -(-extent // lanes)
    if extent % vectors == 0:
        return ((vectors, extent // vectors),)
    return (extent // lanes, lanes), (1, extent % lanes)


def _heights(extent: int, vectors: int, dtype: str) -> tuple[tuple[int, int], ...]:
    """The rows of tiles: even parts of what registers hold, and a rest."""
    parts = 2 if np.dtype(dtype).kind == "c" else 1  # a complex sum takes two registers
    most = max(1, 3 * vector_registers() // 4 // (vectors * parts))
    height = -(-extent // -(-extent // most))
    rest = extent % height
    return ((extent // height, height), *(((1, rest),) if rest else ()))
