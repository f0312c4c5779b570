"""What microkernels and packing are written in: vectors and tiles of them in registers.

Generated source names tiles like any variable; LLVM keeps every vector of them in a register.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from einjit.kernel.lanes import (
    INDEX,
    WORD,
    Builder,
    Tile,
    Value,
    add,
    joined,
    load_vector,
    mask_of,
    multiply_add,
    over_rows,
    part_of,
    splat,
    store_rows,
    transposed,
    vector_at,
)

NEAR = 3
"""How near prefetched lines are kept, as LLVM counts: 3 is every cache, 2 from the L2 cache on."""


@intrinsic(prefer_literal=True)
def load(typingctx: Any, place: Any, at: Any, vectors: Any, lanes: Any) -> Any:
    """The vectors that lie side by side from `place[at]` on: a tile of one row."""
    tile = Tile(place.dtype, lanes.literal_value, 1, vectors.literal_value)

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        row = ir.Constant(context.get_value_type(tile), ir.Undefined)
        first = builder.gep(args[0], [args[1]])
        for v in range(tile.vectors):
            row = builder.insert_value(row, load_vector(builder, tile, first, v), v)
        return row

    return tile(place, types.intp, vectors, lanes), emit


@intrinsic(prefer_literal=True)
def load_first(typingctx: Any, place: Any, at: Any, vectors: Any, n: Any, lanes: Any) -> Any:
    """The same where the last vector has only its first `n` elements, the others being 0: nothing
    behind them is touched."""
    tile = Tile(place.dtype, lanes.literal_value, 1, vectors.literal_value)

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        row = ir.Constant(context.get_value_type(tile), ir.Undefined)
        first = builder.gep(args[0], [args[1]])
        mask = mask_of(builder, tile, args[3])
        for v in range(tile.vectors):
            row = builder.insert_value(row, load_vector(builder, tile, first, v, mask), v)
        return row

    return tile(place, types.intp, vectors, types.intp, lanes), emit


@intrinsic(prefer_literal=True)
def product(
    typingctx: Any,
    one: Any,
    at: Any,
    row: Any,
    step: Any,
    two: Any,
    from_: Any,
    down: Any,
    depth: Any,
    rows: Any,
    vectors: Any,
    lanes: Any,
) -> Any:
    """The sum of `depth` outer products: a tile whose row r is the sum over k of
    `one[at + r * row + k * step]` times the vectors from `two[from_ + k * down]` on."""
    tile = Tile(two.dtype, lanes.literal_value, rows.literal_value, vectors.literal_value)

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        one, at, row, step, two, from_, down, depth = args[:8]
        zero, single = ir.Constant(WORD, 0), ir.Constant(WORD, 1)
        before = builder.block
        loop, behind = (builder.append_basic_block(name) for name in ("depth", "behind"))
        places = builder.gep(one, [at]), builder.gep(two, [from_])
        builder.branch(loop)
        builder.position_at_end(loop)
        k = builder.phi(WORD)
        factors, vectors_at = (builder.phi(place.type) for place in places)
        sums = [builder.phi(tile.vector) for _ in range(tile.rows * tile.vectors * tile.parts)]
        for phi, start in zip((k, factors, vectors_at), (zero, *places), strict=True):
            phi.add_incoming(start, before)
        for total in sums:
            total.add_incoming(ir.Constant(tile.vector, None), before)
        loaded = [load_vector(builder, tile, vectors_at, v) for v in range(tile.vectors)]
        place = factors
        made: list[Value] = []
        for r in range(tile.rows):
            for part in range(tile.parts):
                value = builder.load(part_of(builder, tile, place, part))
                factor = splat(builder, value, tile.vector.count)
                for vector in loaded:
                    made.append(multiply_add(builder, factor, vector, sums[len(made)]))
            if r + 1 < tile.rows:
                place = builder.gep(place, [row])
        after = builder.add(k, single)
        k.add_incoming(after, loop)
        factors.add_incoming(builder.gep(factors, [step]), loop)
        vectors_at.add_incoming(builder.gep(vectors_at, [down]), loop)
        for total, new in zip(sums, made, strict=True):
            total.add_incoming(new, loop)
        builder.cbranch(builder.icmp_signed("<", after, depth), loop, behind)
        builder.position_at_end(behind)
        result = ir.Constant(context.get_value_type(tile), ir.Undefined)
        for r in range(tile.rows):
            for v in range(tile.vectors):
                first = r * tile.vectors * tile.parts + v
                parts = made[first : first + tile.vectors * tile.parts : tile.vectors]
                whole = joined(builder, parts)
                result = builder.insert_value(result, whole, tile.position(r, v))
        return result

    words = (types.intp,) * 3
    return tile(one, *words, two, *words[:2], types.intp, rows, vectors, lanes), emit


@intrinsic
def update(
    typingctx: Any, tile: Any, place: Any, at: Any, stride: Any, last: Any, accumulate: Any
) -> Any:
    """Write the rows of a tile `stride` elements apart, or add them with `accumulate`; of a row's
    last vector only the first `last` elements, where it has more."""

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        mask = mask_of(builder, tile, args[4])

        def plus(vector: Value, place: Value, v: int) -> Value:
            return add(builder, vector, load_vector(builder, tile, place, v, mask))

        total = cgutils.alloca_once_value(builder, args[0])
        with builder.if_then(builder.icmp_signed("!=", args[5], ir.Constant(WORD, 0))):
            builder.store(over_rows(builder, tile, args, plus), total)
        rows = [builder.load(total), *args[1:]]
        whole = builder.icmp_signed(">=", args[4], ir.Constant(WORD, tile.lanes))
        with builder.if_else(whole) as (then, otherwise):
            with then:
                store_rows(builder, tile, rows, None)
            with otherwise:
                store_rows(builder, tile, rows, mask)
        return context.get_dummy_value()

    return types.void(tile, place, *(types.intp,) * 4), emit


@intrinsic
def prefetch(typingctx: Any, place: Any, at: Any) -> Any:
    """Ask for the cache line of `place[at]`, which will be read soon."""

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, INDEX, INDEX, INDEX])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        options = [ir.Constant(INDEX, value) for value in (0, NEAR, 1)]  # read, where to, data
        address = builder.bitcast(builder.gep(args[0], [args[1]]), byte)
        builder.call(function, [address, *options])
        return context.get_dummy_value()

    return types.void(place, types.intp), emit


@intrinsic
def store(typingctx: Any, tile: Any, place: Any, at: Any) -> Any:
    """Write a tile of one row from `place[at]` on."""

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        store_rows(builder, tile, args, None)
        return context.get_dummy_value()

    return types.void(tile, place, types.intp), emit


@intrinsic
def store_first(typingctx: Any, tile: Any, place: Any, at: Any, n: Any) -> Any:
    """The same, of the last vector only its first `n` elements."""

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        store_rows(builder, tile, args, mask_of(builder, tile, args[3]))
        return context.get_dummy_value()

    return types.void(tile, place, types.intp, types.intp), emit


@intrinsic(prefer_literal=True)
def transpose(
    typingctx: Any,
    to: Any,
    at: Any,
    to_stride: Any,
    source: Any,
    from_: Any,
    stride: Any,
    lanes: Any,
) -> Any:
    """Write a block of lanes × lanes transposed: `to[at + j * to_stride + i]` is
    `source[from_ + i * stride + j]`."""
    tile = Tile(to.dtype, lanes.literal_value, lanes.literal_value, 1)

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        target, at, to_stride, source, from_, stride, _ = args
        place = builder.gep(source, [from_])
        rows = []
        for i in range(tile.lanes):
            rows.append(load_vector(builder, tile, place, 0))
            if i + 1 < tile.lanes:
                place = builder.gep(place, [stride])
        place = builder.gep(target, [at])
        for i, row in enumerate(transposed(builder, rows, tile)):
            builder.store(row, vector_at(builder, tile, place, 0), align=tile.align)
            if i + 1 < tile.lanes:
                place = builder.gep(place, [to_stride])
        return context.get_dummy_value()

    words = (types.intp, types.intp)
    return types.void(to, *words, source, *words, lanes), emit
