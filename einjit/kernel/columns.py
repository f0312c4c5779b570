"""Sums of few columns: vectors of rows that follow each other, of elements of all their columns."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from einjit.kernel.lanes import (
    WORD,
    Builder,
    Tile,
    Value,
    add,
    ask_for,
    joined,
    load_vector,
    mask_of,
    multiply_add,
    shuffled,
    vector_at,
)

AHEAD = 8
"""Vectors ahead that elements from memory are asked for. Measured."""

CHAINS = 8
"""Sums in registers for which more rows are taken in one go, so that none waits for the last."""


@intrinsic(prefer_literal=True)
def column_sums(
    typingctx: Any,
    sums: Any,
    one: Any,
    at: Any,
    n: Any,
    columns: Any,
    ahead: Any,
    logical: Any,
    lanes: Any,
) -> Any:
    """Add to `sums` the columns of `n` rows, which begin at `one[at]` and follow each other; with
    `ahead` they come from memory, and what follows is asked for. With `logical` bytes other than 0
    are true, products and sums are those of bools, and true is 1."""
    tile = Tile(one.dtype, lanes.literal_value, 1, 1)
    shape, sets = (columns.literal_value, 0), range(1)

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        sums, one, at, n = args[:4]
        place = builder.gep(one, [at])
        how = bool(ahead.literal_value), bool(logical.literal_value)
        _add_columns(builder, tile, sums, [place], n, shape, sets, *how)
        return context.get_dummy_value()

    return types.void(sums, one, types.intp, types.intp, columns, ahead, logical, lanes), emit


@intrinsic(prefer_literal=True)
def column_products(
    typingctx: Any,
    sums: Any,
    one: Any,
    at: Any,
    two: Any,
    from_: Any,
    n: Any,
    columns: Any,
    others: Any,
    first: Any,
    last: Any,
    ahead: Any,
    logical: Any,
    lanes: Any,
) -> Any:
    """Add to `sums[i * columns + j]`, for i from `first` to before `last`, the products over `n`
    rows of element j of a row at `one[at]` and element i of a row of `others` elements at
    `two[from_]`; with 0 `others` two rows are alike, and multiplied element by element: `sums[j]`.
    Rows follow each other; `logical` is that of `column_sums`."""
    tile = Tile(one.dtype, lanes.literal_value, 1, 1)
    shape = columns.literal_value, others.literal_value
    sets = range(first.literal_value, last.literal_value)

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        sums, one, at, two, from_, n = args[:6]
        places = [builder.gep(one, [at]), builder.gep(two, [from_])]
        how = bool(ahead.literal_value), bool(logical.literal_value)
        _add_columns(builder, tile, sums, places, n, shape, sets, *how)
        return context.get_dummy_value()

    places, counts = (one, types.intp, two, types.intp), (columns, others, first, last)
    return types.void(sums, *places, types.intp, *counts, ahead, logical, lanes), emit


def _add_columns(
    builder: Builder,
    tile: Tile,
    sums: Value,
    places: Sequence[Value],
    n: Value,
    shape: tuple[int, int],
    sets: range,
    ahead: bool,
    logical: bool,
) -> None:
    """Blocks of rows are whole vectors of the first operand. Each vector of a block has sums of its
    own, for each of these elements of the second one's rows; those are brought to where they are
    multiplied by a shuffle."""
    plus, times_plus = (_either, _both_or) if logical else (add, multiply_add)
    columns, others = shape
    lanes = tile.lanes
    factors = range(tile.parts if len(places) > 1 else 1)
    least = lanes // math.gcd(columns, lanes)
    rows = least
    while rows < lanes and 2 * rows * columns // lanes * len(sets) * len(factors) <= CHAINS:
        rows *= 2
    vectors = rows * columns // lanes
    widths = [columns, others or columns][: len(places)]
    tiles = [tile, tile if rows * widths[-1] % lanes == 0 else tile.of(rows * widths[-1])]
    totals = {
        (i, v, part): cgutils.alloca_once_value(builder, ir.Constant(tile.vector, None))
        for i in sets
        for v in range(vectors)
        for part in factors
    }

    def factor(i: int, v: int, part: int) -> list[int]:
        """The place, among the second operand's, of what each part of a vector is multiplied by."""
        elements: Iterable[int] = range(v * lanes, (v + 1) * lanes)
        if others:
            elements = (e // columns * others + i for e in elements)
        return [e * tile.parts + part for e in elements for _ in range(tile.parts)]

    def load(kind: Tile, place: Value, width: int, row: Value, left: Value | None) -> list[Value]:
        """The vectors of a block of rows, or of those that are left."""
        first = builder.gep(place, [builder.mul(row, ir.Constant(WORD, width))])
        loaded = []
        for v in range(rows * width // kind.lanes):
            mask = None
            if left is not None:
                elements = builder.mul(left, ir.Constant(WORD, width))
                elements = builder.sub(elements, ir.Constant(WORD, v * kind.lanes))
                mask = mask_of(builder, kind, elements)
            elif ahead:
                further = ir.Constant(WORD, v * kind.lanes + AHEAD * lanes)
                ask_for(builder, builder.gep(first, [further]))
            vector = load_vector(builder, kind, first, v, mask)
            if logical:
                true = builder.icmp_unsigned("!=", vector, ir.Constant(vector.type, None))
                vector = builder.zext(true, vector.type)
            loaded.append(vector)
        return loaded

    def add_block(row: Value, left: Value | None) -> None:
        one, *more = [
            load(kind, place, width, row, left)
            for kind, place, width in zip(tiles, places, widths, strict=False)
        ]
        for (i, v, part), total in totals.items():
            old = builder.load(total)
            if not more:
                made = plus(builder, old, one[v])
            else:
                by = _gathered(builder, more[0], factor(i, v, part))
                made = times_plus(builder, one[v], by, old)
            builder.store(made, total)

    zero, step = ir.Constant(WORD, 0), ir.Constant(WORD, rows)
    end = builder.sub(n, builder.urem(n, step))
    with cgutils.for_range_slice(builder, zero, end, step) as (row, _):
        add_block(row, None)
    with builder.if_then(builder.icmp_signed("<", end, n)):
        add_block(end, builder.sub(n, end))
    for i in sets:
        made = [
            joined(builder, [builder.load(totals[i, v, part]) for part in factors])
            for v in range(vectors)
        ]
        first = builder.gep(sums, [ir.Constant(WORD, i * columns)])
        _add_rows(builder, tile, made, rows, first, plus)


def _gathered(builder: Builder, vectors: Sequence[Value], places: Sequence[int]) -> Value:
    """A vector of what is found at these places of vectors side by side."""
    lanes = vectors[0].type.count
    first, *others = sorted({place // lanes for place in places})
    made = shuffled(builder, vectors[first], vectors[first], [place % lanes for place in places])
    for source in others:
        order = [
            lanes + place % lanes if place // lanes == source else i
            for i, place in enumerate(places)
        ]
        made = shuffled(builder, made, vectors[source], order)
    return made


def _either(builder: Builder, one: Value, two: Value) -> Value:
    """The sum of vectors of bools."""
    return builder.or_(one, two)


def _both_or(builder: Builder, one: Value, two: Value, total: Value) -> Value:
    """Product and sum of vectors of bools."""
    return builder.or_(total, builder.and_(one, two))


def _add_rows(
    builder: Builder,
    tile: Tile,
    vectors: list[Value],
    rows: int,
    sums: Value,
    plus: Callable[[Builder, Value, Value], Value],
) -> None:
    """Add the rows that these vectors hold side by side to sums in memory."""
    columns = len(vectors) * tile.lanes // rows
    held = cgutils.alloca_once(builder, tile.vector, len(vectors))
    for v, vector in enumerate(vectors):
        builder.store(vector, builder.gep(held, [ir.Constant(WORD, v)]), align=tile.align)
    row, first = tile.of(columns), builder.bitcast(held, sums.type)
    added = [
        load_vector(builder, row, builder.gep(first, [ir.Constant(WORD, r * columns)]), 0)
        for r in range(rows)
    ]
    while len(added) > 1:  # in pairs: their number is a power of two
        added = [plus(builder, x, y) for x, y in zip(added[::2], added[1::2], strict=True)]
    where = vector_at(builder, row, sums, 0)
    old = builder.load(where, align=tile.align)
    builder.store(plus(builder, old, added[0]), where, align=tile.align)
