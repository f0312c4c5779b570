"""Products that are written past the caches: vectors of elements, and whole lines of memory."""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from einjit.kernel.lanes import (
    WORD,
    Builder,
    Tile,
    Value,
    elements_to_line,
    filled,
    least,
    load_vector,
    mask_of,
    multiplied_by,
    store_line,
    store_rows,
    vector_at,
)


@intrinsic
def to_line(typingctx: Any, place: Any, at: Any) -> Any:
    """How many elements lie before the next start of a cache line, from `place[at]` on."""

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        size = context.get_abi_sizeof(context.get_value_type(place.dtype))
        return elements_to_line(builder, builder.gep(args[0], [args[1]]), size)

    return types.intp(place, types.intp), emit


@intrinsic(prefer_literal=True)
def fill(typingctx: Any, value: Any, lanes: Any) -> Any:
    """A tile of one vector, all of whose elements are a value."""
    tile = Tile(value, lanes.literal_value, 1, 1)

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        parts = [args[0]]
        if tile.parts == 2:
            number = context.make_complex(builder, value, args[0])
            parts = [number.real, number.imag]
        vector = filled(builder, parts, tile.lanes)
        return builder.insert_value(
            ir.Constant(context.get_value_type(tile), ir.Undefined), vector, 0
        )

    return tile(value, lanes), emit


@intrinsic
def multiplied(typingctx: Any, one: Any, two: Any) -> Any:
    """The products of the elements of two tiles of one vector, each added to 0: none is -0.0."""

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        vectors = [builder.extract_value(arg, 0) for arg in args]
        return builder.insert_value(args[0], multiplied_by(builder, one, *vectors), 0)

    return one(one, two), emit


@intrinsic
def store_past(typingctx: Any, tile: Any, place: Any, at: Any) -> Any:
    """Write a tile of one vector past the caches; it begins where a vector of memory does.
    `settle` ends it."""

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        where = vector_at(builder, tile, builder.gep(args[1], [args[2]]), 0)
        store_line(builder, tile, builder.extract_value(args[0], 0), where)
        return context.get_dummy_value()

    return types.void(tile, place, types.intp), emit


@intrinsic(prefer_literal=True)
def stream(typingctx: Any, source: Any, from_: Any, place: Any, at: Any, n: Any, lanes: Any) -> Any:
    """Copy `n` elements to where they will not be read soon: whole cache lines of memory are
    written past the caches, what lies before and behind them as usual. `settle` ends it."""
    tile = Tile(place.dtype, lanes.literal_value, 1, 1)

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        source, from_, place, at, n, _ = args
        read, written = builder.gep(source, [from_]), builder.gep(place, [at])
        step, zero = ir.Constant(WORD, tile.lanes), ir.Constant(WORD, 0)
        size = tile.align * tile.parts
        before = least(builder, elements_to_line(builder, written, size), n)

        def copy(first: Value, number: Value) -> None:
            """Fewer elements than a vector has."""
            mask = mask_of(builder, tile, number)
            vector = load_vector(builder, tile, builder.gep(read, [first]), 0, mask)
            row = ir.Constant(context.get_value_type(tile), ir.Undefined)
            row = builder.insert_value(row, vector, 0)
            store_rows(builder, tile, [row, written, first], mask)

        with cgutils.for_range_slice(builder, zero, before, step) as (first, _):
            copy(first, builder.sub(before, first))
        whole = builder.sub(builder.sub(n, before), builder.urem(builder.sub(n, before), step))
        end = builder.add(before, whole)
        with cgutils.for_range_slice(builder, before, end, step) as (first, _):
            vector = load_vector(builder, tile, builder.gep(read, [first]), 0)
            where = vector_at(builder, tile, builder.gep(written, [first]), 0)
            store_line(builder, tile, vector, where)
        with builder.if_then(builder.icmp_signed("<", end, n)):
            copy(end, builder.sub(n, end))
        return context.get_dummy_value()

    return types.void(source, types.intp, place, types.intp, types.intp, lanes), emit


@intrinsic
def settle(typingctx: Any) -> Any:
    """Wait until what was streamed is where other threads see it."""

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), emit
