"""Copies in another order that outgrow the caches, and whose rows are few lines or no whole ones.

A row that ends within a line is written in parts, and each part reads its line first. So a tile is
collected in the cache, along the loops that follow each other in the result, and runs of many rows
are written past the caches. On its way there it is transposed in registers, or moved row by row
where rows stay what they are.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from einjit.names import index_name
from einjit.plan.indices import LINE, Loops, bytes_moved, simplify
from einjit.plan.nest import SHORT_ROW, Nest
from einjit.plan.task import Lowered, Task, move_time
from einjit.plan.tiled import LANES
from einjit.plan.tiling import Tiling, arranged, even, side_of_blocks
from einjit.target import last_cache, vector_bytes

ROOM = 64 << 10
"""Bytes of a tile at most. Measured: with twice or half as many copies take as long or longer."""

SMALL_ROOM = 32 << 10
"""Bytes of a tile that is one run of the result: longer runs gain nothing, the L1 cache does."""

RUN = 4 << 10
"""Bytes of the result that are written in one go; rows of up to half as many go together where they
follow each other."""

PIECE = 256
"""Bytes of the source's rows that are read in one go; rows of up to twice as many stay whole."""

SHORT_LINES = 256
"""Bytes of the result's rows up to which whole lines are collected as well."""

LONG_ROW = 128
"""Bytes of rows that stay rows from which they are written one by one. Measured: collected, rows of
5 to 120 bytes take 0.2 to 0.7 of the time, one line 0.5 to 0.8, two lines 1.07."""


@dataclass(frozen=True, slots=True)
class Collected(Nest):
    """A copy in tiles of its last `tiled` loops, two or three.

    The innermost loop has unit stride in the result; `across`, the last but one, in the source. The
    third one from behind, if it is in the tiles, follows the innermost loop in the result; with
    `whole` it follows both, and a tile is one run of memory.

    With `rows` all this is so of rows, those of one more loop behind the others, which stay as they
    are; `inner` is then the loop along which they follow each other in the result. Otherwise blocks
    are transposed, of `side` elements square, which with `overlaps` are all whole (`Tiled`).
    """

    tiled: int = 2
    whole: bool = False
    rows: bool = False
    lanes: int = LANES
    side: int = LANES
    overlaps: bool = False

    @property
    def kind(self) -> str:
        """One word for the shape of the loops, for the module's name."""
        return "collected"

    @property
    def inner(self) -> int:
        """The loop along which the result is written."""
        return self.loops - 1 - self.rows

    @property
    def across(self) -> int:
        """The loop along which the source is read."""
        return self.inner - 1

    @property
    def tiles(self) -> range:
        """The loops of a tile, but that of rows."""
        return range(self.inner + 1 - self.tiled, self.inner + 1)

    @property
    def units(self) -> tuple[int, int]:
        """The loops along which the source and the result have unit stride."""
        return (self.loops - 1,) * 2 if self.rows else (self.across, self.inner)

    @property
    def room(self) -> int:
        """Elements of a tile at most, and of a vector of which a row is less."""
        return ROOM // np.dtype(self.compute).itemsize + self.lanes * self.rows

    def describe(self) -> list[str]:
        """The operands' types and the role of each loop, a line each."""
        lines = [
            f"{name}[{', '.join(map(index_name, indices))}]: {dtype}"
            for name, indices, dtype in zip(self.operands, self.terms, self.dtypes, strict=True)
        ]
        lines[0] += ", in rows as they are" if self.rows else ", turned round in registers"
        lines[1] += ", collected in the cache, written past it"
        for i in range(self.loops):
            role = ", in tiles" * (i in self.tiles) + ", a row" * (i > self.inner)
            lines.append(f"{index_name(i)}: free{role}")
        return lines

    def sizes(self) -> list[tuple[str, int | None, int]]:
        """What the compiled kernel is handed besides addresses, as `Nest.sizes` has it. The extents
        of a tile are those of more loops, behind the others; that of one more is how many elements
        ahead the source is asked for."""
        found: list[tuple[str, int | None, int]] = [
            (f"n_{index_name(i)}", None, i) for i in range(self.loops)
        ]
        for number, one in enumerate(self.units):
            name = self.operands[number]
            found += [
                (f"{name}_{index_name(i)}", number, i) for i in self.terms[number] if i != one
            ]
        for more, i in enumerate(self.tiles):
            found.append((f"box_{index_name(i)}", None, self.loops + more))
        found.append(("ahead", None, self.loops + self.tiled))
        known = dict(self.constants)
        return [size for size in found if size[0] not in known]


def is_collected(loops: Loops, tiling: Tiling, task: Task) -> bool:
    """Whether a copy that turns its operand round outgrows the caches, and its rows are no whole
    lines, or few, or no whole vectors where they are turned.

    Measured: long rows that the last cache still holds are better written as usual.
    """
    result, size = loops.strides[-1], task.itemsizes[-1]
    if not task.moves or not tiling.turned or 1 not in result:
        return False
    row, vectors = loops.extents[tiling.inner] * size, size * LANES >= vector_bytes()
    most = last_cache() if row > RUN and vectors else last_cache() // 3
    if bytes_moved(loops, task.itemsizes)[-1] <= most:
        return False
    lines = all(stride == 1 or stride % (LINE // size) == 0 for stride in result)
    together = row <= SHORT_LINES and _following(loops, tiling, size)[0] is not None
    return not lines or not vectors or together


def _following(loops: Loops, tiling: Tiling, size: int) -> tuple[int | None, bool]:
    """The third loop of the tiles, if there is one, and whether it follows both others."""
    result, inner, across = loops.strides[-1], tiling.inner, tiling.across
    assert across is not None
    row = loops.extents[inner]
    after, whole = row, result[across] == row
    if whole:
        after *= loops.extents[across]
    if 2 * row * size > RUN or after * size > SMALL_ROOM:
        return None, False
    found = [i for i, stride in enumerate(result) if stride == after and i not in (inner, across)]
    return (found[0], whole) if found else (None, False)


def lower_collected(name: str, reason: str, task: Task, loops: Loops, tiling: Tiling) -> Lowered:
    """The task as a copy whose tiles are collected."""
    size, n = task.itemsizes[-1], len(loops.extents)
    deep, whole = _following(loops, tiling, size)
    third = None if deep is None else loops.indices[deep]
    loops = arranged(loops, tiling, by=0)
    if third is not None:
        place = loops.indices.index(third)
        loops = loops.take([*(i for i in range(n - 2) if i != place), place, n - 2, n - 1])
    tiled = 2 if third is None else 3
    box = _box(loops.extents[n - tiled :], size, whole)
    ahead = 2 * box[-2] if deep is None else box[0] * loops.strides[0][n - 3]
    nest = _nest(task, loops, tiled=tiled, whole=whole)
    side, overlaps = side_of_blocks(nest.lanes, loops.extents[-2:], box[-2:])
    nest = replace(nest, side=side, overlaps=overlaps)
    return _lowered(name, reason, task, loops, nest, box, ahead)


def _box(extents: tuple[int, ...], size: int, whole: bool) -> tuple[int, ...]:
    """Extents of a tile: whole rows where several are one run, else long pieces of them; of the
    source's rows, where those are not whole, a line at least."""
    *deep, across, inner = extents
    room, line = (SMALL_ROOM if whole else ROOM) // size, max(LANES, LINE // size)
    wide = inner if deep else even(inner, min(RUN // size, room // line))
    high = across
    if not whole and (across * size > 2 * PIECE or across * wide > room):
        high = even(across, min(PIECE // size, room // wide))
    return (*(min(extent, room // (high * wide)) for extent in deep), high, wide)


def rows_to_collect(task: Task) -> Loops | None:
    """The loops of a copy that outgrows the caches and keeps short rows as they are, in the order
    it is tiled: the last ones are the one along which rows lie nearest in the source, the one along
    which they follow each other in the result, and that of the rows."""
    loops = simplify(task.loops)
    if len(loops.extents) < 3 or bytes_moved(loops, task.itemsizes)[-1] <= last_cache() // 3:
        return None
    source, result = loops.strides
    row = next((i for i, pair in enumerate(zip(source, result, strict=True)) if pair == (1, 1)), -1)
    extent = loops.extents[row]
    if row < 0 or extent not in result or extent * task.itemsizes[-1] >= LONG_ROW:
        return None
    inner = result.index(extent)
    *outer, across = sorted(
        (i for i in range(len(result)) if i != row), key=lambda i: -abs(source[i])
    )
    if across == inner:
        return None
    return loops.take([*(i for i in outer if i != inner), across, inner, row])


def lower_rows(name: str, reason: str, task: Task, loops: Loops) -> Lowered:
    """The task as a copy that collects rows, of the loops of `rows_to_collect`."""
    *_, high, wide, row = loops.extents
    size = row * task.itemsizes[-1]
    wide = min(wide, RUN // size)
    high = min(high, max(1, PIECE // size, RUN // (wide * size)), ROOM // (wide * size))
    ahead = 2 * high * loops.strides[0][-3]
    return _lowered(name, reason, task, loops, _nest(task, loops, rows=True), (high, wide), ahead)


def _nest(
    task: Task, loops: Loops, tiled: int = 2, whole: bool = False, rows: bool = False
) -> Collected:
    n, row = len(loops.extents), loops.extents[-1]
    known = ((f"n_{index_name(n - 1)}", row),) if rows and row <= SHORT_ROW else ()
    return Collected(
        terms=tuple(tuple(i for i in range(n) if row[i]) for row in loops.strides),
        unit=tuple(row[-1] == 1 for row in loops.strides),
        dtypes=task.dtypes,
        compute=task.compute,
        loops=n,
        constants=known,
        tiled=tiled,
        whole=whole,
        rows=rows,
        lanes=min(LANES, vector_bytes() // task.itemsizes[-1]),
    )


def _lowered(
    name: str,
    reason: str,
    task: Task,
    loops: Loops,
    nest: Collected,
    box: tuple[int, ...],
    ahead: int,
) -> Lowered:
    """The copy with the numbers of its tiles."""
    extents = (*loops.extents, *box, ahead)
    sizes = tuple(
        extents[loop] if operand is None else loops.strides[operand][loop]
        for _, operand, loop in nest.sizes()
    )
    tiles = math.prod(loops.extents[: nest.tiles.start])
    for i, length in zip(nest.tiles, box, strict=True):
        tiles *= -(-loops.extents[i] // length)
    time = move_time(sum(bytes_moved(loops, task.itemsizes)))
    return Lowered(name, reason, loops, nest, sizes, tiles, time, (0,))
