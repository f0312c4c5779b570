"""Blocks of a matrix, transposed in registers on their way from one memory to another."""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from einjit.kernel.lanes import (
    WORD,
    Builder,
    Tile,
    Value,
    least,
    load_vector,
    mask_of,
    row_at,
    store_line,
    store_masked,
    transposed,
    vector_at,
)


@intrinsic(prefer_literal=True)
def transpose_rows(
    typingctx: Any,
    to: Any,
    at: Any,
    to_rows: Any,
    source: Any,
    from_: Any,
    rows: Any,
    lanes: Any,
) -> Any:
    """Write a block of lanes × lanes transposed, of rows that lie anywhere:
    `to[at + to_rows[j] + i]` is `source[from_ + rows[i] + j]`."""
    tile = Tile(to.dtype, lanes.literal_value, lanes.literal_value, 1)

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        target, at, to_rows, source, from_, rows, _ = args

        def row(memory: Value, first: Value, places: Value, i: int) -> Value:
            place = builder.load(builder.gep(places, [ir.Constant(WORD, i)]))
            return builder.gep(memory, [builder.add(first, place)])

        read = [
            load_vector(builder, tile, row(source, from_, rows, i), 0) for i in range(tile.lanes)
        ]
        for j, vector in enumerate(transposed(builder, read, tile)):
            where = vector_at(builder, tile, row(target, at, to_rows, j), 0)
            builder.store(vector, where, align=tile.align)
        return context.get_dummy_value()

    places = types.CPointer(types.int64)
    return types.void(to, types.intp, places, source, types.intp, places, lanes), emit


@intrinsic(prefer_literal=True)
def turn(
    typingctx: Any,
    to: Any,
    at: Any,
    to_stride: Any,
    source: Any,
    from_: Any,
    stride: Any,
    rows: Any,
    columns: Any,
    past: Any,
    lanes: Any,
) -> Any:
    """Write the first `rows` × `columns` of a block of lanes × lanes transposed, and nothing else:
    `to[at + j * to_stride + i]` is `source[from_ + i * stride + j]`.

    With `past` a whole block begins at a vector's place in each row that is written, and goes past
    the caches; `settle` ends it.
    """
    tile = Tile(to.dtype, lanes.literal_value, lanes.literal_value, 1)

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        target, at, to_stride, source, from_, stride, n_rows, n_columns, _, _ = args
        read, written = builder.gep(source, [from_]), builder.gep(target, [at])

        def where(number: int) -> Value:
            return vector_at(builder, tile, row_at(builder, written, number, to_stride), 0)

        lanes = ir.Constant(WORD, tile.lanes)
        whole = builder.icmp_signed(">=", least(builder, n_rows, n_columns), lanes)
        # Held for both, so that the shuffles, which LLVM takes long over, are there once.
        held = [cgutils.alloca_once(builder, tile.vector) for _ in range(tile.lanes)]
        with builder.if_else(whole) as (then, otherwise):
            with then:
                for row, place in zip(_rows_of(builder, tile, read, stride), held, strict=True):
                    builder.store(row, place)
            with otherwise:
                rows = _first_rows_of(builder, tile, read, stride, n_rows, n_columns)
                for row, place in zip(rows, held, strict=True):
                    builder.store(row, place)
        turned = transposed(builder, [builder.load(place) for place in held], tile)
        with builder.if_else(whole) as (then, otherwise):
            with then:
                for j, row in enumerate(turned):
                    if past.literal_value:
                        store_line(builder, tile, row, where(j))
                    else:
                        builder.store(row, where(j), align=tile.align)
            with otherwise:
                mask = mask_of(builder, tile, n_rows)
                for j, row in enumerate(turned):
                    number = ir.Constant(WORD, j)
                    with builder.if_then(builder.icmp_signed("<", number, n_columns)):
                        store_masked(builder, tile, row, where(j), mask)
        return context.get_dummy_value()

    words = (types.intp, types.intp)
    return types.void(to, *words, source, *words, *words, past, lanes), emit


def _rows_of(builder: Builder, tile: Tile, place: Value, stride: Value) -> list[Value]:
    return [
        load_vector(builder, tile, row_at(builder, place, i, stride), 0) for i in range(tile.lanes)
    ]


def _first_rows_of(
    builder: Builder, tile: Tile, place: Value, stride: Value, rows: Value, columns: Value
) -> list[Value]:
    """The rows of a block that is cut off: the last one again for those behind it."""
    mask = mask_of(builder, tile, columns)
    last = builder.sub(rows, ir.Constant(WORD, 1))
    read = []
    for i in range(tile.lanes):
        row = least(builder, ir.Constant(WORD, i), last)
        first = builder.gep(place, [builder.mul(row, stride)])
        read.append(load_vector(builder, tile, first, 0, mask))
    return read
