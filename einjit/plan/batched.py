"""Long batches of small products: each is a few register tiles, read and written where they lie."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from einjit.names import index_name
from einjit.plan.groups import Groups, with_a_row
from einjit.plan.indices import LINE, PAGE, WAYS, Loops, bytes_moved, simplify
from einjit.plan.nest import BLOCK, Nest
from einjit.plan.nesting import UNROLLED, outermost
from einjit.plan.task import FMA_TIME, Lowered, Task, move_time
from einjit.target import caches, is_far, last_cache, vector_bytes, vector_registers

LONG_BATCH = 64
"""Products from which a kernel of their extents pays."""

SHORTEST_ROW = 8
"""Bytes of the result's rows from which vectors run along them."""

SHORT_ROW = 16
"""Bytes of rows of which LLVM makes vectors by itself, across rows, where all is unrolled and no
complex products are in the way. Measured: up to twice as fast for 4×4 in float32."""

MOST_VECTORS = 8
"""Vectors of a row up to which it is not packed."""

WIDEST, LOW_WIDEST = 4, 3
"""Vectors of a register tile's row at most; the second where registers are few: 4 leave room for
sums of 3 rows and none for the vectors themselves. Measured: 0.6 to 0.85 of the time of those."""

SHORT_SUM = 48
"""Terms up to which tiles of a result that goes past the caches are whole lines there: 0.56 to 0.95
of the time, up to 1.1 for longer sums."""

LONGEST = 72
"""Rows, columns and strides up to which they are numbers in the source; of more terms than that the
number is not, unless B is turned."""

LARGEST = 32**3
"""Multiplications of one product up to which packing costs more than it saves. Measured."""

LARGEST_SHARED = 64**2
"""Elements of a small matrix that many rows are multiplied with, up to which packing costs more
than it saves. Measured."""

MANY_ROWS = 512
"""Rows from which a kernel of a small matrix's extents pays."""

LARGEST_TURNED = 144
"""Elements of a matrix of B up to which it is copied where its columns do not lie side by side: one
by one, since so few fill no blocks that are transposed in registers. Measured."""

LARGEST_TURNED_ONCE = 1024
"""The same of the one matrix that all rows are multiplied with."""

TURNED = 1 << 16
"""Iterations from which a larger one is copied in a step of its own."""

LARGEST_TURNED_ALONE = 64
"""The same where it is multiplied with a vector, of complex types: LLVM's vectors serve others."""

MOST_ROWS = 12
"""Rows of a register tile where there are many: enough sums to hide the latency of one."""

BOXES_BELOW = 2
"""Boxes further down that rows of A from memory are asked for: CPUs do not see so many short rows
coming. Measured: 0.4 of the time for rows of 128 float32, 0.9 of 64."""

BOXES_BELOW_COLUMNS = 8
"""The same of rows that stand side by side, in columns: 0.55 to 0.9 of the time for float64."""


Heights = tuple[tuple[int, int], ...]
"""The rows of register tiles: (tiles, rows of one)."""


@dataclass(frozen=True, slots=True)
class Batched(Nest):
    """Products of small matrices: the loops of the batch, other free ones, other contracted ones,
    and the rows (M), the contracted loop (K) and the columns (N) of a register tile.

    The result has unit stride along the columns, and so has B, or it is copied so. Rows are cut
    into `heights`, given as (tiles, rows of one), columns into `widths`, given as (vectors, lanes):
    what fills no vectors is a narrower tile. Many rows are run through in `boxes`, a loop of its
    own; what is left of them, one by one. Those so many rows `below` are asked for: as they follow
    each other, or of an A that `stands` in each of its columns. With `past` the result goes past
    the caches.
    """

    heights: Heights = ()
    widths: tuple[tuple[int, int], ...] = ()
    boxes: int | None = None
    below: int = 0
    stands: bool = False
    past: bool = False

    @property
    def kind(self) -> str:
        """One word for the shape of the loops, for the module's name."""
        return "batched"

    @property
    def tile_loops(self) -> tuple[int, int, int]:
        """The loops of register tiles: rows, contracted, columns."""
        return self.loops - 3, self.loops - 2, self.loops - 1

    @property
    def turns_once(self) -> bool:
        """Whether B is one matrix whose columns do not lie side by side."""
        return not self.unit[1] and min(self.terms[1]) >= self.loops - 2

    def is_held(self, operand: int) -> bool:
        """Whether an operand is copied to registers as it is: none."""
        return False

    def sizes(self) -> list[tuple[str, int | None, int]]:
        """What the compiled kernel is handed besides addresses, as `Nest.sizes` has it; of many
        rows their number, which is the extent of loop `loops`."""
        found = Nest.sizes(self)  # super() does not know a class that was made anew for its slots
        if self.boxes is not None:
            found = [size for size in found if size[1] is None or size[2] != self.boxes]
            found.append(("rows", None, self.loops))
        return found

    def describe(self) -> list[str]:
        """The operands' types and the role of each loop, a line each."""
        lines = [
            f"{name}[{', '.join(map(index_name, indices))}]: {dtype}"
            for name, indices, dtype in zip(self.operands, self.terms, self.dtypes, strict=True)
        ]
        lines[-1] += f", summed in {self.compute}" + ", past the caches" * self.past
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
    """The operands in their roles, A and B; the loops that are run through one by one, and the
    order of all; whether the rows are many and are cut into boxes, and whether all are multiplied
    with one matrix."""

    place: tuple[int, int]
    batch: tuple[int, ...]
    order: tuple[int, ...]
    tall: bool
    shared: bool


def _roles(task: Task) -> tuple[Loops, _Roles | None]:
    """The loops of a task, simplified, and their roles in small products, if they are such."""
    loops = simplify(task.loops)
    if not task.multiplies:
        return loops, None
    groups, result = Groups.of(loops), loops.strides[-1]
    common = all(row[i] for row in loops.strides[:2] for i in groups.k)
    if not groups.k or not common:
        return loops, None
    if 1 not in result or result.index(1) in groups.h:
        return loops, None
    column = result.index(1)
    place, m, n = (0, 1), groups.m, groups.n
    if column in m:
        place, m, n = (1, 0), n, m
    if not m:
        loops, m = with_a_row(loops, place[0]), (len(loops.extents),)
    extents, result = loops.extents, loops.strides[-1]

    def volume(group: Sequence[int]) -> int:
        return math.prod(extents[i] for i in group)

    def longest(group: Sequence[int]) -> int:
        return max(group, key=lambda i: extents[i])

    def far(i: int) -> int:
        return -abs(result[i]) or -max(abs(row[i]) for row in loops.strides)

    inner = (_row_loop(loops, m, place[0]), longest(groups.k), column)
    rows, columns = extents[inner[0]], extents[column]
    free = sorted((i for i in (*m, *n) if i not in inner), key=far)
    summed = sorted((i for i in groups.k if i not in inner), key=far)
    batch = sorted((*groups.h, *(i for i in free if extents[i] > LONGEST)), key=far)
    others = [i for i in free if i not in batch]
    matrix = volume(others) * columns * volume(groups.k)
    b = loops.strides[place[1]]
    shared = not any(b[i] for i in batch)
    if shared or rows > LONGEST:
        small = matrix <= LARGEST_SHARED and volume(batch) * rows >= MANY_ROWS
    else:
        small = matrix * rows <= LARGEST and volume(batch) >= LONG_BATCH
    if not (small and volume(groups.k) <= BLOCK and _fills_vectors(columns, rows, matrix, task)):
        return loops, None
    if rows > LONGEST and _drive_out(loops, place[0], inner, task):
        return loops, None
    order = (*batch, *others, *summed, *inner)
    return loops, _Roles(place, tuple(batch), order, rows > LONGEST, shared)


def _drive_out(loops: Loops, operand: int, inner: tuple[int, int, int], task: Task) -> bool:
    """Whether columns of A drive each other out of the L1 cache before a tile further down reads
    what else their lines hold: they lie whole pages apart. Packed they are read once."""
    rows, terms, columns = inner
    a, size = loops.strides[operand], task.itemsizes[0]
    many = loops.extents[terms] > 2 * WAYS and a[terms] * size % PAGE == 0
    wide = loops.extents[columns] * size > 2 * vector_bytes()
    large = loops.extents[rows] * loops.extents[terms] * size
    return a[rows] == 1 and many and large >= (caches()[1] if wide else last_cache() // 4)


def _row_loop(loops: Loops, m: Sequence[int], operand: int) -> int:
    """The loop along the rows of tiles: the one whose rows lie nearest, unless it is too short."""
    long = [i for i in m if loops.extents[i] >= MOST_ROWS // 2]
    if long:
        return min(long, key=lambda i: abs(loops.strides[operand][i]))
    return max(m, key=lambda i: loops.extents[i])


def _is_turned_inside(loops: Loops, roles: _Roles, task: Task) -> bool:
    """Whether a matrix of B whose columns lie apart is better copied by the kernel than left to
    others."""
    terms, columns = loops.extents[-2:]
    b = loops.strides[roles.place[1]]
    if roles.shared and not any(b[:-2]):
        most = LARGEST_TURNED_ONCE
    elif loops.extents[-3] > 1:
        most = LARGEST_TURNED
    else:
        most = LARGEST_TURNED_ALONE * _is_complex(task)
    return terms * columns <= most


def _fills_vectors(columns: int, rows: int, matrix: int, task: Task) -> bool:
    """Whether vectors along so many columns are better than what else there is: LLVM's own, across
    short rows; and, for many rows, those of packed products, which fill two of them as well."""
    size = task.itemsizes[0]
    lanes = vector_bytes() // size
    if not SHORTEST_ROW <= columns * size <= MOST_VECTORS * vector_bytes():
        return False
    if rows > LONGEST:
        return columns <= lanes or columns % lanes == 0 or columns > 2 * lanes
    return _is_complex(task) or columns * size > SHORT_ROW or matrix * rows > UNROLLED


def _is_complex(task: Task) -> bool:
    return np.dtype(task.compute).kind == "c"


def _boxed(loops: Loops, before: int, height: int) -> Loops:
    """The loops with rows cut into boxes of a height, which are a loop behind the ones before."""
    rows = len(loops.extents) - 3
    boxes = Loops(
        (*loops.indices, loops.indices[rows]),
        (
            *loops.extents[:rows],
            height,
            *loops.extents[rows + 1 :],
            -(-loops.extents[rows] // height),
        ),
        tuple((*row, row[rows] * height) for row in loops.strides),
    )
    return boxes.take([*range(before), rows + 3, *range(before, rows + 3)])


def _lies(loops: Loops, roles: _Roles) -> bool:
    """Whether the columns of B lie side by side."""
    return loops.strides[roles.place[1]][roles.order[-1]] == 1


def is_batched(task: Task) -> bool:
    """Whether a task is a long batch of small products whose rows lie side by side."""
    loops, roles = _roles(task)
    if roles is None:
        return False
    return _lies(loops, roles) or _is_turned_inside(loops.take(roles.order), roles, task)


def columns_first(task: Task) -> tuple[int, tuple[int, ...]] | None:
    """The operand that is a small matrix and better copied before many rows are multiplied with it,
    and the indices that are to lie side by side in it."""
    loops, roles = _roles(task)
    if roles is None or not roles.shared or _lies(loops, roles) or loops.iterations < TURNED:
        return None
    if _is_turned_inside(loops.take(roles.order), roles, task):
        return None
    return roles.place[1], loops.indices[roles.order[-1]]


def lower_batched(name: str, reason: str, task: Task) -> Lowered:
    """The task as register tiles, each written where it belongs."""
    loops, roles = _roles(task)
    assert roles
    loops = loops.take(roles.order)
    lanes = vector_bytes() // task.itemsizes[0]
    past = _is_past(loops, task)
    widths = _widths(loops.extents[-1], lanes, _widest(past and loops.extents[-2] < SHORT_SUM))
    rows, batch = loops.extents[-3], len(roles.batch)
    heights = _heights(min(rows, MOST_ROWS) if roles.tall else rows, max(widths)[0], task.compute)
    if roles.tall:
        heights = heights[:1]
        loops, batch = _boxed(loops, batch, math.prod(heights[0])), batch + 1
    strides = [loops.strides[k] for k in (*roles.place, 2)]
    n = len(loops.extents)
    tile, tiles = outermost(loops.extents[:batch])
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
        boxes=batch - 1 if roles.tall else None,
        below=_below(loops, strides[0], roles, task) * heights[0][1],
        stands=strides[0][-3] == 1,
        past=past,
    )

    def value(operand: int | None, loop: int) -> int:
        if loop == n:
            return rows
        return loops.extents[loop] if operand is None else strides[operand][loop]

    # Tiles are cut by these extents, and a matrix that is turned has room for just so many.
    counted = nest.terms[-1] if nest.unit[1] else (*nest.terms[-1], n - 2)
    found = [(name, operand, loop, value(operand, loop)) for name, operand, loop in nest.sizes()]
    tiny = [
        (name, size)
        for name, operand, loop, size in found
        if batch <= loop < n and (abs(size) <= LONGEST or (operand is None and loop in counted))
    ]
    nest = replace(nest, constants=tuple(tiny))
    sizes = tuple(size for name, _, _, size in found if name not in dict(tiny))
    moved = sum(bytes_moved(loops, task.itemsizes))
    time = max(loops.iterations / lanes * FMA_TIME, move_time(moved))
    return Lowered(name, reason, loops, nest, sizes, tiles, time, roles.place)


def _is_past(loops: Loops, task: Task) -> bool:
    """Whether the result is so large that it leaves the caches anyway, and is written once, in rows
    of whole lines."""
    lines = loops.extents[-1] * task.itemsizes[-1] % LINE == 0
    once = len(loops.contracted) == 1
    return lines and once and is_far(bytes_moved(loops, task.itemsizes)[-1])


def _below(loops: Loops, a: Sequence[int], roles: _Roles, task: Task) -> int:
    """How many boxes further down many rows of A are asked for, if they come from memory and follow
    each other, or stand side by side."""
    rows, terms = a[-3:-1]
    count = math.prod(n for n, stride in zip(loops.extents, a, strict=True) if stride)
    if not roles.tall or not is_far(count * task.itemsizes[0]):
        return 0
    if rows == 1:
        return BOXES_BELOW_COLUMNS
    return BOXES_BELOW * ((rows, terms) == (loops.extents[-2], 1))


def _widest(lines: bool) -> int:
    """Vectors of a register tile's row at most, of whole lines or not."""
    if vector_registers() > 16:
        return WIDEST
    return LOW_WIDEST - LOW_WIDEST % (LINE // vector_bytes()) if lines else LOW_WIDEST


def _widths(extent: int, lanes: int, widest: int) -> tuple[tuple[int, int], ...]:
    """The columns of a row in (vectors, lanes): as many lanes as there are columns, or two equal
    parts of them, or whole vectors, a few of them a tile, and a rest."""
    vectors, rest = extent // lanes, extent % lanes
    if vectors == 0:
        return ((1, extent),)
    if vectors == 1 and rest and extent % 2 == 0:
        return ((2, extent // 2),)
    number = -(-vectors // widest)
    parts = [(vectors * (i + 1) // number - vectors * i // number, lanes) for i in range(number)]
    return (*parts, *(((1, rest),) if rest else ()))


def _heights(extent: int, vectors: int, dtype: str) -> Heights:
    """The rows of tiles: even parts of what registers hold, and a rest."""
    parts = 2 if np.dtype(dtype).kind == "c" else 1  # a complex sum takes two registers
    most = max(1, 3 * vector_registers() // 4 // (vectors * parts))
    height = -(-extent // -(-extent // most))
    rest = extent % height
    return ((extent // height, height), *(((1, rest),) if rest else ()))
