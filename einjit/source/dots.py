"""Write sums along rows, several of each operand at a time: a register tile of vector sums."""

from contextlib import ExitStack

from einjit.names import index_name
from einjit.plan.dots import Dots
from einjit.plan.nest import BLOCK, TOGETHER
from einjit.source.elements import ELEMENTS
from einjit.source.writer import Writer

AHEAD = 32
"""Vectors ahead in a row that is read once that its elements are asked for."""


def write_dots(nest: Dots, writer: Writer) -> None:
    """The function `contract(first, last, operands, sizes)`: tiles first..last of the nest."""
    _DotsWriter(nest, writer).write()


class _DotsWriter:
    def __init__(self, nest: Dots, writer: Writer) -> None:
        self.nest, self.w = nest, writer
        self.together = {index_name(nest.down): TOGETHER, index_name(nest.beside): nest.others}

    def write(self) -> None:
        nest, w = self.nest, self.w
        with w.block("def contract(first, last, operands, sizes):"):
            for number, (name, dtype) in enumerate(zip(nest.operands, nest.dtypes, strict=True)):
                w.line(f"{name} = restrict(operands[{number}], {ELEMENTS[dtype].carrier})")
            w.line("# extents n_a; strides A_a in elements, where they are not 1")
            for number, (name, _, _) in enumerate(nest.sizes()):
                w.line(f"{name} = sizes[{number}]")
            size, kind = TOGETHER * nest.others, ELEMENTS[nest.compute].compute
            w.line(f"sums = scratch({size}, {kind})", "of rows of A times rows of B")
            for name, count in self.together.items():
                if count > 1:
                    w.line(f"parts_{name} = parts(n_{name}, {count})")
            with ExitStack() as stack:
                stack.enter_context(w.block("for tile in range(first, last):", "free, parallel"))
                self._decode()
                for i in range(nest.down + 1, nest.inner):
                    name = index_name(i)
                    if i == nest.beside and nest.others > 1:
                        loop = w.block(f"for part_{name} in range(parts_{name}):", "free")
                        stack.enter_context(loop)
                        w.line(f"{name} = part_{name} * {nest.others}")
                    else:
                        stack.enter_context(w.block(f"for {name} in range(n_{name}):", "free"))
                self._tile()
            w.drop_unused()

    def _decode(self) -> None:
        """The values of the loops up to `down`."""
        joint = "tile"
        for i in reversed(range(self.nest.down + 1)):
            name = index_name(i)
            count = self.together.get(name, 1)
            extent = f"parts_{name}" if count > 1 else f"n_{name}"
            value = joint if i == 0 else f"{joint} % {extent}"
            self.w.line(f"{name} = {value}" + f" * {count}" * (count > 1))
            if i:
                self.w.line(f"rest = {joint} // {extent}")
                joint = "rest"

    def _tile(self) -> None:
        """A tile of sums; rows behind the last one are that one again."""
        nest, w = self.nest, self.w
        for name, count in self.together.items():
            for i in range(1, count):
                w.line(f"{name}_{i} = minimum({name} + {i}, n_{name} - 1)")
        for number, loop in enumerate((nest.down, nest.beside)):
            for i in range(self.together[index_name(loop)]):
                self._place(number, loop, i)
        d, step = index_name(nest.inner), BLOCK * nest.lanes
        counts = dict(zip(nest.operands, self.together.values(), strict=False))
        rows = ", ".join(
            f"{name}, ({', '.join(f'at_{name}_{i}' for i in range(count))}{',' * (count == 1)})"
            for name, count in counts.items()
        )
        ahead = f"{TOGETHER} * {nest.operands[0]}_{index_name(nest.down)}"
        if nest.others == 1:  # long rows are read once: their own elements come before the next
            ahead = f"minimum({ahead}, {AHEAD * nest.lanes})"
        w.line(f"row_sums(sums, {rows}, minimum(n_{d}, {step}), {ahead}, 0, {nest.lanes})")
        with w.block(f"for block in range(1, parts(n_{d}, {step})):", "of terms"):
            for name, count in counts.items():
                for i in range(count):
                    w.line(f"at_{name}_{i} += {step}")
            length = f"minimum(n_{d} - block * {step}, {step})"
            w.line(f"row_sums(sums, {rows}, {length}, {ahead}, 1, {nest.lanes})")
        self._store()

    def _place(self, operand: int, loop: int, row: int) -> None:
        """Where a row of an operand begins."""
        nest, name = self.nest, self.nest.operands[operand]
        parts = []
        for i in nest.terms[operand]:
            if i != nest.inner:
                value = index_name(i) + f"_{row}" * (i == loop and row > 0)
                parts.append(f"{value} * {name}_{index_name(i)}")
        self.w.total(f"at_{name}_{row}", parts)

    def _store(self) -> None:
        """What there is of the tile."""
        nest, w = self.nest, self.w
        name = nest.operands[-1]
        down, beside = self.together
        parts = [f"{index_name(i)} * {name}_{index_name(i)}" for i in nest.terms[-1]]
        w.total("at", parts)
        for i in range(TOGETHER):
            with ExitStack() as stack:
                if i:
                    stack.enter_context(w.block(f"if {down} + {i} < n_{down}:"))
                for j in range(nest.others):
                    place = "at"
                    place += f" + {i} * {name}_{down}" * (i > 0)
                    place += f" + {j} * {name}_{beside}" * (j > 0)
                    with ExitStack() as inner:
                        if j:
                            inner.enter_context(w.block(f"if {beside} + {j} < n_{beside}:"))
                        w.line(f"{name}[{place}] = sums[{i * nest.others + j}]")
