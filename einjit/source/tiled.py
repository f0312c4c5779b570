"""Write a nest that makes its result tile by tile; turned operands and sums wait in the cache."""

from contextlib import ExitStack

import numpy as np

from einjit.names import index_name
from einjit.plan.indices import LINE
from einjit.plan.nest import BLOCK
from einjit.plan.tiled import Tiled
from einjit.source.elements import ELEMENTS
from einjit.source.terms import Terms
from einjit.source.tiles import blocks, decode, step
from einjit.source.writer import Writer

AHEAD = 2
"""How many tiles ahead one is asked for: the memory's latency takes longer than a tile's work."""


def write_tiled(nest: Tiled, writer: Writer) -> None:
    """The function `contract(first, last, operands, sizes)`: tiles first..last of the nest."""
    _TiledWriter(nest, writer).write()


class _TiledWriter(Terms):
    nest: Tiled

    def __init__(self, nest: Tiled, writer: Writer) -> None:
        super().__init__(nest, writer)
        self.x, self.y = index_name(nest.inner), index_name(nest.across)
        exact = ELEMENTS[nest.compute].exact
        self.blocked = bool(nest.contracted) and not (exact or nest.short)
        self.rounds = not (exact or nest.copies)
        self.sums_across = nest.across in nest.contracted
        self.cut = [self.x] if self.sums_across else [self.y, self.x]
        self.tiles = [*self.cut, *map(index_name, reversed(nest.outer))]  # the first runs fastest
        self.beside = [  # what is read in pieces because others are turned
            number
            for number, loops in enumerate(nest.terms[:-1])
            if nest.turned and nest.unit[number] and nest.across in loops
        ]

    # ------------------------------------------------------------ the parts, outermost first

    def write(self) -> None:
        nest, w = self.nest, self.w
        with w.block("def contract(first, last, operands, sizes):"):
            self._unpack()
            decode(w, "first", self.tiles, self.cut)
            with w.block("for _ in range(first, last):", "free, parallel"):
                for name in self.cut:
                    self._measure(name)
                self._enter(list(nest.outer))
                if nest.contracted:
                    self._sum()
                    self._store_sums()
                elif nest.moves:
                    self._move()
                else:
                    self._turn()
                    self._over_tile()
                    if nest.streams:
                        self._stream()
                step(w, [self._place(name) for name in self.tiles])
            if nest.streams:
                w.line("settle()")
        w.drop_unused()

    def _unpack(self) -> None:
        nest, w = self.nest, self.w
        for number, (name, dtype) in enumerate(zip(nest.operands, nest.dtypes, strict=True)):
            w.line(f"{name} = restrict(operands[{number}], {ELEMENTS[dtype].carrier})")
        w.line("# extents n_a, those of tiles box_a; strides A_a in elements, where they are not 1")
        for number, (name, _, _) in enumerate(nest.sizes()):
            w.line(f"{name} = sizes[{number}]")
        for name, value in nest.constants:
            w.line(f"{name} = {value}")
        for number in () if nest.moves else nest.turned:
            carrier = ELEMENTS[nest.dtypes[number]].carrier
            name = nest.operands[number]
            w.line(f"{name}_turned = scratch({nest.room}, {carrier})", "a tile, in the cache")
        if nest.turned and not nest.moves:
            lanes = max(map(nest.lanes_of, nest.turned))
            w.line(f"row = parts(box_{self.x}, {lanes}) * {lanes}", "of a tile that is turned")
        if nest.contracted:
            w.line(f"total = scratch({nest.room}, {self.compute})", "sums of a tile")
            if self.blocked:
                w.line(f"part = scratch({nest.room}, {self.compute})", "and of a block of terms")
        if nest.moves and nest.streams:
            w.line(f"begin = to_line({nest.operands[-1]}, 0)", "as far on begin lines in each row")
        elif nest.streams:
            carrier = ELEMENTS[nest.dtypes[-1]].carrier
            w.line(f"made = scratch({nest.room}, {carrier})", "a tile of the result")
        w.line(f"boxes_{self.x} = parts(n_{self.x}, box_{self.x})")
        w.line(f"boxes_{self.y} = parts(n_{self.y}, box_{self.y})")
        self._hoist()

    def _place(self, name: str) -> tuple[str, str, str]:
        """Of a loop of the tiles what changes from one to the next (`step`)."""
        cut = name in self.cut
        return (f"{name}0", f"box_{name}", f"n_{name}") if cut else (name, "1", f"n_{name}")

    def _measure(self, name: str) -> None:
        self.w.line(f"e_{name} = minimum(box_{name}, n_{name} - {name}0)")

    def _sum(self) -> None:
        """Add what the contracted loops run through to the sums of the tile."""
        nest, w, zero = self.nest, self.w, f"{self.compute}(0)"
        sums = ["total", "part"] if self.blocked else ["total"]
        sums_of = f"e_{self.x}" if self.sums_across else f"e_{self.y} * e_{self.x}"
        with w.block(f"for step in range({sums_of}):"):
            for held in sums:
                w.line(f"{held}[step] = {zero}")
        if self.blocked:
            w.line("terms = 0")
        with ExitStack() as stack:
            for i in nest.contracted:
                if i == nest.across:
                    continue
                name = index_name(i)
                stack.enter_context(w.block(f"for {name} in range(n_{name}):", "contracted"))
                self._enter([i])
            if self.sums_across:
                # no steps: a range that checks its step needs numba to be loaded
                boxes = f"for box in range(boxes_{self.y}):"
                stack.enter_context(w.block(boxes, "contracted, in tiles"))
                w.line(f"{self.y}0 = box * box_{self.y}")
                self._measure(self.y)
            self._turn()
            self._over_tile()
            if self.blocked:
                w.line(f"terms += {f'e_{self.y}' if self.sums_across else '1'}")
                with w.block(f"if terms >= {BLOCK}:"):
                    with w.block(f"for step in range({sums_of}):"):
                        w.line("total[step] = total[step] + part[step]")
                        w.line(f"part[step] = {zero}")
                    w.line("terms = 0")

    def _turn(self) -> None:
        """Read a tile of each turned operand along its unit stride, transposing blocks of it; what
        is next read in such pieces, no CPU sees coming: it is asked for ahead."""
        nest, w, x, y = self.nest, self.w, self.x, self.y
        for number in nest.turned:
            name, lanes = nest.operands[number], nest.lanes_of(number)
            self.w.total(f"at_{name}", [*self._outer(number), f"{y}0", f"{x}0 * {name}_{x}"])
            if nest.asks:
                w.line(f"ahead = at_{name} + {AHEAD} * {self._next(number)}")
            loops = [(i, f"e_{i}", f"e_{i}") for i in (x, y)]
            with blocks(w, loops, lanes, nest.overlaps):
                to = f"{name}_turned, {y} * row + {x}, row"
                source = f"{name}, at_{name} + {x} * {name}_{x} + {y}, {name}_{x}"
                rest = f"{lanes}, {lanes}" if nest.overlaps else f"e_{x} - {x}, e_{y} - {y}"
                w.line(f"turn({to}, {source}, {rest}, 0, {lanes})")
                if nest.asks:
                    with w.block(f"for step in range({lanes}):"):
                        w.line(f"prefetch({name}, ahead + ({x} + step) * {name}_{x} + {y})")
        for number in self.beside if nest.asks else ():
            name = nest.operands[number]
            line = LINE // np.dtype(nest.dtypes[number]).itemsize
            self.w.total(f"at_{name}", [*self._outer(number), f"{y}0 * {name}_{y}", f"{x}0"])
            w.line(f"ahead = at_{name} + {AHEAD} * {self._next(number)}")
            rows = w.block(f"for {y} in range(e_{y}):", f"tiles of {name}")
            with rows, w.block(f"for {x} in range(0, e_{x}, {line}):"):
                w.line(f"prefetch({name}, ahead + {y} * {name}_{y} + {x})")

    def _move(self) -> None:
        """Transpose the blocks of a tile from memory to memory, with `streams` past the caches."""
        nest, w, x, y = self.nest, self.w, self.x, self.y
        a, c = nest.operands
        w.total(f"at_{a}", [*self._outer(0), f"{y}0", f"{x}0 * {a}_{x}"])
        w.total(f"at_{c}", [*self._outer(1), f"{y}0 * {c}_{y}", f"{x}0"])
        if nest.streams:
            with w.block(f"if {x}0 == 0:", f"what lies before the first line of each row of {c}"):
                self._move_blocks(f"minimum(begin, n_{x})", past=False)
            w.line(f"at_{a} += begin * {a}_{x}")
            w.line(f"at_{c} += begin")
            w.line(f"e_{x} = minimum(box_{x}, n_{x} - {x}0 - begin)")
        self._move_blocks(f"e_{x}", past=nest.streams)

    def _move_blocks(self, rows: str, past: bool) -> None:
        nest, w, x, y = self.nest, self.w, self.x, self.y
        (a, c), lanes = nest.operands, nest.lanes_of(0)
        loops = [(y, f"e_{y}", f"n_{y} - {y}0"), (x, rows, f"n_{x} - {x}0")]
        with blocks(w, loops, lanes, nest.overlaps):
            w.line(f"source = at_{a} + {x} * {a}_{x} + {y}")
            if nest.asks:
                with w.block(f"for step in range({lanes}):"):
                    w.line(f"prefetch({a}, source + step * {a}_{x} + ahead)")
            w.line(f"to = at_{c} + {y} * {c}_{y} + {x}")
            rest = f"{lanes}, {lanes}"
            if not nest.overlaps:
                w.line(f"rows, columns = {rows} - {x}, e_{y} - {y}")
                rest = "rows, columns"
            turned = f"{c}, to, {c}_{y}, {a}, source, {a}_{x}, {rest}"
            w.line(f"turn({turned}, {past:d}, {lanes})")

    def _outer(self, operand: int) -> list[str]:
        """The parts of an operand's place that the loops outside of a tile give."""
        nest, name = self.nest, self.nest.operands[operand]
        loops = [i for i in nest.terms[operand] if i < nest.across]
        return [f"{index_name(i)} * {name}_{index_name(i)}" for i in loops]

    def _next(self, operand: int) -> str:
        """How much further on an operand's next tile lies."""
        nest, name = self.nest, self.nest.operands[operand]
        outer = [i for i in nest.contracted if i in nest.terms[operand] and i != nest.across]
        if outer and not self.sums_across:
            return f"{name}_{index_name(outer[-1])}"
        return f"box_{self.y}" + f" * {name}_{self.y}" * (operand not in nest.turned)

    def _over_tile(self) -> None:
        """The two loops of a tile, and the product of each element."""
        nest, w, x, y = self.nest, self.w, self.x, self.y
        with self._apart(), w.block(f"for {y} in range(e_{y}):"):
            self._enter([nest.across])
            with w.block(f"for {x} in range(e_{x}):", "innermost"):
                if nest.contracted:
                    sums = "part" if self.blocked else "total"
                    place = x if self.sums_across else f"{y} * e_{x} + {x}"
                    w.line(f"run = {sums}[{place}]")
                    self._add_terms([], ["run"])
                    w.line(f"{sums}[{place}] = run")
                else:
                    value = self._term() + f" + {self.compute}(0)" * self.rounds
                    if nest.streams:
                        self._keep(f"made[{y} * e_{x} + {x}]", value)
                    else:
                        self._store(value)

    def _store_sums(self) -> None:
        """The sums of the tile."""
        w, x, y = self.w, self.x, self.y
        place = x if self.sums_across else f"{y} * e_{x} + {x}"
        with ExitStack() as stack:
            if not self.sums_across:
                stack.enter_context(w.block(f"for {y} in range(e_{y}):"))
            stack.enter_context(w.block(f"for {x} in range(e_{x}):"))
            self._store(f"total[{place}]" + f" + part[{place}]" * self.blocked)

    def _stream(self) -> None:
        """Write the tile past the caches, in one run where its rows follow each other."""
        nest, w, x, y = self.nest, self.w, self.x, self.y
        name = nest.operands[-1]
        lanes = nest.vector // np.dtype(nest.dtypes[-1]).itemsize
        outer = self._outer(len(nest.terms) - 1)
        self.w.total(f"at_{name}", [*outer, f"{y}0 * {name}_{y}", f"{x}0"])
        w.line(f"rows, length = e_{y}, e_{x}")
        with w.block(f"if {name}_{y} == e_{x}:"):
            w.line(f"rows, length = 1, e_{y} * e_{x}")
        with w.block("for step in range(rows):"):
            w.line(f"at = at_{name} + step * {name}_{y}")
            w.line(f"stream(made, step * length, {name}, at, length, {lanes})")

    # ------------------------------------------------------------ elements

    def _at(self, operand: int) -> str:
        nest = self.nest
        if operand in nest.turned:
            return f"{nest.operands[operand]}_turned[{self.y} * row + {self.x}]"
        return super()._at(operand)

    def _value(self, loop: int) -> str:
        name = index_name(loop)
        return f"({name}0 + {name})" if loop >= self.nest.across else name
