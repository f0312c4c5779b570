"""Vectors and tiles of them in registers: what the microkernels and the packing are written in.

A `Tile` holds rows × vectors, each vector as many lanes as the target has for the element type.
Generated source names tiles like any variable; LLVM keeps every vector of them in a register.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

WORD = ir.IntType(64)
INDEX = ir.IntType(32)

Builder = Any
Value = Any


class Tile(types.Type):  # type: ignore[misc]
    """The type of rows × vectors of elements."""

    def __init__(self, kind: Any, lanes: int, rows: int, vectors: int) -> None:
        self.kind, self.lanes, self.rows, self.vectors = kind, lanes, rows, vectors
        super().__init__(name=f"Tile({kind}, {lanes}, {rows}, {vectors})")

    @property
    def vector(self) -> Any:
        """LLVM's type of one vector."""
        return ir.VectorType(_element(self.kind), self.lanes)

    def position(self, row: int, vector: int) -> int:
        """Where a vector lies in the tile."""
        return row * self.vectors + vector


@register_model(Tile)
class _TileModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, tile: Tile) -> None:
        super().__init__(manager, tile, ir.ArrayType(tile.vector, tile.rows * tile.vectors))


def _element(kind: Any) -> Any:
    if isinstance(kind, types.Float):
        return ir.DoubleType() if kind.bitwidth == 64 else ir.FloatType()
    return ir.IntType(kind.bitwidth)


def _bytes(kind: Any) -> int:
    return int(kind.bitwidth) // 8


@intrinsic(prefer_literal=True)
def zeros(typingctx: Any, rows: Any, vectors: Any, lanes: Any, kind: Any) -> Any:
    """A tile of zeros."""
    tile = Tile(kind.dtype, lanes.literal_value, rows.literal_value, vectors.literal_value)

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        return ir.Constant(context.get_value_type(tile), None)

    return tile(rows, vectors, lanes, kind), emit


@intrinsic(prefer_literal=True)
def load(typingctx: Any, place: Any, at: Any, vectors: Any, lanes: Any) -> Any:
    """The vectors that lie side by side from `place[at]` on: a tile of one row."""
    tile = Tile(place.dtype, lanes.literal_value, 1, vectors.literal_value)

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        row = ir.Constant(context.get_value_type(tile), ir.Undefined)
        first = builder.gep(args[0], [args[1]])
        for v in range(tile.vectors):
            row = builder.insert_value(row, _load(builder, tile, first, v), v)
        return row

    return tile(place, types.intp, vectors, lanes), emit


@intrinsic(prefer_literal=True)
def load_first(typingctx: Any, place: Any, at: Any, n: Any, lanes: Any) -> Any:
    """The first `n` elements of a vector, the others 0: nothing behind them is touched."""
    tile = Tile(place.dtype, lanes.literal_value, 1, 1)

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        row = ir.Constant(context.get_value_type(tile), ir.Undefined)
        first = builder.gep(args[0], [args[1]])
        loaded = _load_first(builder, tile, first, _mask(builder, tile.lanes, args[2]))
        return builder.insert_value(row, loaded, 0)

    return tile(place, types.intp, types.intp, lanes), emit


@intrinsic
def multiply_add(
    typingctx: Any, tile: Any, place: Any, at: Any, stride: Any, row: Any
) -> Any:
    """The tile plus an outer product: `tile[r] += place[at + r * stride] * row`."""

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        total, _, _, step, vectors = args
        made = total
        place = builder.gep(args[1], [args[2]])
        for r in range(tile.rows):
            factor = _splat(builder, builder.load(place), tile.lanes)
            for v in range(tile.vectors):
                p = tile.position(r, v)
                added = _multiply_add(
                    builder,
                    factor,
                    builder.extract_value(vectors, v),
                    builder.extract_value(total, p),
                )
                made = builder.insert_value(made, added, p)
            if r + 1 < tile.rows:
                place = builder.gep(place, [step])
        return made

    return tile(tile, place, types.intp, types.intp, row), emit


@intrinsic
def add(typingctx: Any, tile: Any, place: Any, at: Any, stride: Any) -> Any:
    """The tile plus rows that lie `stride` elements apart in memory."""

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        def plus(vector: Value, place: Value, v: int) -> Value:
            return _add(builder, vector, _load(builder, tile, place, v))

        return _over_rows(builder, tile, args, plus)

    return tile(tile, place, types.intp, types.intp), emit


@intrinsic
def add_first(typingctx: Any, tile: Any, place: Any, at: Any, stride: Any, n: Any) -> Any:
    """The same for the first `n` lanes; nothing behind them is touched."""

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        mask = _mask(builder, tile.lanes, args[4])

        def plus(vector: Value, place: Value, v: int) -> Value:
            return _add(builder, vector, _load_first(builder, tile, place, mask))

        return _over_rows(builder, tile, args, plus)

    return tile(tile, place, types.intp, types.intp, types.intp), emit


@intrinsic(prefer_literal=True)
def prefetch(typingctx: Any, place: Any, at: Any, stride: Any, rows: Any) -> Any:
    """Ask for the lines where `rows` rows begin, `stride` elements apart: they will be written."""

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, INDEX, INDEX, INDEX])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        options = [ir.Constant(INDEX, value) for value in (0, 3, 1)]  # read, keep near, data
        address = builder.gep(args[0], [args[1]])
        for r in range(rows.literal_value):
            builder.call(function, [builder.bitcast(address, byte), *options])
            if r + 1 < rows.literal_value:
                address = builder.gep(address, [args[2]])
        return context.get_dummy_value()

    return types.void(place, types.intp, types.intp, rows), emit


@intrinsic
def store(typingctx: Any, tile: Any, place: Any, at: Any, stride: Any) -> Any:
    """Write the rows of a tile, `stride` elements apart, from `place[at]` on."""

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        def write(vector: Value, place: Value, v: int) -> Value:
            builder.store(vector, _vector_at(builder, tile, place, v), align=_bytes(tile.kind))
            return vector

        _over_rows(builder, tile, args, write)
        return context.get_dummy_value()

    return types.void(tile, place, types.intp, types.intp), emit


@intrinsic
def store_first(typingctx: Any, tile: Any, place: Any, at: Any, stride: Any, n: Any) -> Any:
    """The same for the first `n` lanes; nothing behind them is touched."""

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        mask = _mask(builder, tile.lanes, args[4])

        def write(vector: Value, place: Value, v: int) -> Value:
            where = _vector_at(builder, tile, place, v)
            function = _masked(builder, "store", tile)
            builder.call(function, [vector, where, ir.Constant(INDEX, _bytes(tile.kind)), mask])
            return vector

        _over_rows(builder, tile, args, write)
        return context.get_dummy_value()

    return types.void(tile, place, types.intp, types.intp, types.intp), emit


@intrinsic(prefer_literal=True)
def transpose(
    typingctx: Any, to: Any, at: Any, to_stride: Any, source: Any, from_: Any, stride: Any, lanes: Any
) -> Any:
    """Write a block of lanes × lanes transposed: `to[at + j * to_stride + i]` is
    `source[from_ + i * stride + j]`."""
    tile = Tile(to.dtype, lanes.literal_value, lanes.literal_value, 1)

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        target, at, to_stride, source, from_, stride, _ = args
        place = builder.gep(source, [from_])
        rows = []
        for i in range(tile.lanes):
            rows.append(_load(builder, tile, place, 0))
            if i + 1 < tile.lanes:
                place = builder.gep(place, [stride])
        place = builder.gep(target, [at])
        for i, row in enumerate(_transposed(builder, rows, tile.lanes)):
            builder.store(row, _vector_at(builder, tile, place, 0), align=_bytes(tile.kind))
            if i + 1 < tile.lanes:
                place = builder.gep(place, [to_stride])
        return context.get_dummy_value()

    words = (types.intp, types.intp)
    return types.void(to, *words, source, *words, lanes), emit


# ---------------------------------------------------------------- LLVM


def _over_rows(
    builder: Builder, tile: Tile, args: Any, change: Callable[[Value, Value, int], Value]
) -> Value:
    """A tile whose vectors are `change(vector, the row's place, vector's number)`."""
    made = args[0]
    place = builder.gep(args[1], [args[2]])
    for r in range(tile.rows):
        for v in range(tile.vectors):
            p = tile.position(r, v)
            made = builder.insert_value(made, change(builder.extract_value(made, p), place, v), p)
        if r + 1 < tile.rows:
            place = builder.gep(place, [args[3]])
    return made


def _vector_at(builder: Builder, tile: Tile, place: Value, number: int) -> Value:
    """The address of a row's vector of this number."""
    if number:
        place = builder.gep(place, [ir.Constant(WORD, number * tile.lanes)])
    return builder.bitcast(place, tile.vector.as_pointer())


def _load(builder: Builder, tile: Tile, place: Value, number: int) -> Value:
    return builder.load(_vector_at(builder, tile, place, number), align=_bytes(tile.kind))


def _load_first(builder: Builder, tile: Tile, place: Value, mask: Value) -> Value:
    function = _masked(builder, "load", tile)
    zero = ir.Constant(tile.vector, None)
    align = ir.Constant(INDEX, _bytes(tile.kind))
    return builder.call(function, [_vector_at(builder, tile, place, 0), align, mask, zero])


def _mask(builder: Builder, lanes: int, n: Value) -> Value:
    """The lanes below `n`."""
    numbers = ir.Constant(ir.VectorType(INDEX, lanes), list(range(lanes)))
    limit = _splat(builder, builder.trunc(n, INDEX), lanes)
    return builder.icmp_signed("<", numbers, limit)


def _masked(builder: Builder, what: str, tile: Tile) -> Value:
    vector, mask = tile.vector, ir.VectorType(ir.IntType(1), tile.lanes)
    pointer = vector.as_pointer()
    name = f"llvm.masked.{what}.v{tile.lanes}{_suffix(tile.kind)}.p0"
    if what == "load":
        kind = ir.FunctionType(vector, [pointer, INDEX, mask, vector])
    else:
        kind = ir.FunctionType(ir.VoidType(), [vector, pointer, INDEX, mask])
    return cgutils.get_or_insert_function(builder.module, kind, name)


def _suffix(kind: Any) -> str:
    return f"{'f' if isinstance(kind, types.Float) else 'i'}{kind.bitwidth}"


def _splat(builder: Builder, value: Value, lanes: int) -> Value:
    vector = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    vector = builder.insert_element(vector, value, ir.Constant(INDEX, 0))
    return _shuffled(builder, vector, vector, [0] * lanes)


def _shuffled(builder: Builder, one: Value, two: Value, lanes: list[int]) -> Value:
    numbers = ir.Constant(ir.VectorType(INDEX, len(lanes)), lanes)
    return builder.shuffle_vector(one, two, numbers)


def _is_float(vector: Value) -> bool:
    return isinstance(vector.type.element, ir.FloatType | ir.DoubleType)


def _add(builder: Builder, one: Value, two: Value) -> Value:
    return builder.fadd(one, two) if _is_float(one) else builder.add(one, two)


def _multiply_add(builder: Builder, one: Value, two: Value, total: Value) -> Value:
    if _is_float(one):
        kind = one.type
        bits = 64 if isinstance(kind.element, ir.DoubleType) else 32
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind] * 3), f"llvm.fma.v{kind.count}f{bits}"
        )
        return builder.call(function, [one, two, total])
    return builder.add(total, builder.mul(one, two))


def _transposed(builder: Builder, rows: list[Value], lanes: int) -> list[Value]:
    """The rows of the transposed block: in each round, halves of growing size change places."""
    width = 1
    while width < lanes:
        low, high = [], []
        for i in range(lanes):
            turn = (i // width) % 2
            low.append(i - width + lanes if turn else i)
            high.append(i + lanes if turn else i + width)
        made = list(rows)
        for i in range(lanes):
            if not i & width:
                one, two = rows[i], rows[i | width]
                made[i] = _shuffled(builder, one, two, low)
                made[i | width] = _shuffled(builder, one, two, high)
        rows = made
        width *= 2
    return rows
