"""How a step is carried out: an ordered table, each row with its reason.

The first row whose `when` holds decides. Nothing here depends on the number of threads: the tiles
and the spans of a sum come from the extents, so the bits of a result do too.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from einjit.equation.operands import Layout, packed
from einjit.names import index_name
from einjit.plan.blocking import Groups, Span, block
from einjit.plan.indices import Loops, inner_cost, simplify
from einjit.plan.nest import BLOCK, TOGETHER, Nest, strip_length, strip_loop
from einjit.plan.task import Lowered, Task
from einjit.target import vector_bytes

TILES = 64
"""Tiles that a nest is cut into where it can be: enough to keep many cores equally busy."""

FEW_TILES = 16
"""With fewer tiles than this, a long sum is split so that every core has a part of it."""

FEW_ROWS = TOGETHER * FEW_TILES
"""With fewer rows than this, several are not taken together: it would take tiles from cores."""

LONG_SUM = 1 << 18
"""Iterations from which splitting a sum pays for the second step that adds its pieces."""

SPANS = 64
"""Pieces that a split sum is cut into."""

LINE_TIME = 0.8
"""Nanoseconds that an iteration takes for each cache line it moves: a rough measure, for deciding
what is worth more threads."""

FMA_TIME = 0.2
"""Nanoseconds of a vector's multiplication and addition in a microkernel."""

BYTE_TIME = 0.05
"""Nanoseconds that one thread takes to move a byte of an operand or the result."""

UNROLLED = 64
"""Iterations of tiny loops that are unrolled."""

TINY = 16
"""Extent up to which a loop is unrolled."""

SHORT_ROW = 32
"""Extent of an innermost loop up to which it is a number in the source: a loop of unknown length is
unrolled for long ones."""

MANY_ROWS = 512
"""Runs of the innermost loop from which that pays."""

LONG_BATCH = 64
"""Iterations of the other loops from which unrolling pays."""

PACKED = (
    *("float32", "float64", "complex64", "complex128"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
)
"""Types that microkernels multiply."""

SPANS_OF_PRODUCT = 16
"""Pieces that the sum of a contraction with few results is cut into."""

FEW_RESULTS = 1 << 14
"""Results up to which a long sum is cut: tiles of them would not keep the cores busy."""

LONG = 4096
"""Extent of a contracted loop from which it is cut."""

SHORTEST_SIDE = 4
"""Extent of M and of N from which register tiles pay."""

SHORTEST_SUM = 2
"""Extent of K from which register tiles pay."""

SMALL_PRODUCT = 600
"""Multiplications of a contraction that a plain loop nest does as fast."""

MOST_LOOPS = 11
"""Loops of a packed contraction: those of K are nested twice, and Python nests 20 blocks."""


@dataclass(frozen=True, slots=True)
class Lowering:
    """A row of the table."""

    name: str
    when: Callable[[Task], bool]
    how: Callable[[str, str, Task], list[Lowered]]
    reason: str


def lower(task: Task) -> list[Lowered]:
    """The task as one lowered step, or two where a sum is split."""
    row = next(row for row in LOWERINGS if row.when(task))
    return row.how(row.name, row.reason, task)


# ---------------------------------------------------------------- when


def _is_empty(task: Task) -> bool:
    return 0 in task.loops.extents


def _tiny(loops: Loops) -> tuple[int, ...]:
    """The loops that are unrolled: the shortest ones, as many as UNROLLED iterations allow."""
    chosen: list[int] = []
    for i in sorted(range(len(loops.extents)), key=lambda i: loops.extents[i]):
        together = math.prod(loops.extents[j] for j in (*chosen, i))
        if loops.extents[i] > TINY or together > UNROLLED:
            break
        chosen.append(i)
    return tuple(chosen)


def _is_tiny(task: Task) -> bool:
    """Whether every contracted loop is tiny and the others are long."""
    loops = simplify(task.loops)
    tiny = _tiny(loops)
    others = math.prod(n for i, n in enumerate(loops.extents) if i not in tiny)
    contracted = set(loops.contracted)
    return bool(contracted) and contracted <= set(tiny) and others >= LONG_BATCH


def _is_long_sum(task: Task) -> bool:
    loops = task.arranged
    if not loops.contracted or loops.iterations < LONG_SUM:
        return False
    return _tiles(loops, *_tiling(loops, task.compute), task.compute) < FEW_TILES


def _is_product(task: Task) -> bool:
    """Whether M, N and K all matter, and the vectors multiply this type."""
    if len(task.dtypes) != 3 or set(task.dtypes) != {task.compute} or task.compute not in PACKED:
        return False
    loops = simplify(task.loops)
    if len(loops.extents) > MOST_LOOPS:
        return False
    groups = Groups.of(loops)
    m, n, k = (math.prod(loops.extents[i] for i in g) for g in (groups.m, groups.n, groups.k))
    return min(m, n) >= SHORTEST_SIDE and k >= SHORTEST_SUM and m * n * k >= SMALL_PRODUCT


# ---------------------------------------------------------------- how


def _as_packed(name: str, reason: str, task: Task) -> list[Lowered]:
    loops = simplify(task.loops)
    long = max(Groups.of(loops).k, key=lambda i: loops.extents[i])
    results = math.prod(n for n, s in zip(loops.extents, loops.strides[-1], strict=True) if s)
    if results > FEW_RESULTS or loops.extents[long] < LONG:
        return [_packed(name, reason, task, loops, None)]
    return _packed_spans(name, reason, task, loops, long)


def _packed(name: str, reason: str, task: Task, loops: Loops, span: Span | None) -> Lowered:
    blocked = block(loops, task.compute, span)
    lanes = blocked.packed.macrokernel.lanes
    moved = sum(
        math.prod(n for n, s in zip(loops.extents, row, strict=True) if s) for row in loops.strides
    )
    time = loops.iterations / lanes * FMA_TIME + moved * np.dtype(task.compute).itemsize * BYTE_TIME
    return Lowered(
        name,
        reason,
        blocked.loops,
        blocked.packed,
        blocked.sizes,
        blocked.tiles,
        time,
        blocked.order,
    )


def _packed_spans(name: str, reason: str, task: Task, loops: Loops, cut: int) -> list[Lowered]:
    """Few results, a long sum: fixed spans of one contracted loop, each with its own result."""
    length = -(-loops.extents[cut] // SPANS_OF_PRODUCT)
    number = -(-loops.extents[cut] // length)
    pieces, fold, strides = _pieces(task, loops, number)
    spanned = Loops(loops.indices, loops.extents, (*loops.strides[:-1], strides))
    span = Span(cut, length, number, pieces.strides[0])
    first = replace(_packed(name, reason, task, spanned, span), pieces=pieces)
    return [first, *_as_nest("nest", "adds what the spans gave", fold)]


def _by_numpy(name: str, reason: str, task: Task) -> list[Lowered]:
    return [Lowered(name, reason, task.loops)]


def _as_nest(name: str, reason: str, task: Task) -> list[Lowered]:
    loops = task.arranged
    tiling = _tiling(loops, task.compute)
    return [_lowered(name, reason, task.dtypes, task.compute, loops, *tiling)]


def _as_unrolled(name: str, reason: str, task: Task) -> list[Lowered]:
    """Long free loops outside, the tiny ones inside, the contracted ones innermost."""
    loops = simplify(task.loops)
    tiny = _tiny(loops)
    result = loops.strides[-1]

    def place(i: int) -> tuple[bool, bool, bool, int]:
        one = sum(row[i] == 1 for row in loops.strides)
        return i in tiny, result[i] == 0, i not in tiny and one > 0, -abs(result[i])

    loops = loops.take(sorted(range(len(loops.extents)), key=place))
    long = len(loops.extents) - len(tiny)
    tile, tiles = 1, loops.extents[0]
    while tile < long - 1 and tiles < TILES:
        tiles *= loops.extents[tile]
        tile += 1
    return [_lowered(name, reason, task.dtypes, task.compute, loops, tile, False, None, long)]


def _as_split(name: str, reason: str, task: Task) -> list[Lowered]:
    """Sum fixed spans of one contracted loop, each into a result of its own; then add those."""
    loops = task.arranged
    inner, extents = len(loops.extents) - 1, loops.extents
    cuts = [i for i in loops.contracted if i != inner or extents[i] >= SPANS * BLOCK]
    cuts = cuts or list(loops.contracted)  # rows are kept whole where they can be
    cut = next((i for i in cuts if extents[i] >= SPANS), max(cuts, key=lambda i: extents[i]))
    span = -(-loops.extents[cut] // SPANS)
    spans = -(-loops.extents[cut] // span)
    pieces, adding, result = _pieces(task, loops, spans)

    # The span is one more loop of the result alone, behind the others (Nest.sizes).
    rows = [(*row, 0) for row in loops.strides[:-1]] + [(*result, pieces.strides[0])]
    spanned = Loops((*loops.indices, ()), (*loops.extents, span), tuple(rows))
    dtypes = (*task.dtypes[:-1], task.compute)
    first = _lowered(name, reason, dtypes, task.compute, spanned, 0, False, cut)
    first = replace(first, tiles=spans, pieces=pieces)

    return [first, *_as_nest("nest", "adds what the spans gave", adding)]


def _pieces(task: Task, loops: Loops, number: int) -> tuple[Layout, Task, tuple[int, ...]]:
    """The layout of so many partial results, the task that adds them, and the strides of one along
    the loops."""
    free = [i for i in range(len(loops.extents)) if i not in loops.contracted]
    shape = (number, *(loops.extents[i] for i in free))
    pieces = Layout(shape, packed(shape, range(len(shape))), task.compute)
    along = dict(zip(free, pieces.strides[1:], strict=True))
    final = tuple(loops.strides[-1][i] for i in free)
    indices = ((), *(loops.indices[i] for i in free))
    fold = Loops(indices, shape, (pieces.strides, (0, *final)))
    adding = Task(fold, (task.compute, task.dtypes[-1]), task.compute)
    return pieces, adding, tuple(along.get(i, 0) for i in range(len(loops.extents)))


LOWERINGS = (
    Lowering(
        "view",
        lambda task: task.moves and task.viewable,
        _by_numpy,
        "one operand, nothing summed: strides only",
    ),
    Lowering("empty", _is_empty, _by_numpy, "an extent is 0: zeros"),
    Lowering(
        "copy", lambda task: task.moves, _by_numpy, "one operand, nothing summed, into other memory"
    ),
    Lowering(
        "packed",
        _is_product,
        _as_packed,
        "each element is used often: boxes packed for the cache, sums in register tiles",
    ),
    Lowering(
        "unrolled",
        _is_tiny,
        _as_unrolled,
        "tiny extents, a long batch: the tiny ones are numbers in the source and unrolled",
    ),
    Lowering("split", _is_long_sum, _as_split, "a long sum, few results: summed in fixed spans"),
    Lowering("nest", lambda task: True, _as_nest, "loops ordered by stride"),
)


# ---------------------------------------------------------------- parts


def _tiling(loops: Loops, compute: str) -> tuple[int, bool]:
    """How many of the outermost free loops make up a tile, and whether strips do as well."""
    inner = strip_loop(len(loops.extents), loops.contracted)
    outer = [i for i in range(len(loops.extents)) if i not in (*loops.contracted, inner)]
    tile, tiles = 0, 1
    while tile < len(outer) and tiles < TILES:
        tiles *= loops.extents[tile]
        tile += 1
    strips = inner is not None and loops.extents[inner] > strip_length(compute)
    return tile, strips and tiles < TILES


def _has_short_rows(nest: Nest, extents: Sequence[int]) -> bool:
    """Whether the innermost loop is short, free and run often: how long it is, is worth a kernel.

    Sums that do not fill vectors and are few enough to be unrolled are better left alone: LLVM
    makes no vectors of them.
    """
    if nest.sums_innermost or math.prod(extents[:-1]) < MANY_ROWS:
        return False
    whole = extents[-1] * np.dtype(nest.compute).itemsize % vector_bytes() == 0
    return extents[-1] <= SHORT_ROW and (whole or extents[-1] > TINY or not nest.contracted)


def _tiles(loops: Loops, tile: int, strip: bool, compute: str) -> int:
    inner = strip_loop(len(loops.extents), loops.contracted) if strip else None
    strips = 1 if inner is None else -(-loops.extents[inner] // strip_length(compute))
    return math.prod(loops.extents[:tile]) * strips


def _lowered(
    name: str,
    reason: str,
    dtypes: tuple[str, ...],
    compute: str,
    loops: Loops,
    tile: int,
    strip: bool,
    span: int | None = None,
    unrolled: int | None = None,
) -> Lowered:
    """A nest over arranged loops; with `span`, the last of them is that of the spans; the loops
    from `unrolled` on are unrolled."""
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
    if unrolled is None and loops.extents[n - 1 : n] >= (strip_length(compute),):
        enough = not nest.sums_innermost or loops.extents[0] >= FEW_ROWS
        nest = replace(nest, together=nest.takes_together and enough)

    def value(operand: int | None, loop: int) -> int:
        return loops.extents[loop] if operand is None else loops.strides[rows[operand]][loop]

    if unrolled is not None:
        known = [
            (name, value(operand, loop))
            for name, operand, loop in nest.sizes()
            if loop >= unrolled and abs(value(operand, loop)) <= UNROLLED
        ]
        nest = replace(nest, unrolled=unrolled, constants=tuple(known))
    elif _has_short_rows(nest, loops.extents[:n]):
        nest = replace(nest, constants=((f"n_{index_name(n - 1)}", loops.extents[n - 1]),))
    sizes = tuple(value(operand, loop) for _, operand, loop in nest.sizes())
    itemsizes = [np.dtype(dtype).itemsize for dtype in dtypes]
    lines = inner_cost(loops, itemsizes, n - 1) if n else 1.0
    time = LINE_TIME * lines * math.prod(loops.extents[:n])
    tiles = _tiles(loops, tile, strip, compute)
    if nest.together and nest.sums_innermost:
        tiles = -(-tiles // TOGETHER)
    own = loops.take(range(n))
    return Lowered(name, reason, own, nest, sizes, tiles, time, tuple(order))
