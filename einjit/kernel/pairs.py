"""Products of integers, two terms by one multiplication.

a c + b d is (a + d) (b + c), less a b and c d: those depend on either factor alone, and are summed
once for many products. Integers wrap around, so nothing is rounded. CPUs whose vectors are not
multiplied and added in one instruction, as those of integers by x86, multiply slower than they add.

Source: S. Winograd, *A New Algorithm for Inner Product*, IEEE Transactions on Computers, 1968.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from einjit.kernel.lanes import (
    Builder,
    Tile,
    Value,
    add,
    ask_for,
    load_vector,
    multiply_add,
    opaque,
    shuffled,
    splat,
)
from einjit.kernel.steps import Steps, types_of, word
from einjit.target import multiplies_words


@intrinsic(prefer_literal=True)
def pair_sums(
    typingctx: Any,
    place: Any,
    at: Any,
    across: Any,
    along: Any,
    depth: Any,
    n: Any,
    sums: Any,
    to: Any,
    lanes: Any,
) -> Any:
    """For each i < n the products of the elements k < `depth` of `place[at + i * across + k *
    along]` by pairs, taken from 0: to `sums[to + i]`. An odd last element has no part in it."""
    tile = Tile(place.dtype, lanes.literal_value, 1, 1)

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        place, at, across, along, depth, n, sums, to = args[:8]
        first, sums = builder.gep(place, [at]), builder.gep(sums, [to])
        whole = builder.and_(depth, word(-2))

        def sum_up(i: Value, kind: Any, along: Value) -> None:
            def at(place: Value) -> Value:
                return builder.bitcast(place, kind.as_pointer())

            start = builder.gep(first, [builder.mul(i, across)])
            total = cgutils.alloca_once_value(builder, ir.Constant(kind, None))
            with cgutils.for_range_slice(builder, word(0), whole, word(2)) as (k, _):
                one = builder.gep(start, [builder.mul(k, along)])
                x, y = (
                    builder.load(at(place), align=tile.align)
                    for place in (one, builder.gep(one, [along]))
                )
                builder.store(builder.sub(builder.load(total), builder.mul(x, y)), total)
            builder.store(builder.load(total), at(builder.gep(sums, [i])), align=tile.align)

        done = cgutils.alloca_once_value(builder, word(0))
        with builder.if_then(builder.icmp_signed("==", across, word(1))):
            width = tile.lanes
            while width > 1:  # whole vectors, then smaller ones
                start, step = builder.load(done), word(width)
                stop = builder.sub(n, builder.srem(builder.sub(n, start), step))
                with cgutils.for_range_slice(builder, start, stop, step) as (i, _):
                    sum_up(i, tile.of(width).vector, along)
                builder.store(stop, done)
                width //= 2
        # A loop of its own where elements lie side by side: LLVM makes vectors of it.
        start = builder.load(done)
        with builder.if_else(builder.icmp_signed("==", along, word(1))) as branches:
            for branch, step in zip(branches, (word(1), along), strict=True):
                with branch, cgutils.for_range_slice(builder, start, n, word(1)) as (i, _):
                    sum_up(i, tile.vector.element, step)
        return context.get_dummy_value()

    return types.void(place, *(types.intp,) * 5, sums, types.intp, lanes), emit


@intrinsic(prefer_literal=True)
def product_by_pairs(
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
    of_one: Any,
    of_two: Any,
    to: Any,
) -> Any:
    """The sum of `depth` outer products of integers, as `vectors.product` gives it: a tile whose
    row r is the sum over k of `one[at + r * row + k * step]` times the vectors from `two[from_ + k
    * down]` on. `of_one` has the `pair_sums` of the rows, and `of_two[to + i]` of the columns."""
    tile = Tile(two.dtype, lanes.literal_value, rows.literal_value, vectors.literal_value)
    arguments = (one, at, row, step, two, from_, down, depth, rows, vectors, ahead, asked, lanes)
    asks = not isinstance(ahead, types.IntegerLiteral)

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        pairs = _Pairs(builder, tile, args)
        depth = args[7]
        whole = builder.and_(depth, word(-2))
        with cgutils.for_range_slice(builder, word(0), whole, word(2)):
            pairs.add_two(args[10] if asks else None)
        with builder.if_then(builder.icmp_signed("!=", whole, depth)):
            pairs.add_one()
        result = ir.Constant(context.get_value_type(tile), ir.Undefined)
        for r in range(tile.rows):
            for v, vector in enumerate(pairs.row(r)):
                result = builder.insert_value(result, vector, tile.position(r, v))
        return result

    return tile(*types_of(arguments), of_one, of_two, types.intp), emit


def _takes_halves(tile: Tile) -> bool:
    """Whether products of words of 8 bytes are taken apart: that of their lower halves, and those
    of the lower half of either with the upper one of the other, of which only the lower halves
    count. An instruction does the former, another both of the latter; what is added to what is
    found out once for all terms, where it would take five more for each."""
    return tile.align == 8 and not multiplies_words()


def _halves_of(vector: Value) -> Value:
    """The type of a vector's halves of words."""
    return ir.VectorType(ir.IntType(32), 2 * vector.count)


class _Pairs(Steps):
    """The sums of a tile of integers, in a register each, or two of them where products are taken
    apart."""

    def __init__(self, builder: Builder, tile: Tile, arguments: Any) -> None:
        super().__init__(builder, tile, arguments, terms=2)
        of_one, of_two, to = arguments[13:]
        columns = self._row(builder.gep(of_two, [to]))
        self._takes_halves = _takes_halves(tile)
        zeros = [ir.Constant(_halves_of(tile.vector), None)] * self._takes_halves
        self._sums = []
        for r in range(tile.rows):
            factor = self._splat(builder.gep(of_one, [word(r)]))
            firsts = [(add(builder, factor, column), *zeros) for column in columns]
            self._sums.append([[*map(self.variable, first)] for first in firsts])

    def add_two(self, ahead: Value | None) -> None:
        """Add the products of the next two terms."""
        builder = self.builder
        places = self.rows_of_vectors(2)
        first, second = map(self._row, places)
        for place in places if ahead is not None else ():
            for v in range(self.tile.vectors):
                after = builder.gep(place, [word(v * self.tile.lanes)])
                ask_for(builder, builder.gep(after, [ahead]))
        self.ask()
        for r, place in self.factors(self.along):
            one, two = map(self._splat, (place, builder.gep(place, [self.along])))
            if r and self._takes_halves:  # to read them again takes no registers
                first, second = (self._row(opaque(builder, place)) for place in places)
            for x, y, sums in zip(first, second, self._sums[r], strict=True):
                self._add(sums, add(builder, one, y), add(builder, two, x))

    def add_one(self) -> None:
        """Add the products of the last term."""
        (place,) = self.rows_of_vectors(1)
        vectors = self._row(place)
        for r, place in self.factors(self.along):
            factor = self._splat(place)
            for vector, sums in zip(vectors, self._sums[r], strict=True):
                self._add(sums, vector, factor)

    def _add(self, sums: list[Value], one: Value, two: Value) -> None:
        """Add a product to a sum, or to the two that it is of."""
        builder, total = self.builder, sums[0]
        if len(sums) == 1:
            builder.store(multiply_add(builder, one, two, builder.load(total)), total)
            return
        lowest = ir.Constant(one.type, [(1 << 32) - 1] * one.type.count)
        low = builder.mul(*(builder.and_(value, lowest) for value in (one, two)))
        builder.store(builder.add(builder.load(total), low), total)
        x, y = (builder.bitcast(value, _halves_of(one.type)) for value in (one, two))
        crossed = builder.mul(x, shuffled(builder, y, y, [i ^ 1 for i in range(y.type.count)]))
        builder.store(builder.add(builder.load(sums[1]), crossed), sums[1])

    def row(self, r: int) -> list[Value]:
        """The vectors of a row of the tile."""
        return [self._whole(*map(self.builder.load, sums)) for sums in self._sums[r]]

    def _whole(self, total: Value, crossed: Value | None = None) -> Value:
        """A vector of sums; what was added of each word's halves belongs to the upper one."""
        if crossed is None:
            return total
        builder = self.builder
        crossed = builder.bitcast(crossed, total.type)
        half = ir.Constant(total.type, [32] * total.type.count)
        for part in (crossed, builder.lshr(crossed, half)):
            total = builder.add(total, builder.shl(part, half))
        return total

    def _row(self, place: Value) -> list[Value]:
        return [load_vector(self.builder, self.tile, place, v) for v in range(self.tile.vectors)]

    def _splat(self, place: Value) -> Value:
        return splat(self.builder, self.builder.load(place), self.tile.lanes)
