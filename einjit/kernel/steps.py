"""Where the next terms of a sum of outer products lie, for products that take several at once."""

from collections.abc import Iterator
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from einjit.kernel.lanes import (
    WORD,
    Builder,
    Tile,
    Value,
    ask_for,
    line_of,
    opaque,
    row_at,
)
from einjit.kernel.vectors import GROUP


class Steps:
    """The places of a product's factors as it goes on, so many terms a step.

    `arguments` are those of `vectors.product`, without `cached`.
    """

    def __init__(self, builder: Builder, tile: Tile, arguments: Any, terms: int) -> None:
        self.builder, self.tile, self.terms = builder, tile, terms
        one, at, self.across, self.along, two, from_, self.down = arguments[:7]
        first = builder.gep(one, [at])
        groups = range(0, tile.rows, GROUP)
        self._columns = [self.variable(row_at(builder, first, r, self.across)) for r in groups]
        self._vectors = self.variable(builder.gep(two, [from_]))
        place, at, self._further, self._run, self._again = cgutils.unpack_tuple(
            builder, arguments[11]
        )
        start = builder.gep(place, [at])
        self._asked_at, self._run_at = self.variable(start), self.variable(start)
        self._asked = self.variable(word(0))

    def variable(self, value: Value) -> Value:
        """A variable that begins with this value."""
        return cgutils.alloca_once_value(self.builder, value)

    def rows_of_vectors(self, number: int) -> list[Value]:
        """Where the vectors of the next terms begin, so many of a step's."""
        builder = self.builder
        first = builder.load(self._vectors)
        builder.store(row_at(builder, first, self.terms, self.down), self._vectors)
        return [row_at(builder, first, i, self.down) for i in range(number)]

    def factors(self, along: Value) -> Iterator[tuple[int, Value]]:
        """Each row of the tile, and where its next factors begin."""
        builder = self.builder
        for group, variable in enumerate(self._columns):
            column = opaque(builder, builder.load(variable))
            first = group * GROUP
            for r in range(first, min(self.tile.rows, first + GROUP)):
                yield r, row_at(builder, column, r - first, self.across)
            builder.store(row_at(builder, column, self.terms, along), variable)

    def ask(self) -> None:
        """Ask for the lines that `product` asks for with as many terms."""
        builder = self.builder
        at, taken = builder.load(self._asked_at), word(self.terms)
        for i in range(self.terms):
            place = row_at(builder, at, i, self._further)
            for line in range(0, self.tile.rows, line_of(self.tile)):
                ask_for(builder, builder.gep(place, [word(line)]))
        asked = builder.add(builder.load(self._asked), taken)
        over = builder.icmp_signed(">=", asked, self._run)
        behind = builder.gep(builder.load(self._run_at), [self._again])
        builder.store(builder.select(over, word(0), asked), self._asked)
        builder.store(builder.select(over, behind, builder.load(self._run_at)), self._run_at)
        further = row_at(builder, at, self.terms, self._further)
        builder.store(builder.select(over, behind, further), self._asked_at)


def word(value: int) -> Value:
    """A constant."""
    return ir.Constant(WORD, value)


def types_of(arguments: Any) -> tuple[Any, ...]:
    """The types that a product takes its `arguments` as: 0 in the place of `ahead` stays in the
    source."""
    one, _, _, _, two, _, _, _, rows, vectors, ahead, asked, lanes = arguments
    ahead = ahead if isinstance(ahead, types.IntegerLiteral) else types.intp
    lines = types.Tuple((asked[0], *[types.intp] * 4))
    return one, *(types.intp,) * 3, two, *(types.intp,) * 3, rows, vectors, ahead, lines, lanes
