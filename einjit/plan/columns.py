"""Sums of few columns: rows that follow each other in memory are read a vector at a time, whatever
row an element is of; the sums are sorted out at the end."""

import math
from dataclasses import dataclass, replace

import numpy as np

from einjit.names import index_name
from einjit.plan.indices import Loops, bytes_moved, simplify
from einjit.plan.nest import Nest
from einjit.plan.nesting import FEW_TILES
from einjit.plan.spans import LONG_SUM, pieces_of, spans_of
from einjit.plan.task import FMA_TIME, MULTIPLIED, Lowered, Task, move_time
from einjit.target import last_cache, vector_bytes, vector_registers

ROWS = 16
"""Rows from which it pays. Measured."""

ROWS_OF_BATCH = 256
"""The same where there is a batch of such sums."""

VECTORS_OF_BATCH = 8
"""Vectors of rows from which it pays in a batch where nothing else fills vectors: of a single
operand with rows shorter than one."""

WIDEST_COMPLEX = 6
"""Vectors of a row up to which complex products are summed so: longer rows are better added to a
strip of sums. Measured."""

MOST_SETS = 3
"""Times that blocks of rows are read, each for some of the products, up to which a product that
packing would leave vectors empty for is done so. Measured."""


@dataclass(frozen=True, slots=True)
class Columns(Nest):
    """Sums over rows: free loops, contracted ones, the rows, the elements that B has in each of
    them if they are several, and the columns.

    A has `columns` elements in a row, side by side, and its rows follow each other. B, if there is
    one, lies as A does and is multiplied with it element by element, or has `others` elements in a
    row, each of which is multiplied with each of A's: those from a first to a last of `sets` in one
    go. Tiles are the free loops outside, and with `span` fixed pieces of the rows, each with a
    result of its own. What is `far` comes from memory.
    """

    columns: int = 0
    others: int = 0
    sets: tuple[tuple[int, int], ...] = ((0, 1),)
    far: bool = False
    lanes: int = 1

    @property
    def kind(self) -> str:
        """One word for the shape of the loops, for the module's name."""
        return "columns"

    @property
    def rows(self) -> int:
        """The loop along the rows."""
        return self.contracted[-1]

    @property
    def outer(self) -> tuple[int, ...]:
        """The free loops outside."""
        return tuple(i for i in self.terms[-1] if i < self.rows)

    def describe(self) -> list[str]:
        """The operands' types and the role of each loop, a line each."""
        lines = [
            f"{name}[{', '.join(map(index_name, indices))}]: {dtype}"
            for name, indices, dtype in zip(self.operands, self.terms, self.dtypes, strict=True)
        ]
        lines[-1] += f", summed in {self.compute}"
        notes = {self.rows: ", each follows the one before"}
        if self.span is not None:
            notes[self.rows] += ", its spans run in parallel"
        notes[self.loops - 1] = f", {self.columns} side by side"
        if self.others > 1:
            notes[self.loops - 2] = f", {self.others} side by side"
        for i in range(self.loops):
            role = "contracted" if i in self.contracted else "free"
            lines.append(f"{index_name(i)}: {role}{notes.get(i, '')}")
        return lines

    def sizes(self) -> list[tuple[str, int | None, int]]:
        """What the compiled kernel is handed besides addresses, as `Nest.sizes` has it."""
        found: list[tuple[str, int | None, int]] = [
            (f"n_{index_name(i)}", None, i) for i in range(self.rows + 1)
        ]
        last = len(self.terms) - 1
        for number, (name, indices) in enumerate(zip(self.operands, self.terms, strict=True)):
            found += [
                (f"{name}_{index_name(i)}", number, i)
                for i in indices
                if i < self.rows or number == last
            ]
        if self.span is not None:
            found += [("span", None, self.loops), (f"{self.operands[last]}_tile", last, self.loops)]
        return found


@dataclass(frozen=True, slots=True)
class _Roles:
    """The operands in their roles, A and B, the order of the loops, and the elements that B has in
    a row: 0 where there is no B, or one that lies as A does; and those that are taken in one go."""

    place: tuple[int, ...]
    order: tuple[int, ...]
    others: int
    sets: tuple[tuple[int, int], ...]


def _roles(task: Task) -> tuple[Loops, _Roles | None]:
    """The loops of a task, simplified, and its roles in a sum of few columns, if it is one."""
    loops = simplify(task.loops)
    if len(task.dtypes) > 3 or set(task.dtypes) != {task.compute} or task.moves:
        return loops, None
    if task.compute not in (*MULTIPLIED, "bool"):
        return loops, None
    places = ((0,),) if len(task.dtypes) == 2 else ((0, 1), (1, 0))
    found = [roles for place in places if (roles := _roles_of(loops, place, task.compute))]
    return loops, min(found, key=lambda roles: len(roles.sets), default=None)


def _roles_of(loops: Loops, place: tuple[int, ...], dtype: str) -> _Roles | None:
    """The same with the operands in this order."""
    extents, result = loops.extents, loops.strides[-1]
    a, b = loops.strides[place[0]], loops.strides[place[-1]]
    column = next((i for i, stride in enumerate(a) if stride == 1 and result[i]), None)
    if column is None or extents[column] == 1:
        return None
    rows = next((i for i in loops.contracted if a[i] == extents[column]), None)
    if rows is None or extents[rows] < ROWS or b[rows] < 1:
        return None
    inner, others = [rows, column], 0
    if b[column] == 0:
        others, other = b[rows], None
        if others > 1:
            other = next((i for i, stride in enumerate(b) if stride == 1 and result[i]), None)
            if other is None or extents[other] != others or a[other]:
                return None
            inner.insert(1, other)
    elif (b[rows], b[column]) != (a[rows], 1):
        return None
    lanes = vector_bytes() // np.dtype(dtype).itemsize
    vectors = extents[column] // math.gcd(extents[column], lanes)
    most = 3 * vector_registers() // 4
    if np.dtype(dtype).kind == "c" and len(place) > 1:
        most = min(most // 2, WIDEST_COMPLEX if others <= 1 else most)
    if vectors > most:
        return None
    sets = _even(max(1, others), most // vectors)
    fills = others > 1 and _fills_vectors(max(others, extents[column]), lanes)
    if fills or len(sets) > MOST_SETS:
        return None

    outer = [i for i in range(len(extents)) if i not in inner]
    if not all(a[i] for i in outer):
        return None  # its rows would be read again and again
    if outer and extents[rows] < ROWS_OF_BATCH:
        many = extents[rows] * extents[column] >= VECTORS_OF_BATCH * lanes
        if len(place) > 1 or extents[column] >= lanes or not many:
            return None

    def far(i: int) -> int:
        return -abs(result[i]) or -max(abs(row[i]) for row in loops.strides)

    free = sorted((i for i in outer if result[i]), key=far)
    summed = sorted((i for i in outer if not result[i]), key=far)
    return _Roles(place, (*free, *summed, *inner), others, sets)


def _fills_vectors(columns: int, lanes: int) -> bool:
    """Whether the columns of a product would leave little of its vectors empty."""
    return columns >= 2 * lanes or columns % lanes == 0


def _even(extent: int, most: int) -> tuple[tuple[int, int], ...]:
    """Even parts of at most so many of an extent, as a first one and the one behind the last."""
    number = -(-extent // most)
    return tuple((extent * i // number, extent * (i + 1) // number) for i in range(number))


def is_columns(task: Task) -> bool:
    """Whether a task sums many rows of few elements that follow each other."""
    return _roles(task)[1] is not None


def lower_columns(name: str, reason: str, task: Task) -> tuple[Lowered, Task | None]:
    """The task as sums over rows, and the task that adds those of its spans, if it has such."""
    loops, roles = _roles(task)
    assert roles
    loops = loops.take(roles.order)
    moved = bytes_moved(loops, task.itemsizes)
    nest = Columns(
        terms=(),
        unit=(),
        dtypes=task.dtypes,
        compute=task.compute,
        loops=len(loops.extents),
        columns=loops.extents[-1],
        others=roles.others,
        sets=roles.sets,
        far=sum(moved) > last_cache(),
        lanes=vector_bytes() // task.itemsizes[0],
    )
    tiles = math.prod(n for n, s in zip(loops.extents, loops.strides[-1], strict=True) if s)
    tiles //= nest.columns * max(1, roles.others)
    adding, pieces, length = None, None, 0
    if tiles < FEW_TILES and loops.iterations >= LONG_SUM:
        rows = loops.contracted[-1]
        length, number = spans_of(loops, rows)
        pieces, adding, result = pieces_of(task, loops, number)
        loops = replace(loops, strides=(*loops.strides[:-1], result))
        nest, tiles = replace(nest, span=rows), tiles * number
    strides = [loops.strides[k] for k in (*roles.place, -1)]
    terms = tuple(tuple(i for i, stride in enumerate(row) if stride) for row in strides)
    nest = replace(nest, terms=terms, unit=tuple(row[-1] == 1 for row in strides))

    def value(operand: int | None, loop: int) -> int:
        if loop == nest.loops:
            return length if operand is None or pieces is None else pieces.strides[0]
        return loops.extents[loop] if operand is None else strides[operand][loop]

    sizes = tuple(value(operand, loop) for _, operand, loop in nest.sizes())
    time = loops.iterations / nest.lanes * FMA_TIME + move_time(sum(moved))
    lowered = Lowered(name, reason, loops, nest, sizes, tiles, time, roles.place, pieces)
    return lowered, adding
