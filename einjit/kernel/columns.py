"""Sums of few columns: vectors of rows that follow each other, of elements of all their columns."""

from collections.abc import Sequence
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

AHEAD = 32
"""Vectors ahead that elements are asked for."""


@intrinsic(prefer_literal=True)
def column_sums(
    typingctx: Any, sums: Any, one: Any, at: Any, n: Any, columns: Any, lanes: Any
) -> Any:
    """Add to `sums` the columns of `n` rows, which begin at `one[at]` and follow each other."""
    tile = Tile(one.dtype, lanes.literal_value, 1, 1)

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        sums, one, at, n = args[:4]
        _add_columns(builder, tile, sums, [builder.gep(one, [at])], n, columns.literal_value, 0)
        return context.get_dummy_value()

    return types.void(sums, one, types.intp, types.intp, columns, lanes), emit


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
    lanes: Any,
) -> Any:
    """Add to `sums[i * columns + j]` the products over `n` rows of element j of a row at `one[at]`
    and element i of a row of `others` elements at `two[from_]`; with 0 `others` two rows are alike,
    and multiplied element by element: `sums[j]`. Rows follow each other."""
    tile = Tile(one.dtype, lanes.literal_value, 1, 1)
    counts = columns.literal_value, others.literal_value

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        sums, one, at, two, from_, n = args[:6]
        places = [builder.gep(one, [at]), builder.gep(two, [from_])]
        _add_columns(builder, tile, sums, places, n, *counts)
        return context.get_dummy_value()

    places = (one, types.intp, two, types.intp)
    return types.void(sums, *places, types.intp, columns, others, lanes), emit


def _add_columns(
    builder: Builder,
    tile: Tile,
    sums: Value,
    places: Sequence[Value],
    n: Value,
    columns: int,
    others: int,
) -> None:
    """Blocks of as many rows as a vector has lanes are whole vectors of each operand. Each vector
    of the first one has sums of its own, for each element of the second's rows; those elements are
    brought to where they are multiplied by a shuffle."""
    lanes, sets = tile.lanes, range(max(1, others))
    factors = range(tile.parts if len(places) > 1 else 1)
    widths = [columns, others or columns][: len(places)]
    zero, step = ir.Constant(WORD, 0), ir.Constant(WORD, lanes)
    totals = {
        (i, v, part): cgutils.alloca_once_value(builder, ir.Constant(tile.vector, None))
        for i in sets
        for v in range(columns)
        for part in factors
    }

    def factor(i: int, v: int, part: int) -> list[int]:
        """The place, among the second operand's, of what each part of a vector is multiplied by."""
        elements = range(v * lanes, (v + 1) * lanes)
        if others:
            elements = [e // columns * others + i for e in elements]  # type: ignore[assignment]
        return [e * tile.parts + part for e in elements for _ in range(tile.parts)]

    def add_block(row: Value, left: Value | None) -> None:
        """Add a block of rows, or what is left of one."""
        loaded = []
        for place, width in zip(places, widths, strict=True):
            first = builder.gep(place, [builder.mul(row, ir.Constant(WORD, width))])
            vectors = []
            for v in range(width):
                mask = None
                if left is None:
                    ask_for(builder, builder.gep(first, [ir.Constant(WORD, (v + AHEAD) * lanes)]))
                else:
                    elements = builder.mul(left, ir.Constant(WORD, width))
                    elements = builder.sub(elements, ir.Constant(WORD, v * lanes))
                    mask = mask_of(builder, tile, elements)
                vectors.append(load_vector(builder, tile, first, v, mask))
            loaded.append(vectors)
        for (i, v, part), total in totals.items():
            vector = loaded[0][v]
            if len(loaded) == 1:
                made = add(builder, builder.load(total), vector)
            else:
                by = _gathered(builder, loaded[1], factor(i, v, part))
                made = multiply_add(builder, vector, by, builder.load(total))
            builder.store(made, total)

    end = builder.sub(n, builder.urem(n, step))
    with cgutils.for_range_slice(builder, zero, end, step) as (row, _):
        add_block(row, None)
    with builder.if_then(builder.icmp_signed("<", end, n)):
        add_block(end, builder.sub(n, end))
    for i in sets:
        vectors = [
            joined(builder, [builder.load(totals[i, v, part]) for part in factors])
            for v in range(columns)
        ]
        _add_rows(builder, tile, vectors, builder.gep(sums, [ir.Constant(WORD, i * columns)]))


def _gathered(builder: Builder, vectors: Sequence[Value], places: Sequence[int]) -> Value:
    """A vector of what is found at these places of vectors side by side."""
    lanes = len(places)
    first, *others = sorted({place // lanes for place in places})
    made = shuffled(
        builder, vectors[first], vectors[first], [place % lanes for place in places]
    )
    for source in others:
        order = [
            lanes + place % lanes if place // lanes == source else i
            for i, place in enumerate(places)
        ]
        made = shuffled(builder, made, vectors[source], order)
    return made


def _add_rows(builder: Builder, tile: Tile, vectors: list[Value], sums: Value) -> None:
    """Add the rows that these vectors hold side by side to sums in memory."""
    columns = len(vectors)
    held = cgutils.alloca_once(builder, tile.vector, columns)
    for v, vector in enumerate(vectors):
        builder.store(vector, builder.gep(held, [ir.Constant(WORD, v)]), align=tile.align)
    row = Tile(tile.kind, columns, 1, 1)
    first = builder.bitcast(held, sums.type)
    rows = [
        load_vector(builder, row, builder.gep(first, [ir.Constant(WORD, r * columns)]), 0)
        for r in range(tile.lanes)
    ]
    while len(rows) > 1:  # in pairs: their number is a power of two
        rows = [add(builder, x, y) for x, y in zip(rows[::2], rows[1::2], strict=True)]
    where = vector_at(builder, row, sums, 0)
    old = builder.load(where, align=tile.align)
    builder.store(add(builder, old, rows[0]), where, align=tile.align)
