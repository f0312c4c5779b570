"""How a step is carried out: an ordered table, each row with its reason.

The first row whose `when` holds decides. Nothing here depends on the number of threads: the tiles
and the spans of a sum come from the extents, so the bits of a result do too.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from einjit.plan.batched import is_batched, lower_batched
from einjit.plan.blocking import Blocked, block
from einjit.plan.collected import is_collected, lower_collected, lower_rows, rows_to_collect
from einjit.plan.columns import is_columns, lower_columns
from einjit.plan.dots import is_dots, lower_dots
from einjit.plan.groups import MOST_LOOPS, Groups
from einjit.plan.indices import Loops, bytes_moved, simplify
from einjit.plan.nest import BLOCK, strip_length
from einjit.plan.nesting import (
    FEW_TILES,
    count_tiles,
    has_short_strips,
    lower_nest,
    outermost,
    parallel_loops,
)
from einjit.plan.spans import LONG_SUM, SPANS, Span, pieces_of, spans_of
from einjit.plan.streamed import is_multiplied, is_streamed, lower_streamed
from einjit.plan.task import PARALLEL_TIME, Lowered, Task
from einjit.plan.tiling import (
    Tiling,
    arranged,
    copied,
    is_tiled,
    lower_tiled,
    shorter_side,
    tiled_time,
    tiling_of,
)
from einjit.plan.unrolled import is_unrolled, lower_unrolled
from einjit.target import caches, vector_bytes

NARROW = 8
"""Elements of a row up to which LLVM takes it apart in registers: it is no part of a block that is
transposed. Measured: 0.05 to 0.7 of the time."""

NARROW_WHOLE = 4
"""The same of rows that are whole vectors, which fill blocks: of 8 elements 0.7 to 1.2."""

SPANS_OF_PRODUCT = 16
"""Pieces that the sum of a contraction with few results is cut into."""

FEWEST_SPANS = 8
"""Iterations of one of several contracted loops from which it is cut. Measured: 0.5 to 0.85 of the
time of tiles that each pack all of an operand."""

FEW_RESULTS = 1 << 16
"""Results up to which a long sum is cut: tiles of them would not keep the cores busy."""

LONG = 4096
"""Terms of one contracted loop from which it is cut."""

LONG_TOGETHER = 2048
"""The same of several, one of which is cut."""

LONG_ROWS = 1024
"""Extent of a loop that both operands have side by side from which it may be the one: pieces of
rows are to be long."""

SHORTEST_SIDE = 4
"""Extent of M and of N from which register tiles pay."""

SHORTEST_OF_LONG = 2
"""The same of sums of LONG_ENOUGH terms."""

LONG_ENOUGH = 64
"""Terms of a sum for which two or three rows make a register tile."""

OTHER_SIDE = 16
"""Extent of the longer side from which they do where sums run along both operands as they lie: of
fewer a nest is as fast."""

SHORTEST_SUM = 2
"""Extent of K from which register tiles pay, and"""

SHORTEST_OF_MANY = 4
"""of real matrices larger than the L2 cache, which a nest with vectors along their rows writes as
fast as memory takes them."""

FEW_ROWS = 4
"""Extent of the shorter side up to which a nest with vectors along its rows is faster than boxes
that are scattered."""

ROW_VECTORS = 4
"""Vectors of such a row, at least."""

SMALL_PRODUCT = 500
"""Multiplications up to which a plain loop nest is no more than a third slower, call included: not
worth a macrokernel, which takes a second to compile."""


@dataclass(frozen=True, slots=True)
class Lowering:
    """A row of the table."""

    name: str
    when: Callable[[Task], bool]
    how: Callable[[str, str, Task], list[Lowered]]
    reason: str


def lower(task: Task) -> list[Lowered]:
    """The task as one lowered step, or two where a sum is split."""
    parts = task.of_parts
    if parts and (_fuses_parts(parts.loops) or is_columns(parts)):
        task = parts  # LLVM takes vectors of complex numbers apart
    row = next(row for row in LOWERINGS if row.when(task))
    return row.how(row.name, row.reason, task)


# ---------------------------------------------------------------- when


def _fuses_parts(loops: Loops) -> bool:
    """Whether the loop of the parts of complex numbers is one with that of the numbers."""
    return len(simplify(loops).extents) < len(loops.extents)


def _is_empty(task: Task) -> bool:
    return 0 in task.loops.extents


def _is_long_sum(task: Task) -> bool:
    loops = task.arranged
    if not loops.contracted or loops.iterations < LONG_SUM // 8:
        return False
    if loops.iterations < LONG_SUM:
        (nest,) = _as_nest("", "", task)
        results = math.prod(n for n, s in zip(loops.extents, loops.strides[-1], strict=True) if s)
        few = results * SPANS * 4 <= loops.iterations
        return few and nest.tiles == 1 and nest.time >= PARALLEL_TIME
    tiling = parallel_loops(loops, task.compute)
    few = count_tiles(loops, *tiling, strip_length(task.compute)) < FEW_TILES
    return few and not has_short_strips(loops, task.compute)


def _is_scattered(loops: Loops, groups: Groups) -> bool:
    """Whether each product of a batch lies scattered: others lie between its rows."""
    result = [abs(stride) for stride in loops.strides[-1]]
    farthest = max((result[i] for i in (*groups.m, *groups.n)), default=0)
    return any(result[i] < farthest for i in groups.h)


def _is_product(task: Task) -> bool:
    """Whether M, N and K all matter, and the vectors multiply this type."""
    if not task.multiplies:
        return False
    loops = simplify(task.loops)
    groups = Groups.of(loops)
    if _is_scattered(loops, groups) and is_unrolled(task):
        return False
    m, n, k = (math.prod(loops.extents[i] for i in g) for g in (groups.m, groups.n, groups.k))
    if len(loops.extents) > MOST_LOOPS and min(m, n) <= FEW_ROWS and _has_long_rows(task):
        return False
    if k < SHORTEST_OF_MANY and _is_written_by_rows(loops, task):
        return False
    along = any(loops.strides[0][i] == 1 == loops.strides[1][i] for i in groups.k)
    long = k >= LONG_ENOUGH and (max(m, n) >= OTHER_SIDE or not along)
    shortest = SHORTEST_OF_LONG if long else SHORTEST_SIDE
    return min(m, n) >= shortest and k >= SHORTEST_SUM and m * n * k >= SMALL_PRODUCT


def _is_written_by_rows(loops: Loops, task: Task) -> bool:
    """Whether a nest writes the result at the speed of memory: if sums are short."""
    written = bytes_moved(loops, task.itemsizes)[-1]
    return written > caches()[1] and task.compute[0] != "c" and _has_long_rows(task)


def _has_long_rows(task: Task) -> bool:
    """Whether vectors run along the innermost loop of a nest."""
    loops = task.arranged
    return loops.extents[-1] >= ROW_VECTORS * vector_bytes() // task.itemsizes[0] and all(
        row[-1] in (0, 1) for row in loops.strides
    )


def _is_narrow(loops: Loops, tiling: Tiling, task: Task) -> bool:
    """Whether one loop of the tiles is so short that blocks would be mostly empty."""
    exact = not task.moves or task.compute != "complex128"  # of which sums would lose a sign of 0
    row = shorter_side(loops, tiling)
    parts = row <= NARROW_WHOLE or (
        row <= NARROW and row * max(task.itemsizes) % vector_bytes() > 0
    )
    return parts and not loops.contracted and exact


# ---------------------------------------------------------------- how


def _one(lower: Callable[[str, str, Task], Lowered]) -> Callable[[str, str, Task], list[Lowered]]:
    return lambda name, reason, task: [lower(name, reason, task)]


def _as_packed(name: str, reason: str, task: Task) -> list[Lowered]:
    loops = simplify(task.loops)
    cut = _loop_to_cut(loops)
    if cut is not None:
        return _packed_spans(name, reason, task, loops, cut, SPANS_OF_PRODUCT)
    long = max(Groups.of(loops).k, key=lambda i: loops.extents[i])
    extent = loops.extents[long]
    blocked = block(loops, task.compute)
    if blocked.most_terms and extent > blocked.most_terms:
        number = -(-extent // blocked.most_terms)
        return _packed_spans(name, reason, task, loops, long, number)
    return [_packed(name, reason, task, loops, blocked)]


def _loop_to_cut(loops: Loops) -> int | None:
    """The contracted loop that is cut where sums are long and results few: the outermost of those
    that are not short."""
    results = math.prod(n for n, s in zip(loops.extents, loops.strides[-1], strict=True) if s)
    if results > FEW_RESULTS:
        return None
    group = loops.contracted
    terms = math.prod(loops.extents[i] for i in group)
    if terms < (LONG if len(group) == 1 else LONG_TOGETHER):
        return None
    steps = {i: [abs(row[i]) for row in loops.strides[:-1]] for i in group}
    least = {i: LONG_ROWS if max(steps[i]) == 1 else FEWEST_SPANS for i in group}
    cuts = [i for i in group if loops.extents[i] >= least[i]]
    return max(cuts, key=lambda i: min(steps[i]), default=None)


def _packed(name: str, reason: str, task: Task, loops: Loops, blocked: Blocked) -> Lowered:
    return Lowered(
        name,
        reason,
        blocked.loops,
        blocked.packed,
        blocked.sizes,
        blocked.tiles,
        blocked.time,
        blocked.order,
    )


def _packed_spans(
    name: str, reason: str, task: Task, loops: Loops, cut: int, number: int
) -> list[Lowered]:
    """So many fixed spans of one contracted loop, each with its own result."""
    length = -(-loops.extents[cut] // number)
    number = -(-loops.extents[cut] // length)
    pieces, fold, strides = pieces_of(task, loops, number)
    spanned = Loops(loops.indices, loops.extents, (*loops.strides[:-1], strides))
    span = Span(cut, length, number, pieces.strides[0])
    blocked = block(spanned, task.compute, span)
    first = replace(_packed(name, reason, task, spanned, blocked), pieces=pieces)
    return [first, *_adding(fold)]


def _by_numpy(name: str, reason: str, task: Task) -> list[Lowered]:
    return [Lowered(name, reason, task.loops)]


def _interleaved(name: str, reason: str, task: Task, loops: Loops, tiling: Tiling) -> Lowered:
    """Rows of two to four elements, such as colours: a plain nest whose innermost loop, unrolled,
    is that of the rows. LLVM takes rows apart in registers where it knows how long they are."""
    pair = sorted((tiling.across or 0, tiling.inner), key=lambda i: -loops.extents[i])
    loops = arranged(loops, tiling)
    n = len(loops.extents)
    if pair[1] != tiling.inner:
        loops = loops.take([*range(n - 2), n - 1, n - 2])
    tile, _ = outermost(loops.extents[: n - 1])
    lowered = lower_nest(name, reason, task.dtypes, task.compute, loops, tile, False, known=n - 2)
    return replace(lowered, time=tiled_time(loops, task))


def _as_columns(name: str, reason: str, task: Task) -> list[Lowered]:
    lowered, adding = lower_columns(name, reason, task)
    return [lowered, *(_adding(adding) if adding else [])]


def _as_copy(name: str, reason: str, task: Task) -> list[Lowered]:
    task = copied(task)
    if loops := rows_to_collect(task):
        return [lower_rows(name, reason, task, loops)]
    return (_one(lower_streamed) if is_streamed(task) else _as_tiled)(name, reason, task)


def _as_tiled(name: str, reason: str, task: Task) -> list[Lowered]:
    loops, tiling = tiling_of(task)
    if tiling.turned and _is_narrow(loops, tiling, task):
        return [_interleaved(name, reason, task, loops, tiling)]
    if is_collected(loops, tiling, task):
        return [lower_collected(name, reason, task, loops, tiling)]
    return [lower_tiled(name, reason, task)]


def _as_nest(name: str, reason: str, task: Task) -> list[Lowered]:
    loops = task.arranged
    tiling = parallel_loops(loops, task.compute)
    return [lower_nest(name, reason, task.dtypes, task.compute, loops, *tiling)]


def _adding(task: Task) -> list[Lowered]:
    return _as_nest("nest", "adds what the spans gave", task)


def _as_split(name: str, reason: str, task: Task) -> list[Lowered]:
    """Sum fixed spans of one contracted loop, each into a result of its own; then add those."""
    loops = task.arranged
    inner, extents = len(loops.extents) - 1, loops.extents
    cuts = [i for i in loops.contracted if i != inner or extents[i] >= SPANS * BLOCK]
    cuts = cuts or list(loops.contracted)  # rows are kept whole where they can be
    cut = next((i for i in cuts if extents[i] >= SPANS), max(cuts, key=lambda i: extents[i]))
    span, spans = spans_of(loops, cut)
    pieces, adding, result = pieces_of(task, loops, spans)

    # The span is one more loop of the result alone, behind the others (Nest.sizes).
    rows = [(*row, 0) for row in loops.strides[:-1]] + [(*result, pieces.strides[0])]
    spanned = Loops((*loops.indices, ()), (*loops.extents, span), tuple(rows))
    dtypes = (*task.dtypes[:-1], task.compute)
    first = lower_nest(name, reason, dtypes, task.compute, spanned, 0, False, cut)
    first = replace(first, tiles=spans, pieces=pieces)

    return [first, *_adding(adding)]


LOWERINGS = (
    Lowering(
        "view",
        lambda task: task.moves and task.viewable,
        _by_numpy,
        "one operand, nothing summed: strides only",
    ),
    Lowering("empty", _is_empty, _by_numpy, "an extent is 0: zeros"),
    Lowering(
        "copy",
        lambda task: task.moves and task.dtypes[0] == task.dtypes[1],
        _as_copy,
        "one operand, nothing summed, into other memory",
    ),
    Lowering("cast", lambda task: task.moves, _by_numpy, "one operand, into another dtype"),
    Lowering(
        "dots",
        is_dots,
        _one(lower_dots),
        "a few rows with many: their sums side by side in registers, nothing turned round",
    ),
    Lowering(
        "batched",
        is_batched,
        _one(lower_batched),
        "a long batch of small products: register tiles straight from the operands",
    ),
    Lowering(
        "columns",
        is_columns,
        _as_columns,
        "few columns: rows that follow each other, a vector at a time",
    ),
    Lowering(
        "packed",
        _is_product,
        _as_packed,
        "each element is used often: boxes packed for the cache, sums in register tiles",
    ),
    Lowering(
        "unrolled",
        is_unrolled,
        _one(lower_unrolled),
        "tiny extents, a long batch: the tiny ones are numbers in the source and unrolled",
    ),
    Lowering(
        "tiled",
        is_tiled,
        _as_tiled,
        "operands differ in what lies side by side: tiles transposed in the cache",
    ),
    Lowering(
        "streamed",
        is_streamed,
        _one(lower_streamed),
        "a product larger than the caches: whole lines, written past them",
    ),
    Lowering(
        "multiplied",
        is_multiplied,
        _one(functools.partial(lower_streamed, past=False)),
        "rows of complex elements: multiplied in vectors as they lie",
    ),
    Lowering("split", _is_long_sum, _as_split, "a long sum, few results: summed in fixed spans"),
    Lowering("nest", lambda task: True, _as_nest, "loops ordered by stride"),
)
