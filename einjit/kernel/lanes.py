"""Tiles of vectors in registers, and their instructions as LLVM has them.

A `Tile` holds rows × vectors, each vector as many lanes as the target has for the element type.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.extending import register_model

WORD = ir.IntType(64)

LINE = 64
"""Bytes of a cache line."""

NEVER = 1 << 40
"""More elements than there are."""

NEAR = 2
"""How near prefetched lines are kept, as LLVM counts: 3 is every cache, 2 from the L2 cache on."""

PIECE = 16
"""Bytes within which shuffles are fast on every CPU."""
INDEX = ir.IntType(32)

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

    def of(self, lanes: int) -> "Tile":
        """A single vector of so many lanes."""
        return Tile(self.kind, lanes, 1, 1)

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


def over_rows(
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


def store_rows(
    builder: Builder, tile: Tile, args: Any, mask: Value | None, past: bool = False
) -> None:
    """Write a tile's rows, `past` the caches or not; the last vector of each under a mask if there
    is one."""

    def write(vector: Value, place: Value, v: int) -> Value:
        where, align = vector_at(builder, tile, place, v), tile.align
        if past:
            store_line(builder, tile, vector, where)
        elif mask is None or v + 1 < tile.vectors:
            builder.store(vector, where, align=align)
        else:
            store_masked(builder, tile, vector, where, mask)
        return vector

    over_rows(builder, tile, args, write)


def store_masked(builder: Builder, tile: Tile, vector: Value, where: Value, mask: Value) -> None:
    """Write the elements of a vector that a mask has."""
    function = _masked(builder, "store", tile)
    builder.call(function, [vector, where, ir.Constant(INDEX, tile.align), mask])


def vector_at(builder: Builder, tile: Tile, place: Value, number: int) -> Value:
    """The address of a row's vector of this number."""
    if number:
        place = builder.gep(place, [ir.Constant(WORD, number * tile.lanes)])
    return builder.bitcast(place, tile.vector.as_pointer())


def row_at(builder: Builder, place: Value, number: int, stride: Value) -> Value:
    """The address of a row of this number, rows being `stride` elements apart."""
    return builder.gep(place, [builder.mul(ir.Constant(WORD, number), stride)])


def opaque(builder: Builder, place: Value) -> Value:
    """The same address, of which LLVM does not know that others are related to it."""
    kind = ir.FunctionType(place.type, [place.type])
    return builder.asm(kind, "", "=r,0", [place], False)


def least(builder: Builder, one: Value, two: Value) -> Value:
    """The smaller of two words."""
    return builder.select(builder.icmp_signed("<", one, two), one, two)


def ask_for(builder: Builder, place: Value) -> None:
    """Prefetch the cache line of an address."""
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, INDEX, INDEX, INDEX])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    options = [ir.Constant(INDEX, value) for value in (0, NEAR, 1)]  # read, where to, data
    builder.call(function, [builder.bitcast(place, byte), *options])


def line_of(tile: Tile) -> int:
    """Elements of a cache line."""
    return LINE // (tile.align * tile.parts)


def load_vector(
    builder: Builder, tile: Tile, place: Value, number: int, mask: Value | None = None
) -> Value:
    """A row's vector of this number; the last one under a mask if there is one."""
    where = vector_at(builder, tile, place, number)
    if mask is None or number + 1 < tile.vectors:
        return builder.load(where, align=tile.align)
    align, zero = ir.Constant(INDEX, tile.align), ir.Constant(tile.vector, None)
    return builder.call(_masked(builder, "load", tile), [where, align, mask, zero])


def mask_of(builder: Builder, tile: Tile, n: Value) -> Value:
    """The first `n` elements of a vector."""
    lanes = tile.lanes * tile.parts
    numbers = ir.Constant(ir.VectorType(INDEX, lanes), [i // tile.parts for i in range(lanes)])
    limit = splat(builder, builder.trunc(n, INDEX), lanes)
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


def part_of(builder: Builder, tile: Tile, place: Value, part: int) -> Value:
    """The address of an element's part."""
    if tile.parts == 1:
        return place
    place = builder.bitcast(place, tile.vector.element.as_pointer())
    return builder.gep(place, [ir.Constant(WORD, part)])


def joined(builder: Builder, parts: list[Value]) -> Value:
    """The sums of products, out of those with each part of the factors.

    A complex factor's real part times (re, im), and its imaginary part times the same: the second
    is turned by i, to (-im, re), and added.
    """
    if len(parts) == 1:
        return parts[0]
    real, imaginary = parts
    lanes = real.type.count
    turned = shuffled(builder, imaginary, imaginary, [i ^ 1 for i in range(lanes)])
    signs = ir.Constant(real.type, [-1.0 if i % 2 == 0 else 1.0 for i in range(lanes)])
    return multiply_add(builder, signs, turned, real)


def splat(builder: Builder, value: Value, lanes: int) -> Value:
    """A vector of one value in every lane."""
    vector = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    vector = builder.insert_element(vector, value, ir.Constant(INDEX, 0))
    return shuffled(builder, vector, vector, [0] * lanes)


def shuffled(builder: Builder, one: Value, two: Value, lanes: list[int]) -> Value:
    """The vector of these lanes of two vectors side by side."""
    numbers = ir.Constant(ir.VectorType(INDEX, len(lanes)), lanes)
    return builder.shuffle_vector(one, two, numbers)


def _is_float(vector: Value) -> bool:
    return isinstance(vector.type.element, ir.FloatType | ir.DoubleType)


def add(builder: Builder, one: Value, two: Value) -> Value:
    """The sum of two vectors."""
    return builder.fadd(one, two) if _is_float(one) else builder.add(one, two)


def summed(builder: Builder, vectors: list[Value]) -> list[Value]:
    """The sums of the lanes of each of these vectors, side by side in vectors.

    Pairs of vectors become one: even lanes plus odd ones, of one vector in the first half, of the
    other in the second. So all sums take as many additions as there are vectors.
    """
    lanes = vectors[0].type.count
    width = lanes  # of what is left of each sum
    while width > 1:
        if len(vectors) > 1 and lanes == vectors[0].type.count:
            pairs = list(zip(vectors[::2], vectors[1::2], strict=True))
            size = 2 * lanes
        else:  # more lanes than sums
            pairs = [(vector, vector) for vector in vectors]
            size = vectors[0].type.count
        vectors = [
            add(
                builder,
                shuffled(builder, one, two, list(range(0, size, 2))),
                shuffled(builder, one, two, list(range(1, size, 2))),
            )
            for one, two in pairs
        ]
        width //= 2
    return vectors


def multiply_add(builder: Builder, one: Value, two: Value, total: Value) -> Value:
    """Product and sum of vectors, floats rounded once; integers wrap around."""
    if _is_float(one):
        kind = one.type
        name = f"llvm.fma.v{kind.count}{_suffix(kind.element)}"
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind] * 3), name
        )
        return builder.call(function, [one, two, total])
    return builder.add(total, builder.mul(one, two))


def elements_to_line(builder: Builder, place: Value, size: int) -> Value:
    """How many elements of so many bytes lie before the next start of a cache line; NEVER where
    none begins there, as complex ones may that are aligned to their parts."""
    behind = builder.neg(builder.ptrtoint(place, WORD))
    behind = builder.and_(behind, ir.Constant(WORD, LINE - 1))
    number = builder.udiv(behind, ir.Constant(WORD, size))
    odd = builder.urem(behind, ir.Constant(WORD, size))
    never = ir.Constant(WORD, NEVER)
    return builder.select(builder.icmp_signed("==", odd, ir.Constant(WORD, 0)), number, never)


def is_in_lines(builder: Builder, tile: Tile, place: Value, stride: Value) -> Value:
    """Whether each of rows `stride` elements apart begins where a cache line does."""
    start, size = builder.ptrtoint(place, WORD), ir.Constant(WORD, tile.align * tile.parts)
    odd = builder.or_(start, builder.mul(stride, size))
    odd = builder.and_(odd, ir.Constant(WORD, LINE - 1))
    return builder.icmp_signed("==", odd, ir.Constant(WORD, 0))


def store_line(builder: Builder, tile: Tile, vector: Value, where: Value) -> None:
    """Write a vector past the caches, to where a vector of memory begins."""
    line = builder.store(vector, where, align=tile.align * vector.type.count)
    line.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(INDEX, 1)]))


def filled(builder: Builder, parts: list[Value], lanes: int) -> Value:
    """A vector of one value, given by its parts, in every lane."""
    vectors = [splat(builder, part, lanes * len(parts)) for part in parts]
    if len(parts) == 1:
        return vectors[0]
    real, imaginary = vectors
    by_turns = [i + i % 2 * 2 * lanes for i in range(2 * lanes)]
    return shuffled(builder, real, imaginary, by_turns)


def multiplied_by(builder: Builder, tile: Tile, one: Value, two: Value) -> Value:
    """The products of two vectors' elements, added to 0; of complex ones each product of parts is
    rounded, as in `intrinsics.times`."""
    if not _is_float(one):
        return builder.mul(one, two)
    zero = ir.Constant(one.type, None)
    if tile.parts == 1:
        return builder.fadd(builder.fmul(one, two), zero)
    lanes = range(2 * tile.lanes)
    real, imaginary = (
        shuffled(builder, two, two, [i // 2 * 2 + part for i in lanes]) for part in (0, 1)
    )
    turned = shuffled(builder, one, one, [i ^ 1 for i in lanes])
    signs = ir.Constant(one.type, [-1.0 if i % 2 == 0 else 1.0 for i in lanes])
    crossed = builder.fmul(builder.fmul(turned, imaginary), signs)
    return builder.fadd(builder.fadd(builder.fmul(one, real), crossed), zero)


def half_by_turns(lanes: int, piece: int, width: int, half: int) -> list[int]:
    """Of each piece of two vectors one half: blocks of `width` lanes, by turns of either."""
    return [
        start + block + which * lanes + i
        for start in range(0, lanes, piece)
        for block in range(half * piece // 2, (half + 1) * piece // 2, width)
        for which in (0, 1)
        for i in range(width)
    ]


def transposed(builder: Builder, rows: list[Value], tile: Tile) -> list[Value]:
    """The rows of the transposed block.

    Every round takes pairs of vectors to pairs of vectors: first, within the 16 bytes that
    shuffles are fast in, by interleaving; then whole pieces of 16 bytes, even ones apart from odd.
    """
    lanes = tile.lanes
    piece = min(lanes, max(1, PIECE // (tile.align * tile.parts)))

    def mixed(one: Value, two: Value, order: list[int]) -> Value:
        parts = range(tile.parts)
        return shuffled(builder, one, two, [i * tile.parts + part for i in order for part in parts])

    def every_other(first: int) -> list[int]:
        """Every other piece of one vector, and of the other."""
        starts = range(first * piece, 2 * lanes, 2 * piece)
        return [start + i for start in starts for i in range(piece)]

    def paired(vectors: list[list[Value]], low: list[int], high: list[int], stride: int) -> Any:
        """Pairs of each list's vectors; what the high order gives is `stride` lists behind."""
        made: list[list[Value]] = [[] for _ in range(2 * len(vectors))]
        for i, row in enumerate(vectors):
            at = (i, i + stride) if stride else (2 * i, 2 * i + 1)
            for one, two in zip(row[::2], row[1::2], strict=True):
                made[at[0]].append(mixed(one, two, low))
                made[at[1]].append(mixed(one, two, high))
        return made

    columns: list[Value] = [None] * lanes
    grouped = []
    for start in range(0, lanes, piece):
        vectors, width = [rows[start : start + piece]], 1
        while width < piece:
            low, high = (half_by_turns(lanes, piece, width, half) for half in (0, 1))
            vectors = paired(vectors, low, high, 0)
            width *= 2
        grouped.append([vector for (vector,) in vectors])
    for k, group in enumerate(zip(*grouped, strict=True)):
        vectors, stride = [list(group)], 1
        while stride * piece < lanes:
            vectors = paired(vectors, every_other(0), every_other(1), stride)
            stride *= 2
        for j, (vector,) in enumerate(vectors):
            columns[j * piece + k] = vector
    return columns
