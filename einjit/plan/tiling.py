"""The tiles of a step: which operands are turned, in which order the loops are nested."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from einjit.names import index_name
from einjit.plan.indices import LINE, PAGE, Loops, bytes_moved, simplify
from einjit.plan.nest import BLOCK, SHORT_ROW
from einjit.plan.task import LINE_TIME, Lowered, Task, move_time
from einjit.plan.tiled import LANES, Tiled
from einjit.target import cores, is_far, last_cache, masks, vector_bytes

RUN = 256
"""Bytes of an operand that is turned that are read in one go, and of the result that are written: a
few lines. Measured: with less, memory is read and written in pieces too small; with more, there are
more pieces than a CPU keeps track of."""

MATTERS = 8
"""An operand this many times smaller than another does not decide how that one is read."""

LONGEST = 1024
"""Extent of a tile along the rows of a source that is moved past the caches."""

CARRIERS = {1: "uint8", 2: "uint16", 4: "uint32", 8: "uint64", 16: "complex128"}
"""What elements of so many bytes are copied as."""

LEAST = 256
"""Iterations from which tiles pay."""


@dataclass(frozen=True, slots=True)
class Tiling:
    """The two loops of a step's tiles, and the operands that are turned. With `across` None there
    is but one loop."""

    across: int | None
    inner: int
    turned: tuple[int, ...]


def turning(loops: Loops, itemsizes: Sequence[int]) -> Tiling | None:
    """The tiles of a step whose large operands disagree about the loop of unit stride, if they do.

    Where something is contracted the result does not count: it is stored once for many terms.
    """
    inputs, result = loops.strides[:-1], loops.strides[-1]
    sizes = bytes_moved(loops, itemsizes)[:-1]
    units = [row.index(1) if 1 in row else None for row in inputs]
    inner = result.index(1) if 1 in result else None
    inners = [inner] if inner is not None else [u for u in units if u is not None and result[u]]
    for x in dict.fromkeys(inners):
        turned = [
            number
            for number, (row, unit) in enumerate(zip(inputs, units, strict=True))
            if row[x] not in (0, 1) and unit is not None
        ]
        if not turned:
            continue
        largest = max(turned, key=lambda number: sizes[number])
        y = units[largest]
        along = [size for row, size in zip(inputs, sizes, strict=True) if row[x] == 1]
        if loops.contracted and max(along, default=0) * MATTERS < sizes[largest]:
            continue
        return Tiling(y, x, tuple(number for number in turned if units[number] == y))
    return None


def shorter_side(loops: Loops, tiling: Tiling) -> int:
    """The extent of the shorter loop of the tiles."""
    return min(loops.extents[i] for i in (tiling.across or 0, tiling.inner))


def straight(loops: Loops) -> Tiling:
    """The tiles of a step that turns no operand, its result's unit stride innermost."""
    result = loops.strides[-1]
    by_stride = sorted((i for i, s in enumerate(result) if s), key=lambda i: abs(result[i]))
    return Tiling(by_stride[1] if by_stride[1:] else None, by_stride[0], ())


def arranged(loops: Loops, tiling: Tiling, by: int = -1) -> Loops:
    """The loops in the order of a tiled nest: a loop of one iteration where tiles had but one.

    The outer ones are ordered by the strides of the result, or of another operand.
    """
    result, inputs = loops.strides[-1], loops.strides[:-1]
    if tiling.across is None:
        last = loops.extents[tiling.inner] * result[tiling.inner]
        rows = [*((*row, 0) for row in inputs), (*result, last)]
        one = Loops((*loops.indices, ()), (*loops.extents, 1), tuple(rows))
        return arranged(one, Tiling(len(loops.extents), tiling.inner, ()))
    pair = [tiling.across, tiling.inner]
    others = [i for i in range(len(loops.extents)) if i not in pair]

    def place(i: int) -> tuple[bool, int]:
        return result[i] == 0, -abs(loops.strides[by][i]) or -sum(abs(row[i]) for row in inputs)

    return loops.take([*sorted(others, key=place), *pair])


def tile(extents: Sequence[int], itemsize: int, turned: bool, room: int) -> tuple[int, int]:
    """Extents of a tile along its two loops, the last ones of these."""
    across, inner = extents[-2:]
    if not turned:
        wide = even(inner, room)
        return min(across, room // wide), wide
    side = min(max(LANES, RUN // itemsize), math.isqrt(room) // LANES * LANES)
    high = even(across, side)
    wide = even(inner, max(side, side * side // _padded(high) // LANES * LANES))
    return even(across, max(side, side * side // _padded(wide) // LANES * LANES)), wide


def tile_of_sums(extents: Sequence[int], itemsize: int, room: int) -> tuple[int, int]:
    """Extents of a tile whose sums wait for all terms: as few tiles as there are cores, if the
    result is so small, of rows as long as there is room for.

    Measured: memory is read 1.1 to 1.7 times faster than in pieces of RUN.
    """
    across, inner = extents[-2:]
    tiles = max(cores(), -(-_padded(across) * _padded(inner) // room))
    high = min(across, max(RUN // (2 * itemsize), LANES, -(-across // tiles)))
    wide = room // _padded(high) // LANES * LANES
    if inner <= wide:
        return high, inner
    return high, even(inner, wide)


def tile_of_moves(loops: Loops, itemsize: int, past: bool) -> tuple[tuple[int, int], int]:
    """Extents of a tile whose blocks go from memory to memory, and how many elements ahead along
    its rows the source is asked for.

    Measured. Within the caches, what suits both sides is best. Past them each line that is written
    is whole, so what counts is how the source is read: from up to LANES rows side by side the CPU
    sees what comes next; rows that follow each other closely are asked for as a whole; and rows
    whose lines share a set of the L1 cache drive each other out of it.
    """
    across, inner = loops.extents[-2:]
    stride = abs(loops.strides[0][-1])
    side, ahead = LANES, 4 * LANES
    if not past:
        across, side, ahead = min(across, 4 * LANES), 4 * LANES, 8 * LANES
    elif stride * itemsize <= PAGE:
        side = 2 * LINE // itemsize
        ahead = side * stride
    elif stride * itemsize % PAGE == 0 and itemsize * LANES <= LINE:
        side, ahead = 2 * LANES, 8 * LANES
    return (min(across, LONGEST), min(inner, side)), ahead


def _padded(extent: int) -> int:
    """The room that an extent takes: blocks of LANES are turned whole."""
    return -(-extent // LANES) * LANES


def even(extent: int, most: int) -> int:
    """A part of at most `most` that cuts an extent evenly, in blocks of LANES where it is cut."""
    if extent <= most:
        return extent
    part = _padded(-(-extent // -(-extent // most)))
    return part if part <= most else most // LANES * LANES


# ---------------------------------------------------------------- the tiled step


def is_tiled(task: Task) -> bool:
    """Whether large operands disagree about the loop of unit stride."""
    loops = simplify(task.loops)
    return loops.iterations >= LEAST and turning(loops, task.itemsizes) is not None


def copied(task: Task) -> Task:
    """The task of elements that move as they are, whatever they mean."""
    carrier = CARRIERS[np.dtype(task.dtypes[0]).itemsize]
    return replace(task, dtypes=(carrier,) * 2, compute=carrier)


def tiling_of(task: Task) -> tuple[Loops, Tiling]:
    """The loops of a task, simplified, and how they are tiled."""
    loops = simplify(task.loops)
    if not loops.extents:  # one element
        loops = Loops(((),), (1,), ((1,),) * len(task.dtypes))
    return loops, turning(loops, task.itemsizes) or straight(loops)


def lower_tiled(name: str, reason: str, task: Task) -> Lowered:
    """The task as a tiled nest."""
    loops, tiling = tiling_of(task)
    streams = bool(tiling.turned) and passes_caches(loops, task)
    loops = arranged(loops, tiling, by=0 if task.moves and streams else -1)
    n = len(loops.extents)
    summed = math.prod(loops.extents[i] for i in loops.contracted)
    nest = Tiled(
        terms=tuple(tuple(i for i in range(n) if row[i]) for row in loops.strides),
        unit=tuple(row[-1] == 1 for row in loops.strides),
        dtypes=task.dtypes,
        compute=task.compute,
        loops=n,
        short=summed <= BLOCK,
        turned=tiling.turned,
        streams=streams,
        copies=task.moves,
        vector=vector_bytes(),
    )
    largest = max(task.itemsizes)
    ahead = 0
    if nest.moves:
        box, ahead = tile_of_moves(loops, largest, streams)
    elif nest.sums_wait:
        box = tile_of_sums(loops.extents, largest, nest.room)
    else:
        box = tile(loops.extents, largest, bool(tiling.turned), nest.room)
    if nest.turned:
        asks = streams or is_far(sum(bytes_moved(loops, task.itemsizes)))
        pages = any(loops.strides[k][-1] * task.itemsizes[k] % PAGE == 0 for k in nest.turned)
        nest = replace(nest, asks=asks or pages)
    if nest.turned and not (nest.moves and streams):
        most = max(map(nest.lanes_of, nest.turned))
        side, whole = side_of_blocks(most, loops.extents[-2:], () if nest.moves else box)
        nest = replace(nest, side=side, overlaps=whole)
    if box[1] == loops.extents[-1] <= SHORT_ROW:
        nest = replace(nest, constants=((f"n_{index_name(n - 1)}", box[1]),))
    extents = (*loops.extents, *box, ahead)
    sizes = tuple(
        extents[loop] if operand is None else loops.strides[operand][loop]
        for _, operand, loop in nest.sizes()
    )
    tiles = math.prod(loops.extents[i] for i in nest.outer)
    for i, length in zip((n - 2, n - 1), box, strict=True):
        tiles *= -(-loops.extents[i] // length) if i not in nest.contracted else 1
    order = tuple(range(len(task.dtypes) - 1))
    return Lowered(name, reason, loops, nest, sizes, tiles, tiled_time(loops, task), order)


def tiled_time(loops: Loops, task: Task) -> float:
    """One thread's nanoseconds, about, where each line is touched once."""
    moved = sum(bytes_moved(loops, task.itemsizes))
    return max(move_time(moved), LINE_TIME * loops.iterations * max(task.itemsizes) / LINE)


def side_of_blocks(most: int, extents: Sequence[int], box: Sequence[int] = ()) -> tuple[int, bool]:
    """The side of the blocks that tiles are transposed in, and whether all blocks are whole: those
    at an end overlap the ones before, within the tile if there are its extents. Blocks are smaller
    than they could be where no parts of vectors can be read and written."""
    side = most if masks() else min(most, 1 << min(extents).bit_length() - 1)
    ends = [n % b or b for n, b in zip(extents, box, strict=True)] if box else extents
    return side, side <= min(ends)


def passes_caches(loops: Loops, task: Task) -> bool:
    """Whether the result, written in pieces, is better written past the caches: they could not keep
    it, and the pieces are whole lines."""
    whole = LINE // task.itemsizes[-1]
    lines = all(stride == 1 or stride % whole == 0 for stride in loops.strides[-1])
    large = bytes_moved(loops, task.itemsizes)[-1] > last_cache() // 3
    return large and lines and not loops.contracted and 1 in loops.strides[-1]
