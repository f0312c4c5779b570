"""Products of bytes, four terms an instruction.

CPUs that multiply bytes at all do so by fours: each 32-bit lane of a sum gains four products, those
of the bytes in the same lane of two vectors. Of such a sum the lowest byte is that of the bytes'
own sum, whatever their signs: integers wrap around.
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from einjit.kernel.lanes import (
    PIECE,
    Builder,
    Tile,
    Value,
    ask_for,
    half_by_turns,
    row_at,
    shuffled,
    splat,
)
from einjit.kernel.steps import Steps, types_of, word
from einjit.target import multiplies_bytes

BYTE = ir.IntType(8)
LANE = ir.IntType(32)


@intrinsic(prefer_literal=True)
def product_by_fours(
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
    ahead: Any,
    asked: Any,
    lanes: Any,
) -> Any:
    """The sum of `depth` outer products of bytes, as `vectors.product` gives it: a tile whose row r
    is the sum over k of `one[at + r * row + k * step]` times the vectors from `two[from_ + k *
    down]` on. Four rows of vectors are interleaved in registers, so that a lane holds four terms.
    """
    tile = Tile(two.dtype, lanes.literal_value, rows.literal_value, vectors.literal_value)
    arguments = (one, at, row, step, two, from_, down, depth, rows, vectors, ahead, asked, lanes)
    asks = not isinstance(ahead, types.IntegerLiteral)

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        fours = _Fours(builder, tile, args)
        step, depth = args[3], args[7]
        whole = builder.and_(depth, word(-4))
        with builder.if_else(builder.icmp_signed("==", step, word(1))) as branches:
            for branch, side_by_side in zip(branches, (True, False), strict=True):
                with branch, cgutils.for_range_slice(builder, word(0), whole, word(4)):
                    fours.add(4, side_by_side, args[10] if asks else None)
        left = builder.and_(depth, word(3))
        for number in range(1, 4):
            with builder.if_then(builder.icmp_signed("==", left, word(number))):
                fours.add(number, False, None)
        result = ir.Constant(context.get_value_type(tile), ir.Undefined)
        for r in range(tile.rows):
            for v, vector in enumerate(fours.row(r)):
                result = builder.insert_value(result, vector, tile.position(r, v))
        return result

    return tile(*types_of(arguments)), emit


class _Fours(Steps):
    """The sums of a tile of bytes."""

    def __init__(self, builder: Builder, tile: Tile, arguments: Any) -> None:
        super().__init__(builder, tile, arguments, terms=4)
        self.wide = tile.lanes * tile.vectors  # bytes of a row of B's vectors
        self.kind = ir.VectorType(LANE, self.wide // 4)
        zero = ir.Constant(self.kind, None)
        self.sums = [[self.variable(zero) for _ in range(4)] for _ in range(tile.rows)]

    def add(self, terms: int, side_by_side: bool, ahead: Value | None) -> None:
        """Add the products of the next four terms, or of fewer that are left."""
        builder = self.builder
        loaded = self._interleaved(terms, ahead)
        if terms == 4:
            self.ask()
        for r, place in self.factors(word(1) if side_by_side else self.along):
            factor = splat(builder, self._factor(place, terms, side_by_side), self.wide // 4)
            for vector, total in zip(loaded, self.sums[r], strict=True):
                builder.store(_add_products(builder, builder.load(total), factor, vector), total)

    def _factor(self, place: Value, terms: int, side_by_side: bool) -> Value:
        """The next terms of a row of A, a byte each; 0 for those that are not there."""
        builder = self.builder
        if side_by_side:
            return builder.load(builder.bitcast(place, LANE.as_pointer()), align=1)
        factor = ir.Constant(LANE, 0)
        for i in range(terms):
            byte = builder.zext(builder.load(row_at(builder, place, i, self.along)), LANE)
            factor = builder.or_(factor, builder.shl(byte, ir.Constant(LANE, 8 * i)))
        return factor

    def _interleaved(self, terms: int, ahead: Value | None) -> list[Value]:
        """Four rows of B's vectors, interleaved: a lane holds the terms of one column. Lanes are
        those of 16 bytes after 16 bytes, as shuffles leave them."""
        builder, kind = self.builder, ir.VectorType(BYTE, self.wide)
        rows = []
        for place in self.rows_of_vectors(terms):
            rows.append(builder.load(builder.bitcast(place, kind.as_pointer()), align=1))
            if ahead is not None:
                ask_for(builder, builder.gep(place, [ahead]))
        rows += [ir.Constant(kind, None)] * (4 - terms)
        one, two = (
            [_mixed(builder, rows[i], rows[i + 1], 1, half) for half in (0, 1)] for i in (0, 2)
        )
        return [
            builder.bitcast(_mixed(builder, low, high, 2, half), self.kind)
            for low, high in zip(one, two, strict=True)
            for half in (0, 1)
        ]

    def row(self, r: int) -> list[Value]:
        """The vectors of a row of the tile: the lowest byte of each sum, in order again."""
        builder = self.builder
        lowest = ir.Constant(self.kind, [255] * self.kind.count)
        words = ir.VectorType(ir.IntType(16), self.wide // 2)
        a, b, c, d = (
            builder.bitcast(builder.and_(builder.load(total), lowest), words)
            for total in self.sums[r]
        )
        kind = ir.VectorType(BYTE, self.wide)
        one, two = (
            builder.bitcast(_evens(builder, *pair, piece=PIECE // 2), kind)
            for pair in ((a, b), (c, d))
        )
        whole = _evens(builder, one, two, piece=PIECE)
        starts = range(0, self.wide, self.tile.lanes)
        return [
            shuffled(builder, whole, whole, list(range(start, start + self.tile.lanes)))
            for start in starts
        ]


def _mixed(builder: Builder, one: Value, two: Value, width: int, half: int) -> Value:
    """Of each 16 bytes one half: `width` bytes, by turns of either vector."""
    return shuffled(builder, one, two, half_by_turns(one.type.count, PIECE, width, half))


def _evens(builder: Builder, one: Value, two: Value, piece: int) -> Value:
    """The even elements of two vectors: of each `piece` those of the one, then of the other."""
    count = one.type.count
    lanes = [
        start + which * count + i
        for start in range(0, count, piece)
        for which in (0, 1)
        for i in range(0, piece, 2)
    ]
    return shuffled(builder, one, two, lanes)


def _add_products(builder: Builder, total: Value, one: Value, two: Value) -> Value:
    """Add to each lane the products of its four bytes; only the lowest byte of a sum is used."""
    kind = total.type
    if multiplies_bytes():  # LLVM's name is that of AVX-512 on CPUs with AVX-VNNI alone, too
        name = f"llvm.x86.avx512.vpdpbusd.{32 * kind.count}"
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind] * 3), name
        )
        return builder.call(function, [total, one, two])
    for i in range(4):  # what is above the lowest byte of a product does no harm
        shift = ir.Constant(kind, [8 * i] * kind.count)
        factors: Sequence[Value] = [builder.lshr(vector, shift) for vector in (one, two)]
        total = builder.add(total, builder.mul(*factors))
    return total
