"""A step as a loop nest: what runs in parallel, which numbers the source holds."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from einjit.names import index_name
from einjit.plan.indices import LINE, Loops, inner_cost
from einjit.plan.nest import (
    BLOCK,
    SHORT_ROW,
    STRIPS,
    TOGETHER,
    Nest,
    strip_length,
    strip_loop,
)
from einjit.plan.task import LINE_TIME, MULTIPLIED, Lowered
from einjit.target import is_far, vector_bytes, vector_registers

TILES = 64
"""Tiles that a nest is cut into where it can be: enough to keep many cores equally busy."""

FEW_TILES = 16
"""With fewer tiles than this, a long sum is split so that every core has a part of it."""

SHORT_STRIP = 2 << 10
"""Bytes of a strip of sums that is a tile, at least."""

FEW_TERMS = 1 << 8
"""Terms up to which sums of long rows from memory, which is read faster in longer runs, are cut
into strips, not into spans. Measured of 4500 to 48000 columns: 0.2 to 0.6 of the time for 37 and
143 terms, 0.7 to 1 for 400 in the caches, 1.0 to 1.4 in memory, and up to 1.6 for 2000 there."""

LONG_ROW = 1 << 10
"""Bytes of sums from which rows that are added to them are taken together: they are loaded and
stored once for several. Measured: 1.3 to 1.5 times faster; shorter rows are faster one by one."""

FAR_TOGETHER = 12
"""Rows from memory that are added to the sums of a strip in one go."""

FEWER_TOGETHER = 8
"""The same where there are 16 vector registers: as many as a set of the L1 cache holds of rows that
lie whole pages apart. Measured: 0.3 to 0.9 of the time of these, 0.92 to 1.01 of others."""

STREAMED_ROW = 2 << 10
"""Bytes of rows up to which those that follow each other in memory are added one by one. Measured:
0.7 to 0.9 of the time; of 2.5 to 8 KB 0.94 to 1.2."""

FEW_ROWS = TOGETHER * FEW_TILES
"""With fewer rows than this, several are not taken together: it would take tiles from cores."""

ASKED_ROWS = 512
"""Bytes of rows, of all operands together, up to which what follows them is asked for where they
come from memory: CPUs see what comes next of longer ones. Measured."""

ASKED_COMPLEX = 4
"""How many times longer complex ones are: they are read in an order that CPUs do not see through.
Measured."""

UNROLLED = 64
"""Iterations of tiny loops that are unrolled."""

TINY = 16
"""Extent up to which a loop is unrolled."""

ENDING_ROW = 16
"""Vectors of a row up to which one that ends within a vector is read so: 0.5 to 1 of the time."""

MASKED = 4
"""Bytes of elements, at least, of which vectors are read in part everywhere."""

MANY_ROWS = 512
"""Runs of the innermost loop from which that pays."""

APART = 3
"""Elements of real rows up to which several are taken apart together: 0.07 to 0.95 of the time; of
more 0.6 to 4 times."""

FEW_APART = 7
"""Rows taken apart up to which their number is in the source, too: 0.5 to 1.0 of the time. Of more,
LLVM would make no vectors: 8 of bytes take 1.3 to 2.5 times as long."""


def parallel_loops(loops: Loops, compute: str) -> tuple[int, bool]:
    """How many of the outermost free loops make up a tile, and whether strips do as well."""
    inner, tile, tiles = _outer_tiles(loops)
    strips = inner is not None and loops.extents[inner] > strip_length(compute)
    return tile, (strips and tiles < TILES) or has_short_strips(loops, compute)


def _outer_tiles(loops: Loops) -> tuple[int | None, int, int]:
    """The loop that is run in strips, if there is one, and how many of the outermost free loops
    make how many tiles without it."""
    inner = strip_loop(len(loops.extents), loops.contracted)
    outer = [i for i in range(len(loops.extents)) if i not in (*loops.contracted, inner)]
    return inner, *outermost(loops.extents[: len(outer)])


def has_short_strips(loops: Loops, compute: str) -> bool:
    """Whether rows that are added to each other are cut into STRIPS strips or more, however short:
    other tiles are few, and spans of so few rows would each have a result as large as they are
    themselves."""
    inner, _, tiles = _outer_tiles(loops)
    added = inner == len(loops.extents) - 1 and bool(loops.contracted)
    if inner is None or not added or tiles >= FEW_TILES:
        return False
    size = np.dtype(compute).itemsize
    long = loops.extents[inner] * size >= STRIPS * SHORT_STRIP
    most = max(
        math.prod(n for n, step in zip(loops.extents, row, strict=True) if step)
        for row in loops.strides[:-1]
    )
    terms = math.prod(loops.extents[i] for i in loops.contracted)
    return long and (terms < FEW_TERMS or not is_far(most * size))


def outermost(extents: Sequence[int]) -> tuple[int, int]:
    """How many of the outermost loops make enough tiles, and how many tiles they make."""
    tile, tiles = 0, 1
    while tile < len(extents) and tiles < TILES:
        tiles *= extents[tile]
        tile += 1
    return tile, tiles


def _has_short_rows(nest: Nest, extents: Sequence[int]) -> bool:
    """Whether the innermost loop is short, free and run often: how long it is, is worth a kernel.

    Sums that do not fill vectors and are few enough to be unrolled are better left alone: LLVM
    makes no vectors of them.
    """
    if nest.sums_innermost or math.prod(extents[:-1]) < MANY_ROWS:
        return False
    whole = extents[-1] * np.dtype(nest.compute).itemsize % vector_bytes() == 0
    return extents[-1] <= SHORT_ROW and (whole or extents[-1] > TINY or not nest.contracted)


def _asked(nest: Nest, loops: Loops, order: Sequence[int]) -> tuple[int, ...]:
    """The operands whose rows are short, follow each other and come from memory; `order` says which
    of the step's operands they are."""
    found, rows = [], []
    for number, dtype in enumerate(map(np.dtype, nest.dtypes[:-1])):
        count = math.prod(loops.extents[i] for i in nest.terms[number])
        follow = nest.unit[number] and loops.extents[-1] in loops.strides[order[number]]
        row = loops.extents[-1] * dtype.itemsize if follow else 0
        if row >= LINE and is_far(count * dtype.itemsize):
            found.append(number)
            rows.append(row // ASKED_COMPLEX if dtype.kind == "c" else row)
    return tuple(found) if sum(rows) <= ASKED_ROWS else ()


def _far_together() -> int:
    """How many rows from memory are added in one go on this CPU."""
    return FAR_TOGETHER if vector_registers() > 16 else FEWER_TOGETHER


def _has_far_rows(nest: Nest, loops: Loops) -> bool:
    """Whether rows come from memory, and are long enough for strips of them that are tiles."""
    most = max(
        math.prod(loops.extents[i] for i in term) * np.dtype(dtype).itemsize * unit
        for term, dtype, unit in zip(nest.terms[:-1], nest.dtypes, nest.unit, strict=False)
    )
    long = loops.extents[nest.loops - 1] >= STRIPS * nest.strip_length
    return is_far(most) and (long or not nest.strip)


def _has_one_stream(nest: Nest, loops: Loops) -> bool:
    """Whether short rows follow each other in memory: read one by one, they are a single stream,
    which CPUs see through best."""
    row, compute = loops.extents[nest.loops - 1], np.dtype(nest.compute)
    follow = any(step[nest.contracted[-1]] == row for step in loops.strides[:-1])
    return follow and row * compute.itemsize <= STREAMED_ROW


def _adds_vectors(nest: Nest, extents: Sequence[int]) -> bool:
    """Whether rows of the last of these extents, each times a factor or none, are added to strips
    of sums: complex ones, whose parts LLVM takes apart, or short ones that end within a vector,
    which it adds one by one there."""
    inner, complex_ = nest.loops - 1, np.dtype(nest.compute).kind == "c"
    if set(nest.dtypes) != {nest.compute} or nest.compute not in MULTIPLIED:
        return False
    if not nest.contracted or nest.sums_innermost or nest.strip_loop != inner:
        return False
    size = np.dtype(nest.compute).itemsize
    lanes = vector_bytes() // size
    ends = extents[-1] % lanes > 0 and lanes < extents[-1] <= ENDING_ROW * lanes
    ends = ends and size >= MASKED and math.prod(extents[:-1]) >= MANY_ROWS
    rows = [inner in loops for loops in nest.terms[:-1]]
    return (complex_ or ends) and sum(rows) == 1 and nest.unit[rows.index(True)]


def _takes_apart(loops: Loops, row: int, compute: str) -> bool:
    """Whether the rows of a loop are as short as that in all operands. LLVM takes them apart in
    registers then, if the source says so."""
    return np.dtype(compute).kind != "c" and max(step[row] for step in loops.strides) <= APART


def _even_strip(extent: int, nest: Nest) -> int:
    """Elements of a strip that is a tile, as the generated source cuts them evenly."""
    return -(-extent // (STRIPS * -(-extent // (STRIPS * nest.strip_length))))


def count_tiles(loops: Loops, tile: int, strip: bool, length: int) -> int:
    """The number of tiles that these loops, and the strips of the innermost one, make."""
    inner = strip_loop(len(loops.extents), loops.contracted) if strip else None
    strips = 1 if inner is None else -(-loops.extents[inner] // length)
    return math.prod(loops.extents[:tile]) * strips


def lower_nest(
    name: str,
    reason: str,
    dtypes: tuple[str, ...],
    compute: str,
    loops: Loops,
    tile: int,
    strip: bool,
    span: int | None = None,
    unrolled: int | None = None,
    known: int | None = None,
) -> Lowered:
    """A nest over arranged loops; with `span`, the last of them is that of the spans; the loops
    from `unrolled` on are unrolled, the numbers of those from `known` on are in the source."""
    n = len(loops.extents) - (span is not None)
    terms = [tuple(i for i in range(n) if row[i]) for row in loops.strides]
    unit = [n > 0 and row[n - 1] == 1 for row in loops.strides]
    # Products commute, so operands take the order in which most equations share the kernel.
    last = len(terms) - 1
    order = sorted(range(last), key=lambda k: (terms[k], unit[k], dtypes[k]))
    rows = [*order, last]
    summed = math.prod(loops.extents[i] for i in range(n) if loops.strides[-1][i] == 0)
    nest = Nest(
        terms=tuple(terms[k] for k in rows),
        unit=tuple(unit[k] for k in rows),
        dtypes=tuple(dtypes[k] for k in rows),
        compute=compute,
        loops=n,
        tile=tile,
        strip=strip,
        span=span,
        short=span is None and summed <= BLOCK,
    )
    if unrolled is None and n and nest.takes_together:
        if nest.sums_innermost:
            long = loops.extents[-1] >= strip_length(compute) and loops.extents[0] >= FEW_ROWS
        else:
            long = loops.extents[n - 1] * np.dtype(compute).itemsize >= LONG_ROW
            if long and _has_far_rows(nest, loops):
                long = not _has_one_stream(nest, loops)
                nest = replace(nest, far=_far_together() if long else 0)
        nest = replace(nest, together=long)
    if unrolled is None and known is None and n and _adds_vectors(nest, loops.extents[:n]):
        nest = replace(nest, lanes=vector_bytes() // np.dtype(compute).itemsize)

    def value(operand: int | None, loop: int) -> int:
        return loops.extents[loop] if operand is None else loops.strides[rows[operand]][loop]

    if nest.sums_innermost and nest.strip_loop is None and not (nest.together or span):
        nest = replace(nest, asked=_asked(nest, loops, order))
    first = known if unrolled is None else unrolled
    if first is not None:
        if unrolled and _takes_apart(loops, unrolled - 1, compute):
            first = unrolled - 1
        constants = [
            (name, value(operand, loop))
            for name, operand, loop in nest.sizes()
            if loop >= first
            and abs(value(operand, loop)) <= UNROLLED
            and (
                operand is not None or loop >= (unrolled or n - 1) or value(None, loop) <= FEW_APART
            )
        ]
        nest = replace(nest, unrolled=unrolled, constants=tuple(constants))
    elif _has_short_rows(nest, loops.extents[:n]):
        nest = replace(nest, constants=((f"n_{index_name(n - 1)}", loops.extents[n - 1]),))
    sizes = tuple(value(operand, loop) for _, operand, loop in nest.sizes())
    itemsizes = [np.dtype(dtype).itemsize for dtype in dtypes]
    lines = inner_cost(loops, itemsizes, n - 1) if n else 1.0
    time = LINE_TIME * lines * math.prod(loops.extents[:n])
    length = _even_strip(loops.extents[n - 1], nest) if nest.even else nest.strip_length
    tiles = count_tiles(loops, tile, strip, length)
    if nest.together and nest.sums_innermost:
        tiles = -(-tiles // TOGETHER)
    own = loops.take(range(n))
    return Lowered(name, reason, own, nest, sizes, tiles, time, tuple(order))
