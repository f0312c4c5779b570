"""Write the loop nest of one step: plain loops that LLVM vectorises.

Three shapes share their parts. With nothing contracted the innermost loop stores products. With the
innermost loop contracted its sum is held in a register. With the innermost loop free, the sums of a
strip of it are held in the cache while the contracted loops run outside it. Sums that round are
taken in blocks, whose error grows with BLOCK + n / BLOCK instead of n (Higham, *Accuracy and
Stability of Numerical Algorithms*, §4.2).
"""

import math
from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np

from einjit.names import index_name
from einjit.plan.indices import LINE
from einjit.plan.nest import BLOCK, STRIPS, TOGETHER, Nest
from einjit.source.elements import ELEMENTS, added
from einjit.source.terms import Row, Terms
from einjit.source.tiles import decode, step
from einjit.source.writer import Writer

AHEAD = 4096
"""Bytes ahead that short rows from memory are asked for. Measured."""

UNSETTLED = 512
"""Terms of a sum of bools after which it is first asked whether it is true: no more change that."""

NESTED = 5
"""Loops of one kind that are nested; of more, the outer ones are run as one over their joint
extent: Python takes at most 20 nested blocks."""


def write_nest(nest: Nest, writer: Writer) -> None:
    """The function `contract(first, last, operands, sizes)`: tiles first..last of the nest."""
    NestWriter(nest, writer).write()


class NestWriter(Terms):
    """The parts of a nest's text; what is written of them is the nest's own affair."""

    def __init__(self, nest: Nest, writer: Writer) -> None:
        super().__init__(nest, writer)
        exact = ELEMENTS[nest.compute].exact
        self.most, self.rows = nest.strip_length, nest.rows_together
        self.strip = "strip" if nest.even else str(self.most)
        self.blocked = bool(nest.contracted) and not (exact or nest.short)
        self.strip_loop = nest.strip_loop
        self.on_strip = bool(nest.contracted) and self.strip_loop is not None

    # ------------------------------------------------------------ the parts, outermost first

    def write(self) -> None:
        nest, w = self.nest, self.w
        with w.block("def contract(first, last, operands, sizes):"):
            self._unpack()
            with ExitStack() as stack:
                free = [i for i in nest.terms[-1] if i != self.strip_loop]
                self._open_tiles(stack)
                if nest.together and nest.sums_innermost:
                    self._sum_together()
                    return
                if nest.unrolled is not None:
                    self._sum_unrolled(stack, free[nest.tile :])
                    return
                self._open_loops(stack, free[nest.tile :], "free")
                if self.on_strip:
                    self._sum_on_strip(stack)
                elif nest.contracted:
                    self._sum_in_register()
                else:
                    self._store_products(stack)
            self._close()

    def _close(self) -> None:
        """What is done behind the tiles: nothing."""

    def _unpack(self) -> None:
        nest, w = self.nest, self.w
        kind = "pointer" if nest.unrolls_inside else "restrict"
        for number, (name, dtype) in enumerate(zip(nest.operands, nest.dtypes, strict=True)):
            w.line(f"{name} = {kind}(operands[{number}], {ELEMENTS[dtype].carrier})")
        w.line("# extents n_a; strides A_a in elements, where they are not 1")
        for number, (name, _, _) in enumerate(nest.sizes()):
            w.line(f"{name} = sizes[{number}]")
        for name, value in nest.constants:
            w.line(f"{name} = {value}")
        tiny = [i for i in nest.terms[-1] if nest.unrolled is not None and i >= nest.unrolled]
        if tiny and nest.contracted:
            size = math.prod(self.extents[i] for i in tiny)
            w.line(f"totals = scratch({size}, {self.compute})", "in registers")
        if nest.even:
            self._cut_evenly()
        if self.on_strip:
            lanes = max(1, nest.lanes)
            room = f"{-(-self.most // lanes) * lanes}, {self.compute}"  # for whole vectors
            w.line(f"total = scratch({room})", "sums of a strip, in the cache")
            if self.blocked:
                w.line(f"part = scratch({room})", "and of one block of terms")
        for number in range(len(nest.terms) - 1):
            if nest.is_held(number):
                self._hold(number)
        self._hoist()

    def _cut_evenly(self) -> None:
        """How long the strips are that are as long as each other: those that are tiles share."""
        number, most = STRIPS if self.nest.strip else 1, self.most
        n = f"n_{self._strip_name}"
        times = f"{number} * " * self.nest.strip
        self.w.line(f"strip = parts({n}, {times}parts({n}, {number * most}))", "of its elements")

    def _open_tiles(self, stack: ExitStack) -> None:
        """The loop over tiles, the only one that is run in parallel."""
        nest, w = self.nest, self.w
        tile = list(range(nest.tile))
        if nest.span is not None:
            cut = index_name(nest.span)
            stack.enter_context(
                w.block("for tile in range(first, last):", f"parallel: spans of {cut}")
            )
            w.line("start = tile * span")
            w.line(f"stop = minimum(n_{cut}, start + span)")
        elif nest.together and nest.sums_innermost:
            loop, name = "for tile in range(first, last):", index_name(0)
            stack.enter_context(w.block(loop, f"free, parallel: {self.rows} of {name} each"))
            w.line(f"{name} = tile * {self.rows}")
        elif len(tile) == 1 and not nest.strip:
            name = index_name(0)
            stack.enter_context(
                w.block(f"for {name} in range(first, last):", "free, parallel: a tile each")
            )
            self._enter(tile)
        elif len(tile) > 1 and not nest.strip and nest.known_inside:
            self._open_runs(stack, tile)
        elif tile or nest.strip:
            inner = self._strip_name
            letters = ", ".join([*map(index_name, tile), *([f"strips of {inner}"] * nest.strip)])
            if tile:
                self._decode_first(tile)
            loop = f"for {'_' if tile else 'tile'} in range(first, last):"
            stack.enter_context(w.block(loop, f"free, parallel: {letters}"))
            if tile:
                stack.callback(self._step, tile)
            else:
                w.line(f"low = tile * {self.strip}")
            if nest.strip:
                w.line(f"high = minimum(n_{inner}, low + {self.strip})")
            self._enter(tile)
        else:
            stack.enter_context(w.block("for _ in range(first, last):", "one tile"))

    def _open_runs(self, stack: ExitStack, tile: list[int]) -> None:
        """Tiles whose last loop is one of its own, so that vectors can run along it."""
        w, name = self.w, index_name(tile[-1])
        self._decode_first(tile)
        letters = ", ".join(map(index_name, tile))
        stack.enter_context(w.block("while first < last:", f"free, parallel: runs of {letters}"))
        w.line(f"low = {name}")
        w.line(f"high = minimum(n_{name}, low + last - first)")
        w.line("first += high - low")
        self._enter(tile[:-1])
        stack.callback(self._step, tile)
        stack.enter_context(w.block(f"for {name} in range(low, high):", "free"))
        self._enter(tile[-1:])

    def _open_loops(self, stack: ExitStack, loops: list[int], role: str) -> None:
        """Nested loops; the outer ones of many are run as one loop over their joint extent."""
        whole = [i for i in loops if i != self.nest.span]
        joint = whole[: len(loops) - NESTED + 1] if len(loops) > NESTED else []
        nested = [i for i in loops if i not in joint]
        if joint:
            extent = " * ".join(f"n_{index_name(i)}" for i in joint)
            stack.enter_context(self.w.block(f"for joint in range({extent}):", f"{role}, jointly"))
            self._decode(joint, "joint")
            self._enter(joint)
        for i in nested:
            name = index_name(i)
            limits = "start, stop" if i == self.nest.span else f"n_{name}"
            stack.enter_context(self.w.block(f"for {name} in range({limits}):", role))
            self._enter([i])

    def _decode_first(self, tile: list[int]) -> None:
        """The loop variables of the first tile; from one tile to the next they are stepped."""
        w, rest = self.w, "first"
        if self.nest.strip:
            w.line(f"strips = parts(n_{self._strip_name}, {self.strip})")
            w.line(f"low = first % strips * {self.strip}")
            w.line("rest = first // strips")
            rest = "rest"
        self._decode(tile, rest)

    def _step(self, tile: list[int]) -> None:
        """The loop variables of the next tile."""
        digits = [("low", self.strip, f"n_{self._strip_name}")] if self.nest.strip else []
        names = [index_name(i) for i in reversed(tile)]
        step(self.w, [*digits, *((name, "1", f"n_{name}") for name in names)])

    def _decode(self, loops: list[int], joint: str) -> None:
        """The loop variables out of their joint number, the last running fastest."""
        decode(self.w, joint, [index_name(i) for i in reversed(loops)], ())

    # ------------------------------------------------------------ the shapes

    def _sum_unrolled(self, stack: ExitStack, free: list[int]) -> None:
        """Tiny loops: all sums of an iteration of the long ones are taken before one is stored."""
        nest, w = self.nest, self.w
        first = nest.unrolled or 0
        self._open_loops(stack, [i for i in free if i < first], "free")
        tiny = [i for i in free if i >= first]
        at = self._compact(tiny)
        with ExitStack() as sums:
            for i in tiny:
                sums.enter_context(w.block(f"for {index_name(i)} in range(n_{index_name(i)}):"))
            w.line(f"total = {self.compute}(0)")
            with ExitStack() as terms:
                for i in nest.contracted:
                    name = index_name(i)
                    terms.enter_context(w.block(f"for {name} in range(n_{name}):", "contracted"))
                w.line(f"total = {added(nest.compute, 'total', self._term())}")
            if not tiny:
                self._store("total")
                return
            w.line(f"totals[{at}] = total")
        for i in tiny:
            stack.enter_context(w.block(f"for {index_name(i)} in range(n_{index_name(i)}):"))
        self._store(f"totals[{at}]")

    def _store_products(self, stack: ExitStack) -> None:
        """Nothing contracted: a product an element, added to 0 as numpy does (no -0.0)."""
        if self.nest.loops > self.nest.tile:
            limits = "low, high" if self.nest.strip else self._extent()
            stack.enter_context(self._inner_loop(limits, "free"))
        value = self._term()
        if not ELEMENTS[self.nest.compute].exact:
            value = f"{value} + {self.compute}(0)"
        self._store(value)

    def _sum_together(self) -> None:
        """The sums of a tile in one go; where it is not whole, one after the other."""
        w, name = self.w, index_name(0)
        with w.block(f"if {name} + {self.rows} <= n_{name}:"), self._apart():
            self._sum_in_register(self._entered(0, self.rows))
        with w.block("else:"), w.block(f"for {name} in range(tile * {self.rows}, n_{name}):"):
            self._enter([0])
            self._sum_in_register()

    def _sum_in_register(self, rows: Sequence[Row] = ()) -> None:
        """The sum of one row, or those of several."""
        w, zero = self.w, f"{self.compute}(0)"
        marks = [f"_{row}" * bool(row) for row in range(max(1, len(rows)))]
        totals, parts, runs = ([name + mark for mark in marks] for name in ("total", "part", "run"))
        for held in (totals, parts) if self.blocked else (totals,):
            self._set(held, zero)
        if self.blocked:
            w.line("terms = 0")
        start, stop = self._inner_limits()
        with ExitStack() as stack:
            self._open_loops(stack, list(self.nest.contracted[:-1]), "contracted")
            self._ask()
            if self._settles:
                w.line(f"block, length = {start}, {UNSETTLED}")
                unsettled = f"while block < {stop} and total == 0:"
                with w.block(unsettled, "of terms, twice as many each"):
                    w.line(f"end = minimum({stop}, block + length)")
                    with self._inner_loop("block, end", "contracted"):
                        self._add_terms(rows, totals)
                    w.line("block, length = end, 2 * length")
            elif not self.blocked:
                with self._inner_loop(f"{start}, {stop}", "contracted"):
                    self._add_terms(rows, totals)
            else:
                with w.block(f"for block in range({start}, {stop}, {BLOCK}):", "of terms"):
                    w.line(f"end = minimum({stop}, block + {BLOCK})")
                    self._set(runs, zero)
                    with self._inner_loop("block, end", "contracted"):
                        self._add_terms(rows, runs)
                    for part, run in zip(parts, runs, strict=True):
                        w.line(f"{part} = {part} + {run}")
                    w.line("terms += end - block")
                    with w.block(f"if terms >= {BLOCK}:"):
                        for total, part in zip(totals, parts, strict=True):
                            w.line(f"{total} = {total} + {part}")
                        self._set(parts, zero)
                        w.line("terms = 0")
        for self.row, (total, part) in enumerate(zip(totals, parts, strict=True)):
            self._store(f"{total} + {part}" if self.blocked else total)

    @property
    def _settles(self) -> bool:
        """Whether a sum may end early: of bools, true once one term is; of one row alone, since of
        many each would pay for it."""
        return self.nest.compute == "bool" and not self.nest.terms[-1]

    def _ask(self) -> None:
        """Ask for what will be read AHEAD bytes further on, as long as a row."""
        w, x = self.w, index_name(self.inner)
        for operand in self.nest.asked:
            name, place = self._placed(operand)
            size = np.dtype(self.nest.dtypes[operand]).itemsize
            with w.block(f"for {x} in range(0, n_{x}, {LINE // size}):", f"what {name} has next"):
                w.line(f"prefetch({name}, {place} + {AHEAD // size})")

    def _set(self, names: Sequence[str], value: str) -> None:
        for name in names:
            self.w.line(f"{name} = {value}")

    @property
    def _strip_name(self) -> str:
        return index_name(self.strip_loop or 0)

    def _sum_on_strip(self, stack: ExitStack) -> None:
        w, zero, name = self.w, f"{self.compute}(0)", self._strip_name
        if self.nest.far and not self.nest.strip:
            # no steps: a range that checks its step needs numba to be loaded
            loop = w.block(f"for number in range(parts(n_{name}, strip)):", f"strips of {name}")
            stack.enter_context(loop)
            w.line("low = number * strip")
        elif not self.nest.strip:
            loop = w.block(f"for low in range(0, n_{name}, {self.strip}):", f"strips of {name}")
            stack.enter_context(loop)
        if not self.nest.strip:
            w.line(f"high = minimum(n_{name}, low + {self.strip})")
        sums = ["total", "part"] if self.blocked else ["total"]
        with w.block(f"for {name} in range(high - low):"):
            for held in sums:
                w.line(f"{held}[{name}] = {zero}")
        if self.blocked:
            w.line("terms = 0")
        held = sums[-1]
        *outer, last = self.nest.contracted
        with ExitStack() as contracted:
            self._open_loops(contracted, outer, "contracted")
            if self.nest.sums_innermost:
                self._add_sums_of_rows(held)
            else:
                self._add_rows_of(last, contracted, held)
        with w.block(f"for {name} in range(low, high):"):
            self._store(" + ".join(f"{held}[{name} - low]" for held in sums))

    def _add_rows_of(self, last: int, contracted: ExitStack, held: str) -> None:
        """Add the rows that the innermost contracted loop runs through, several at once if so."""
        w, row = self.w, index_name(last)
        if self.nest.together:
            start, stop = ("start + ", "stop") if last == self.nest.span else ("", f"n_{row}")
            count = "(stop - start)" if start else stop
            for number in dict.fromkeys((self.rows, TOGETHER)):
                with w.block(f"for group in range({count} // {number}):", f"{number} at a time"):
                    w.line(f"{row} = {start}group * {number}")
                    self._add_rows(last, number, held)
                count = f"{count} % {number}"
                start = f"{stop} - {count} + "
            rest = w.block(f"for {row} in range({stop} - {count}, {stop}):", "the rest")
            contracted.enter_context(rest)
        else:
            self._open_loops(contracted, [last], "contracted")
        self._add_rows(last, 1, held)

    def _add_sums_of_rows(self, held: str) -> None:
        """Add the sum of a row to each of the sums of a strip."""
        w, name = self.w, self._strip_name
        start, stop = self._inner_limits()
        with w.block(f"for {name} in range(low, high):", "free"), self._apart():
            self._enter([self.strip_loop or 0])
            with ExitStack() as stack:
                if self.blocked:
                    blocks = f"for block in range({start}, {stop}, {BLOCK}):"
                    stack.enter_context(w.block(blocks, "of terms"))
                    w.line(f"end = minimum({stop}, block + {BLOCK})")
                    start, stop = "block", "end"
                w.line(f"run = {self.compute}(0)")
                with self._inner_loop(f"{start}, {stop}", "contracted"):
                    self._add_terms([], ["run"])
                total = f"{held}[{name} - low]"
                w.line(f"{total} = {added(self.nest.compute, total, 'run')}")
        if self.blocked:
            start, stop = self._inner_limits()
            self._flush(stop if start == "0" else f"{stop} - {start}", BLOCK)

    def _add_rows(self, loop: int, number: int, held: str) -> None:
        """Add so many rows of terms to the sums of a strip."""
        with self._apart():
            rows = self._entered(loop, number)
            if self.nest.lanes:
                self._add_vectors(rows, held)
            else:
                self._add_elements(rows, held)
        if self.blocked:
            self._flush(str(number), BLOCK - self.rows + 1 if self.nest.together else BLOCK)

    def _flush(self, terms: str, most: int) -> None:
        """Count the terms of each sum of a strip's block; once they are many, end the block."""
        w, name = self.w, self._strip_name
        w.line(f"terms += {terms}")
        with w.block(f"if terms >= {most}:"):
            with w.block(f"for {name} in range(high - low):"):
                w.line(f"total[{name}] = total[{name}] + part[{name}]")
                w.line(f"part[{name}] = {self.compute}(0)")
            w.line("terms = 0")
