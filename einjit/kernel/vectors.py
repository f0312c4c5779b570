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

NEAR = 3
"""How near prefetched lines are kept, as LLVM counts: 3 is every cache, 2 from the L2 cache on."""

Builder = Any
Value = Any


class Tile(types.Type):  # type: ignore[misc]
    """The type of rows × vectors of `lanes` elements; a complex one takes two parts of a vector."""

    def __init__(self, kind: Any, lanes: int, rows: int, vectors: int) -> None:
        self.kind, self.lanes, self.rows, self.vectors = kind, lanes, rows, vectors
        super().__init__(name=f"Tile({kind}, {lanes}, {rows}, {vectors})")

    @property
    def parts(self) -> int:
        """Parts of an element."""
        return 2 if isinstance(self.kind, types.Complex) else 1

    @property
    def vector(self) -> Any:
        """LLVM's type of one vector."""
        return ir.VectorType(_part(self.kind), self.lanes * self.parts)

    @property
    def align(self) -> int:
        """Bytes that vectors in memory are aligned to: those of a part."""
        return int(self.kind.bitwidth) // 8 // self.parts

    def position(self, row: int, vector: int) -> int:
        """Where a vector lies in the tile."""
        return row * self.vectors + vector


@register_model(Tile)
class _TileModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, tile: Tile) -> None:
        super().__init__(manager, tile, ir.ArrayType(tile.vector, tile.rows * tile.vectors))


def _part(kind: Any) -> Any:
    """LLVM's type of an element's parts."""
    if isinstance(kind, types.Complex):
        kind = kind.underlying_float
    if isinstance(kind, types.Float):
        return ir.DoubleType() if kind.bitwidth == 64 else ir.FloatType()
    return ir.IntType(kind.bitwidth)


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
def load_first(typingctx: Any, place: Any, at: Any, vectors: Any, n: Any, lanes: Any) -> Any:
    """The same where the last vector has only its first `n` elements, the others being 0: nothing
    behind them is touched."""
    tile = Tile(place.dtype, lanes.literal_value, 1, vectors.literal_value)

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        row = ir.Constant(context.get_value_type(tile), ir.Undefined)
        first = builder.gep(args[0], [args[1]])
        mask = _mask(builder, tile, args[3])
        for v in range(tile.vectors):
            row = builder.insert_value(row, _load(builder, tile, first, v, mask), v)
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
        loaded = [_load(builder, tile, vectors_at, v) for v in range(tile.vectors)]
        place = factors
        made: list[Value] = []
        for r in range(tile.rows):
            for part in range(tile.parts):
                value = builder.load(_part_of(builder, tile, place, part))
                factor = _splat(builder, value, tile.vector.count)
                for vector in loaded:
                    made.append(_multiply_add(builder, factor, vector, sums[len(made)]))
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
                whole = _joined(builder, parts)
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
        mask = _mask(builder, tile, args[4])

        def plus(vector: Value, place: Value, v: int) -> Value:
            return _add(builder, vector, _load(builder, tile, place, v, mask))

        total = cgutils.alloca_once_value(builder, args[0])
        with builder.if_then(builder.icmp_signed("!=", args[5], ir.Constant(WORD, 0))):
            builder.store(_over_rows(builder, tile, args, plus), total)
        rows = [builder.load(total), *args[1:]]
        whole = builder.icmp_signed(">=", args[4], ir.Constant(WORD, tile.lanes))
        with builder.if_else(whole) as (then, otherwise):
            with then:
                _store_rows(builder, tile, rows, None)
            with otherwise:
                _store_rows(builder, tile, rows, mask)
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
        _store_rows(builder, tile, args, None)
        return context.get_dummy_value()

    return types.void(tile, place, types.intp), emit


@intrinsic
def store_first(typingctx: Any, tile: Any, place: Any, at: Any, n: Any) -> Any:
    """The same, of the last vector only its first `n` elements."""

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        _store_rows(builder, tile, args, _mask(builder, tile, args[3]))
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
            rows.append(_load(builder, tile, place, 0))
            if i + 1 < tile.lanes:
                place = builder.gep(place, [stride])
        place = builder.gep(target, [at])
        for i, row in enumerate(_transposed(builder, rows, tile)):
            builder.store(row, _vector_at(builder, tile, place, 0), align=tile.align)
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


def _store_rows(builder: Builder, tile: Tile, args: Any, mask: Value | None) -> None:
    """Write a tile's rows; the last vector of each under a mask if there is one."""

    def write(vector: Value, place: Value, v: int) -> Value:
        where, align = _vector_at(builder, tile, place, v), tile.align
        if mask is None or v + 1 < tile.vectors:
            builder.store(vector, where, align=align)
        else:
            function = _masked(builder, "store", tile)
            builder.call(function, [vector, where, ir.Constant(INDEX, align), mask])
        return vector

    _over_rows(builder, tile, args, write)


def _vector_at(builder: Builder, tile: Tile, place: Value, number: int) -> Value:
    """The address of a row's vector of this number."""
    if number:
        place = builder.gep(place, [ir.Constant(WORD, number * tile.lanes)])
    return builder.bitcast(place, tile.vector.as_pointer())


def _load(
    builder: Builder, tile: Tile, place: Value, number: int, mask: Value | None = None
) -> Value:
    """A row's vector of this number; the last one under a mask if there is one."""
    where = _vector_at(builder, tile, place, number)
    if mask is None or number + 1 < tile.vectors:
        return builder.load(where, align=tile.align)
    align, zero = ir.Constant(INDEX, tile.align), ir.Constant(tile.vector, None)
    return builder.call(_masked(builder, "load", tile), [where, align, mask, zero])


def _mask(builder: Builder, tile: Tile, n: Value) -> Value:
    """The first `n` elements of a vector."""
    lanes = tile.lanes * tile.parts
    numbers = ir.Constant(ir.VectorType(INDEX, lanes), [i // tile.parts for i in range(lanes)])
    limit = _splat(builder, builder.trunc(n, INDEX), lanes)
    return builder.icmp_signed("<", numbers, limit)


def _masked(builder: Builder, what: str, tile: Tile) -> Value:
    vector = tile.vector
    mask, pointer = ir.VectorType(ir.IntType(1), vector.count), vector.as_pointer()
    name = f"llvm.masked.{what}.v{vector.count}{_suffix(vector.element)}.p0"
    if what == "load":
        kind = ir.FunctionType(vector, [pointer, INDEX, mask, vector])
    else:
        kind = ir.FunctionType(ir.VoidType(), [vector, pointer, INDEX, mask])
    return cgutils.get_or_insert_function(builder.module, kind, name)


def _suffix(element: Any) -> str:
    """How LLVM's names of functions write a type."""
    if isinstance(element, ir.IntType):
        return f"i{element.width}"
    return "f64" if isinstance(element, ir.DoubleType) else "f32"


def _part_of(builder: Builder, tile: Tile, place: Value, part: int) -> Value:
    """The address of an element's part."""
    if tile.parts == 1:
        return place
    place = builder.bitcast(place, tile.vector.element.as_pointer())
    return builder.gep(place, [ir.Constant(WORD, part)])


def _joined(builder: Builder, parts: list[Value]) -> Value:
    """The sums of products, out of those with each part of the factors.

    A complex factor's real part times (re, im), and its imaginary part times the same: the second
    is turned by i, to (-im, re), and added.
    """
    if len(parts) == 1:
        return parts[0]
    real, imaginary = parts
    lanes = real.type.count
    turned = _shuffled(builder, imaginary, imaginary, [i ^ 1 for i in range(lanes)])
    signs = ir.Constant(real.type, [-1.0 if i % 2 == 0 else 1.0 for i in range(lanes)])
    return _multiply_add(builder, signs, turned, real)


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
        name = f"llvm.fma.v{kind.count}{_suffix(kind.element)}"
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind] * 3), name
        )
        return builder.call(function, [one, two, total])
    return builder.add(total, builder.mul(one, two))


def _transposed(builder: Builder, rows: list[Value], tile: Tile) -> list[Value]:
    """The rows of the transposed block: in each round, halves of growing size change places."""
    width = 1
    while width < tile.lanes:
        low, high = [], []
        for i in range(tile.lanes):
            turn = (i // width) % 2
            low.append(i - width + tile.lanes if turn else i)
            high.append(i + tile.lanes if turn else i + width)
        low, high = (
            [i * tile.parts + part for i in lanes for part in range(tile.parts)]
            for lanes in (low, high)
        )
        made = list(rows)
        for i in range(tile.lanes):
            if not i & width:
                one, two = rows[i], rows[i | width]
                made[i] = _shuffled(builder, one, two, low)
                made[i | width] = _shuffled(builder, one, two, high)
        rows = made
        width *= 2
    return rows
