"""What microkernels and packing are written in: vectors and tiles of them in registers.

Generated source names tiles like any variable; LLVM keeps every vector of them in a register.
"""

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
    is_in_lines,
    joined,
    line_of,
    load_vector,
    mask_of,
    multiply_add,
    opaque,
    over_rows,
    part_of,
    row_at,
    shuffled,
    splat,
    store_rows,
    vector_at,
)
from einjit.target import masks

GROUP = 3
"""Rows whose places in memory are counted from the same one: an address is a register and so many
times another. Were each counted from the one before, as LLVM does where it sees that they are
related, additions would take as long as the work. Rows that come from memory are read faster so."""


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
    cached: Any,
    ahead: Any,
    asked: Any,
    lanes: Any,
) -> Any:
    """The sum of `depth` outer products: a tile whose row r is the sum over k of
    `one[at + r * row + k * step]` times the vectors from `two[from_ + k * down]` on. With `cached`
    the loop is for elements of `one` in the L1 cache. What lies so many elements `ahead` of the
    vectors is asked for, unless that is a 0 in the source. Unless `asked` is, it is a place, a
    position and three numbers: as many cache lines as a column of so many rows takes are asked for
    with each k, from there on, `further` elements further with the next k, and after a `run` of k
    from `again` elements behind where that began."""
    asks, asks_more = (not isinstance(it, types.IntegerLiteral) for it in (ahead, asked))
    tile = Tile(two.dtype, lanes.literal_value, rows.literal_value, vectors.literal_value)

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        one, at, row, step, two, from_, down, depth = args[:8]
        first = builder.gep(one, [at])
        every = GROUP if cached.literal_value else tile.rows
        starts = [row_at(builder, first, r, row) for r in range(0, tile.rows, every)]
        state = [ir.Constant(WORD, 0), builder.gep(two, [from_]), *starts]
        state += [ir.Constant(tile.vector, None)] * (tile.rows * tile.vectors * tile.parts)
        stop, runs = depth, None
        if asks_more:
            place, position, further, run, again = cgutils.unpack_tuple(builder, args[12])
            runs = _Loop(builder, "run", [*state, builder.gep(place, [position])])
            stop = builder.add(runs.now[0], run)
            stop = builder.select(builder.icmp_signed("<", stop, depth), stop, depth)
        terms = _Loop(builder, "term", runs.now if runs else state)
        k, vectors_at, *rest = terms.now
        factors, sums, asked_at = rest[: len(starts)], rest[len(starts) :], rest[-1]
        loaded = [load_vector(builder, tile, vectors_at, v) for v in range(tile.vectors)]
        for v in range(tile.vectors if asks else 0):
            after = builder.gep(vectors_at, [ir.Constant(WORD, v * tile.lanes)])
            ask_for(builder, builder.gep(after, [args[11]]))
        for line in range(0, tile.rows if asks_more else 0, line_of(tile)):
            ask_for(builder, builder.gep(asked_at, [ir.Constant(WORD, line)]))
        here = [opaque(builder, f) for f in factors] if cached.literal_value else factors
        made: list[Value] = []
        for r in range(tile.rows):
            if cached.literal_value or r == 0:
                place = row_at(builder, here[r // every], r % every, row)
            else:
                place = builder.gep(place, [row])
            for part in range(tile.parts):
                value = builder.load(part_of(builder, tile, place, part))
                factor = splat(builder, value, tile.vector.count)
                for vector in loaded:
                    made.append(multiply_add(builder, factor, vector, sums[len(made)]))
        k = builder.add(k, ir.Constant(WORD, 1))
        state = [k, builder.gep(vectors_at, [down])]
        state += [*(builder.gep(place, [step]) for place in here), *made]
        further_on = [builder.gep(asked_at, [further])] if runs else []
        terms.again(builder, [*state, *further_on], builder.icmp_signed("<", k, stop))
        if runs:
            state.append(builder.gep(runs.now[-1], [again]))
            runs.again(builder, state, builder.icmp_signed("<", k, depth))
        result = ir.Constant(context.get_value_type(tile), ir.Undefined)
        for r in range(tile.rows):
            for v in range(tile.vectors):
                first = r * tile.vectors * tile.parts + v
                parts = made[first : first + tile.vectors * tile.parts : tile.vectors]
                whole = joined(builder, parts)
                result = builder.insert_value(result, whole, tile.position(r, v))
        return result

    words = (types.intp,) * 3
    lines = types.Tuple((asked[0], *[types.intp] * 4)) if asks_more else asked
    counts = (rows, vectors, cached, types.intp if asks else ahead, lines, lanes)
    return tile(one, *words, two, *words[:2], types.intp, *counts), emit


class _Loop:
    """A loop that is entered where the builder stands, with values that each turn has anew: what
    they are `now`."""

    def __init__(self, builder: Builder, name: str, first: Sequence[Value]) -> None:
        before, self._block = builder.block, builder.append_basic_block(name)
        self._behind = builder.append_basic_block(f"{name}s.behind")
        builder.branch(self._block)
        builder.position_at_end(self._block)
        self.now = [builder.phi(value.type) for value in first]
        for phi, value in zip(self.now, first, strict=True):
            phi.add_incoming(value, before)

    def again(self, builder: Builder, values: Sequence[Value], while_: Value) -> None:
        """Another turn with these values, or the builder goes on behind the loop."""
        for phi, value in zip(self.now, values, strict=True):
            phi.add_incoming(value, builder.block)
        builder.cbranch(while_, self._block, self._behind)
        builder.position_at_end(self._behind)


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
                if masks():
                    store_rows(builder, tile, rows, mask)
                else:
                    _store_pieces(builder, tile, rows, args[4])
        return context.get_dummy_value()

    return types.void(tile, place, *(types.intp,) * 4), emit


def _store_pieces(builder: Builder, tile: Tile, args: Any, n: Value) -> None:
    """Write a tile's rows, of the last vector of each its first `n` elements, fewer than it has: a
    half of it if so many are left, then a half of what is left, and so on."""

    def write(vector: Value, place: Value, v: int) -> Value:
        where, rest, width = vector_at(builder, tile, place, v), vector, tile.lanes
        if v + 1 < tile.vectors:
            builder.store(vector, where, align=tile.align)
            return vector
        place = builder.gep(place, [ir.Constant(WORD, v * tile.lanes)])
        while width > 1:
            width //= 2
            middle = width * tile.parts
            lanes = range(2 * middle)
            halves = [
                shuffled(builder, rest, rest, [*half]) for half in (lanes[:middle], lanes[middle:])
            ]
            size = ir.Constant(WORD, width)
            some = builder.icmp_signed("!=", builder.and_(n, size), ir.Constant(WORD, 0))
            with builder.if_then(some):
                pointer = builder.bitcast(place, halves[0].type.as_pointer())
                builder.store(halves[0], pointer, align=tile.align)
            rest = builder.select(some, halves[1], halves[0])
            place = builder.gep(place, [builder.and_(n, size)])
        return vector

    over_rows(builder, tile, args, write)


@intrinsic
def update_past(typingctx: Any, tile: Any, place: Any, at: Any, stride: Any, last: Any) -> Any:
    """Write the rows of a tile as `update` does, past the caches where they are whole cache lines.
    `settle` ends it."""

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        mask = mask_of(builder, tile, args[4])
        if tile.vectors * tile.lanes % line_of(tile):
            store_rows(builder, tile, args, mask)
            return context.get_dummy_value()
        whole = builder.icmp_signed(">=", args[4], ir.Constant(WORD, tile.lanes))
        lines = is_in_lines(builder, tile, builder.gep(args[1], [args[2]]), args[3])
        with builder.if_else(builder.and_(whole, lines)) as (then, otherwise):
            with then:
                store_rows(builder, tile, args, None, past=True)
            with otherwise:
                store_rows(builder, tile, args, mask)
        return context.get_dummy_value()

    return types.void(tile, place, *(types.intp,) * 3), emit


@intrinsic
def prefetch(typingctx: Any, place: Any, at: Any) -> Any:
    """Ask for the cache line of `place[at]`, which will be read soon."""

    def emit(context: Any, builder: Builder, signature: Any, args: Any) -> Value:
        ask_for(builder, builder.gep(args[0], [args[1]]))
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
