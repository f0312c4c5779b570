"""Sums along rows, of their products with other rows, and sums of rows, each times a factor."""

import itertools
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
    line_of,
    load_vector,
    mask_of,
    multiply_add,
    part_of,
    shuffled,
    splat,
    summed,
    vector_at,
)


@intrinsic(prefer_literal=True)
def row_sums(
    typingctx: Any,
    sums: Any,
    one: Any,
    rows: Any,
    two: Any,
    others: Any,
    n: Any,
    ahead: Any,
    accumulate: Any,
    lanes: Any,
) -> Any:
    """The sums over k < n of `one[a + k] * two[b + k]`, for each a of the tuple `rows` and each b
    of `others`: to `sums`, or added to those with `accumulate`. What lies `ahead` of the rows is
    asked for where vectors are whole lines. Measured where they are halves: not to ask takes 0.7 to
    1.1 of the time in the caches, 0.76 to 1.04 from memory."""
    tile = Tile(two.dtype, lanes.literal_value, 1, 1)
    counts = len(rows), len(others)

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        sums, one, rows, two, others, n, ahead, accumulate = args[:8]
        places = [
            [builder.gep(base, [at]) for at in cgutils.unpack_tuple(builder, where, count)]
            for base, where, count in zip((one, two), (rows, others), counts, strict=True)
        ]
        zero, step = ir.Constant(WORD, 0), ir.Constant(WORD, tile.lanes)
        end = builder.sub(n, builder.urem(n, step))
        totals = [
            cgutils.alloca_once_value(builder, ir.Constant(tile.vector, None))
            for _ in range(counts[0] * counts[1] * tile.parts)
        ]

        def add_products(k: Value, mask: Value | None) -> None:
            loaded = [
                [load_vector(builder, tile, builder.gep(p, [k]), 0, mask) for p in group]
                for group in places
            ]
            factors = [factor for y in loaded[1] for factor in _factors(builder, tile, y)]
            pairs = itertools.product(loaded[0], factors)
            for total, (x, y) in zip(totals, pairs, strict=True):
                builder.store(multiply_add(builder, x, y, builder.load(total)), total)

        with cgutils.for_range_slice(builder, zero, end, step) as (k, _):
            for place in places[0] if tile.lanes == line_of(tile) else ():
                ask_for(builder, builder.gep(place, [builder.add(k, ahead)]))
            add_products(k, None)
        with builder.if_then(builder.icmp_signed("<", end, n)):
            add_products(end, mask_of(builder, tile, builder.sub(n, end)))
        sums = part_of(builder, tile, sums, 0)
        added = summed(builder, _parts_of_sums(builder, tile, [*map(builder.load, totals)]))
        for number, vector in enumerate(added):
            first = ir.Constant(WORD, number * vector.type.count)
            where = builder.bitcast(builder.gep(sums, [first]), vector.type.as_pointer())
            old = builder.load(where, align=tile.align)
            more = builder.icmp_signed("!=", accumulate, zero)
            old = builder.select(more, old, ir.Constant(vector.type, None))
            builder.store(add(builder, vector, old), where, align=tile.align)
        return context.get_dummy_value()

    words = types.UniTuple(types.intp, counts[0]), types.UniTuple(types.intp, counts[1])
    sizes = (types.intp,) * 3
    return types.void(sums, one, words[0], two, words[1], *sizes, lanes), emit


def _factors(builder: Builder, tile: Tile, vector: Value) -> list[Value]:
    """What rows are multiplied with, part by part: the vector and, of complex elements, that with
    the parts of each exchanged."""
    if tile.parts == 1:
        return [vector]
    return [vector, shuffled(builder, vector, vector, [i ^ 1 for i in range(2 * tile.lanes)])]


def _parts_of_sums(builder: Builder, tile: Tile, totals: list[Value]) -> list[Value]:
    """Vectors whose lanes add up to the parts of sums: of complex ones the real part is that of
    real parts less that of imaginary parts."""
    if tile.parts == 1:
        return totals
    signs = ir.Constant(tile.vector, [1.0, -1.0] * tile.lanes)
    return [v if i % 2 else builder.fmul(v, signs) for i, v in enumerate(totals)]


@intrinsic(prefer_literal=True)
def add_rows(
    typingctx: Any, sums: Any, one: Any, rows: Any, factors: Any, n: Any, lanes: Any
) -> Any:
    """Add to `sums[k]`, for each k < n, the sum over a of the tuple `rows` of `one[a + k]` times
    the factor that belongs to that row, if there are any; `sums` has room for whole vectors. The
    real and the imaginary part of a complex factor are each multiplied with a vector as it lies:
    that the sums of the latter are turned by i, once for all rows, is the only shuffle there is."""
    tile, number = Tile(one.dtype, lanes.literal_value, 1, 1), len(rows)
    multiplies = not isinstance(factors, types.IntegerLiteral)

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        sums, one, rows, factors, n = args[:5]
        places = [builder.gep(one, [at]) for at in cgutils.unpack_tuple(builder, rows, number)]
        held = []
        if multiplies:
            kind, width = signature.args[3][0], tile.vector.count
            held = [
                [splat(builder, part, width) for part in _parts(context, builder, kind, factor)]
                for factor in cgutils.unpack_tuple(builder, factors, number)
            ]

        def add_vectors(k: Value, mask: Value | None) -> None:
            where = vector_at(builder, tile, builder.gep(sums, [k]), 0)
            totals = [builder.load(where, align=tile.align)]
            totals += [ir.Constant(tile.vector, None)] * (tile.parts - 1)
            for place, parts in itertools.zip_longest(places, held):
                vector = load_vector(builder, tile, builder.gep(place, [k]), 0, mask)
                if parts is None:
                    totals[0] = add(builder, totals[0], vector)
                    continue
                totals = [
                    multiply_add(builder, part, vector, total)
                    for part, total in zip(parts, totals, strict=True)
                ]
            builder.store(joined(builder, totals), where, align=tile.align)

        zero, step = ir.Constant(WORD, 0), ir.Constant(WORD, tile.lanes)
        end = builder.sub(n, builder.urem(n, step))
        with cgutils.for_range_slice(builder, zero, end, step) as (k, _):
            add_vectors(k, None)
        with builder.if_then(builder.icmp_signed("<", end, n)):
            add_vectors(end, mask_of(builder, tile, builder.sub(n, end)))
        return context.get_dummy_value()

    by = types.UniTuple(one.dtype, number) if multiplies else factors
    places = types.UniTuple(types.intp, number)
    return types.void(sums, one, places, by, types.intp, lanes), emit


def _parts(context: Any, builder: Builder, kind: Any, value: Value) -> list[Value]:
    """The parts of an element that is in a register."""
    if not isinstance(kind, types.Complex):
        return [value]
    number = context.make_complex(builder, kind, value)
    return [number.real, number.imag]
