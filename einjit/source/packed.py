"""Write a packed contraction: the loops over boxes, their packing, and the macrokernel's calls.

The loops are those of BLIS (Van Zee, van de Geijn), over boxes instead of blocks: a group of
indices that does not fuse into one is cut index by index, and a packed box holds the indices of a
group flattened, whatever their strides in the operand (Matthews, *TBLIS*, arXiv 1607.00291).
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import numpy as np

from einjit.names import index_name
from einjit.plan.packed import LINE, SPARE_TERMS, Packed
from einjit.source.tiles import decode
from einjit.source.writer import Writer

FACTORS = 6
"""Factors of a product on one line."""


def write_packed(packed: Packed, writer: Writer) -> None:
    """The function `contract(first, last, operands, sizes)`: tiles first..last."""
    _PackedWriter(packed, writer).write()


class _PackedWriter:
    def __init__(self, packed: Packed, writer: Writer) -> None:
        self.p, self.w = packed, writer
        self.size = np.dtype(packed.compute).itemsize
        self.batch = [i for i in packed.group_h if i not in packed.group_s]

    # ------------------------------------------------------------ the loops, outermost first

    def write(self) -> None:
        p, w = self.p, self.w
        with w.block("def contract(first, last, operands, sizes):"):
            self._unpack()
            with w.block("for tile in range(first, last):", "parallel"):
                self._decode_tile()
                self._enter(p.group_s, "side")
                if p.kept:
                    self._enter(p.group_m, "height")
                else:
                    self._enter_columns()
                self._count("blocks", p.group_k, "of K")
                with ExitStack() as stack:
                    # no steps: a range that checks its step needs numba to be loaded
                    stack.enter_context(w.block("for block in range(blocks):", "PC: blocks of K"))
                    self._decode("block", p.group_k)
                    if p.span is not None:
                        w.line(f"{index_name(p.span)}0 += start")
                    self._enter(p.group_k, "depth")
                    if p.guarded:
                        self._guard()
                    if p.kept:
                        self._boxes_of_n(stack)
                    else:
                        self._boxes_of_m(stack)
                    self._macrokernel()
            if p.past:
                w.line("settle()")
            w.line("give(arena)")
        w.drop_unused()

    def _enter_columns(self) -> None:
        self._enter(self.p.group_n, "width")
        if self.p.panels:
            wide = self.p.macrokernel.wide
            self.w.line(f"b_k = {wide}", "micropanels")
            self.w.line(f"panels = parts(width, {wide}) * {wide}")
        else:
            self._pad("b_k", "width")
        if not self.p.direct:
            self._pad("c_m", "width")

    def _boxes_of_m(self, stack: ExitStack) -> None:
        """A box of B, and those of A that it is multiplied by."""
        p, w = self.p, self.w
        if p.pack_b:
            self._pack_b()
        stack.enter_context(w.block("for m_box in range(m_first, m_last):", "IC: boxes of M"))
        self._decode("m_box", p.group_m)
        self._enter(p.group_m, "height")
        if p.pack_a:
            self._pack_a()
        if not p.direct:
            number = "(m_box - m_first) * held"
            w.line(f"c_box = place(c_first, {self.size}, ({number}, most * c_m))")

    def _boxes_of_n(self, stack: ExitStack) -> None:
        """A box of A, and those of B that it is multiplied by."""
        self._pack_a()
        stack.enter_context(self.w.block("for n_box in range(n_boxes):", "JC: boxes of N"))
        self._decode("n_box", self.p.group_n)
        self._enter_columns()
        if self.p.pack_b:
            self._pack_b()

    def _unpack(self) -> None:
        p, w = self.p, self.w
        for number, name in enumerate(p.operands):
            w.line(f"{name} = operands[{number}]")
        for number, part in enumerate(p.needs):
            w.line(f"{part.kind} = sizes[{number}]")
        first = len(p.needs)
        w.line(f"arena = take(sizes[{first}])")
        w.line("# extents n_a and those of boxes, strides A_a in elements")
        for number, name in enumerate(p.sizes()):
            w.line(f"{name} = sizes[{first + 1 + number}]")
        if any(p.scattered):
            w.line(f"loops = room({3 * max(map(len, p.moves))})", "of a box, three words each")
        for name in map(index_name, (*p.group_s, *p.group_m, *p.group_n, *p.group_k)):
            w.line(f"boxes_{name} = parts(n_{name}, box_{name})")
        self._count("m_boxes", p.group_m, "boxes of M")
        self._count("n_boxes", p.group_n, "boxes of N")
        w.line("tiles_m = parts(m_boxes, per_tile)")
        w.line("a_box = arena")
        w.line("b_box = a_box + to_b")
        w.line("c_first = a_box + to_c")
        factors = [f"box_{index_name(i)}" for i in (*p.group_s, *p.group_m)]
        self._product("most", factors, "rows of a box")

    def _count(self, name: str, group: Sequence[int], comment: str) -> None:
        """How many boxes a group is cut into."""
        self._product(name, [f"boxes_{index_name(i)}" for i in group], comment)

    def _product(self, name: str, factors: Sequence[str], comment: str) -> None:
        """A name for a product, on one line or two."""
        self.w.line(f"{name} = {' * '.join(factors[:FACTORS])}", comment)
        if factors[FACTORS:]:
            self.w.line(f"{name} = {' * '.join([name, *factors[FACTORS:]])}")

    def _decode_tile(self) -> None:
        w = self.w
        joint, inner = "tile", self.p.group_m
        if not self.p.kept:
            w.line("m_first = tile % tiles_m * per_tile")
            w.line("m_last = minimum(m_boxes, m_first + per_tile)")
            w.line("rest = tile // tiles_m")
            joint, inner = "rest", self.p.group_n
        self._decode(joint, [*self.p.group_h, *inner], more=self.p.span is not None)
        if self.p.span is None:
            return
        cut = index_name(self.p.span)
        w.line("start = rest * span", f"a span of {cut}")
        w.line(f"stop = minimum(n_{cut}, start + span)")
        w.line(f"boxes_{cut} = parts(stop - start, box_{cut})")
        w.line(f"C_part = place(C, {self.size}, (rest, C_span))")

    def _decode(self, joint: str, loops: Sequence[int], more: bool = False) -> None:
        """Where boxes begin, and the values of batch loops."""
        cut = [index_name(i) for i in loops if i not in self.batch]
        decode(self.w, joint, [index_name(i) for i in reversed(loops)], cut, more)

    def _enter(self, group: Sequence[int], length: str) -> None:
        """The extents of a box, its strides in the flattened group, and the group's length."""
        stride = "1"
        for i in reversed(group):
            name = index_name(i)
            end = "stop" if i == self.p.span else f"n_{name}"
            self.w.line(f"e_{name} = minimum(box_{name}, {end} - {name}0)")
            self.w.line(f"flat_{name} = {stride}")
            stride = f"flat_{name} * e_{name}"
            if self.p.direct and self.p.panels and i == self.p.group_n[-1]:
                wide = self.p.macrokernel.wide  # each row of C begins a micropanel
                stride = f"parts(e_{name}, {wide}) * {wide}"
            if self.p.strips and i == self.p.group_m[-1]:
                rows = self.p.macrokernel.rows
                self.w.line(f"a_k = parts(e_{name}, parts(e_{name}, {rows}))", "rows of a strip")
                if self.p.direct:
                    stride = f"parts(e_{name}, a_k) * a_k"
        self.w.line(f"{length} = {stride}")

    def _pad(self, name: str, length: str) -> None:
        self.w.line(f"{name} = row_of({length}, {LINE // self.size})")

    def _guard(self) -> None:
        """How many rows of B are read where they lie."""
        k = index_name(self.p.group_k[-1])
        self.w.line("above = depth")
        with self.w.block(f"if {k}0 + depth == n_{k}:", "B may end behind this row"):
            self.w.line("above = depth - 1")

    # ------------------------------------------------------------ packing

    def _pack_b(self) -> None:
        p = self.p
        self.w.line(f"at_b = {self._address('B', p.terms[1])}")
        self._move(
            1,
            ("b_box", self._in_b),
            ("at_b", _stride("B")),
            "depth" if p.panels else "1",
        )

    def _pack_a(self) -> None:
        p, w = self.p, self.w
        if p.strips:
            w.line(f"a_i = depth + {SPARE_TERMS}", "room behind strips")
        elif p.rows:
            self._pad("a_m", "depth")
        else:
            self._pad("a_k", "height")
        w.line(f"at_a = {self._address('A', p.terms[0])}")
        self._move(
            0,
            ("a_box", self._in_a),
            ("at_a", _stride("A")),
            "a_i" if p.strips else "1",
        )

    def _unpack_c(self) -> None:
        p = self.p
        with self.w.block("if block + 1 == blocks:"):
            self.w.line(f"at_c = {self._address('C', p.terms[2])}")
            self._move(2, ("at_c", _stride("C")), ("c_box", self._in_c))

    def _move(
        self,
        number: int,
        to: tuple[str, Callable[[int], str]],
        source: tuple[str, Callable[[int], str]],
        panel: str = "1",
    ) -> None:
        """Move the box of an operand, its last two loops in one call or, where they are short, all
        of them; each side has an address and strides."""
        loops = self.p.moves[number]
        if self.p.scattered[number]:
            for place, i in enumerate(reversed(loops)):
                loop = f"e_{index_name(i)}, {to[1](i)}, {source[1](i)}"
                self.w.line(f"set_loop(loops, {place}, ({loop}))")
            self.w.call("call4", "scatter", ["loops", str(len(loops)), to[0], source[0]])
            return
        *others, row, column = loops
        pair = row, column
        with ExitStack() as stack:
            for name in map(index_name, others):
                stack.enter_context(self.w.block(f"for {name} in range(e_{name}):"))
            arguments = [f"e_{index_name(i)}" for i in pair]
            for name, (address, stride) in (("to", to), ("source", source)):
                offset = [f"{index_name(i)}, {stride(i)}" for i in others]
                arguments += [self._bytes(name, address, offset), *map(stride, pair)]
                arguments += [panel] * (name == "to")
            self.w.call("call9", self.p.movers[number].kind, arguments)

    def _in_a(self, i: int) -> str:
        if i in self.p.group_s:
            return f"flat_{index_name(i)} * " + ("height * a_m" if self.p.rows else "depth * a_k")
        flat = f"flat_{index_name(i)}"
        if self.p.rows:
            return f"{flat} * a_m" if i in self.p.group_m else flat
        if i in self.p.group_k:
            return f"{flat} * a_k"
        return f"{flat} * a_i" if self.p.strips and i != self.p.group_m[-1] else flat

    def _in_b(self, i: int) -> str:
        if i in self.p.group_s:
            return f"flat_{index_name(i)} * depth * {'panels' if self.p.panels else 'b_k'}"
        flat = f"flat_{index_name(i)}"
        if i in self.p.group_k:
            return f"{flat} * b_k"
        return f"{flat} * depth" if self.p.panels and i != self.p.group_n[-1] else flat

    def _in_c(self, i: int) -> str:
        if i in self.p.group_s:
            return f"flat_{index_name(i)} * height * c_m"
        flat = f"flat_{index_name(i)}"
        return f"{flat} * c_m" if i in self.p.group_m else flat

    # ------------------------------------------------------------ the product of two boxes

    def _macrokernel(self) -> None:
        """One call for the boxes; with `direct` one for each run of C that the last loops give, and
        one for each iteration that lies side by side."""
        p, w = self.p, self.w
        others = list(p.group_s)
        sizes = ["height", "width", "depth"]
        if p.direct:
            others += [*p.group_m[:-1], *p.group_n[:-1]]
            sizes[:2] = [f"e_{index_name(i)}" for i in (p.group_m[-1], p.group_n[-1])]
            w.line(f"at_c = {self._address('C', p.terms[2])}")
        with ExitStack() as stack:
            for name in map(index_name, others):
                stack.enter_context(w.block(f"for {name} in range(e_{name}):"))
            a = self._operand_a([i for i in others if i not in p.group_n])
            b = self._operand_b([i for i in others if i not in p.group_m])
            address, stride = ("at_c", _stride("C")) if p.direct else ("c_box", self._in_c)
            offset = [f"{index_name(i)}, {stride(i)}" for i in others]
            c = [
                self._bytes("row_c", address, offset),
                stride(p.group_m[-1]) if p.direct else "c_m",
            ]
            if p.guarded:
                self._above_and_last_row(sizes, a, b, c)
            else:
                w.call("call13", "macrokernel", [*sizes, *a, *b, *c, "block"])
        if not p.direct:
            self._unpack_c()

    def _above_and_last_row(
        self, sizes: list[str], a: list[str], b: list[str], c: list[str]
    ) -> None:
        """The product of the rows of B that are read where they lie; then that of its last row is
        added, copied to where vectors may be read behind it."""
        w, k = self.w, index_name(self.p.group_k[-1])
        with w.block("if above > 0:"):
            w.call("call13", "macrokernel", [*sizes[:2], "above", *a, *b, *c, "block"])
        with w.block("if above < depth:"):
            row = self._bytes("row_b", b[0], [f"above, B_{k}"])
            line = ["1", sizes[1], "b_box", sizes[1], "1", "1", row, sizes[1], "1"]
            w.call("call9", "move", line)
            left = self._bytes("row_a", a[0], [f"above, {a[3]}"])
            operands = [left, *a[1:], "b_box", "1", sizes[1]]
            w.call("call13", "macrokernel", [*sizes[:2], "1", *operands, *c, "block + above"])

    def _operand_a(self, others: list[int]) -> list[str]:
        """Address of the macrokernel's A, and its strides along M, for strips and within them, and
        along K."""
        p = self.p
        if p.pack_a:
            strides = ["a_m", "a_m", "1"] if p.rows else ["1", "1", "a_k"]
            if p.strips:
                strides[0] = "a_i"
            offset = [f"{index_name(i)}, {self._in_a(i)}" for i in others]
            return [self._bytes("row_a", "a_box", offset), *strides]
        m, k = index_name(p.group_m[-1]), index_name(p.group_k[-1])
        self.w.line(f"at_a = {self._address('A', p.terms[0])}")
        offset = [f"{index_name(i)}, A_{index_name(i)}" for i in others]
        return [self._bytes("row_a", "at_a", offset), f"A_{m}", f"A_{m}", f"A_{k}"]

    def _operand_b(self, others: list[int]) -> list[str]:
        """Address of the macrokernel's B, and its strides along N, for micropanels, and along K."""
        p = self.p
        if p.pack_b:
            offset = [f"{index_name(i)}, {self._in_b(i)}" for i in others]
            panel = "depth" if p.panels else "1"
            return [self._bytes("row_b", "b_box", offset), panel, "b_k"]
        self.w.line(f"at_b = {self._address('B', p.terms[1])}")
        offset = [f"{index_name(i)}, B_{index_name(i)}" for i in others]
        return [self._bytes("row_b", "at_b", offset), "1", f"B_{index_name(p.group_k[-1])}"]

    def _address(self, operand: str, loops: Sequence[int]) -> str:
        """The address of an operand's element where its box begins."""
        base = "C_part" if operand == "C" and self.p.span is not None else operand
        places = ((index_name(i), "" if i in self.batch else "0") for i in loops)
        offset = [f"{name}{zero}, {operand}_{name}" for name, zero in places]
        return self._bytes(f"at_{operand.lower()}", base, offset)

    def _bytes(self, name: str, address: str, offset: list[str]) -> str:
        """An address and an offset, pairs of an index and a stride; what a line does not hold of
        it is added to `name` before."""
        room = self.w.room - 9  # of an argument, and its comma
        while offset:
            n = len(offset)
            while n > 1 and len(self._placed(address, offset[:n])) > room:
                n -= 1
            placed, offset = self._placed(address, offset[:n]), offset[n:]
            if not offset and len(placed) <= room:
                return placed
            self.w.line(f"{name} = {placed}")
            address = name
        return address

    def _placed(self, address: str, offset: list[str]) -> str:
        return f"place({address}, {self.size}, ({', '.join(offset)}))"


def _stride(operand: str) -> Callable[[int], str]:
    return lambda i: f"{operand}_{index_name(i)}"
