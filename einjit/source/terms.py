"""The products of a nest: where each element lies, what is loaded once for many iterations."""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager

from einjit.names import index_name
from einjit.plan.nest import Nest
from einjit.source.elements import ELEMENTS, added, product, read
from einjit.source.writer import TERMS, Writer

LONG = 40
"""Characters from which a product is written on more lines than one."""

Row = tuple[list[int], list[str]]
"""Of one row of those taken together: the inputs no factor has taken yet, and the factors."""


class Terms:
    """What is loaded and multiplied, while a writer opens the loops of a nest."""

    def __init__(self, nest: Nest, writer: Writer) -> None:
        self.nest, self.w = nest, writer
        self.compute = ELEMENTS[nest.compute].compute
        self.inner = nest.loops - 1
        self.waiting = list(range(len(nest.terms) - 1))  # inputs no factor has taken yet
        self.factors: list[str] = []  # hoisted products, the last one holding those before it
        self.opened: set[int] = set()
        self.held: set[int] = set()
        self.row, self.grouped = 0, -1  # the row of those added together, and its loop
        known = dict(nest.constants)
        names = (f"n_{index_name(i)}" for i in range(nest.loops))
        self.extents = {i: known[name] for i, name in enumerate(names) if name in known}

    def _compact(self, loops: Sequence[int]) -> str:
        """The place of some unrolled loops' values in a packed array."""
        text, stride = [], 1
        for i in reversed(loops):
            text.append(f"{index_name(i)} * {stride}" if stride > 1 else index_name(i))
            stride *= self.extents[i]
        return " + ".join(reversed(text)) or "0"

    def _inner_loop(self, limits: str, role: str) -> AbstractContextManager[None]:
        return self.w.block(
            f"for {index_name(self.inner)} in range({limits.removeprefix('0, ')}):",
            f"{role}, innermost",
        )

    def _inner_limits(self) -> tuple[str, str]:
        """Where the innermost loop, which is contracted, begins and ends."""
        return ("start", "stop") if self.nest.span == self.inner else ("0", self._extent())

    def _extent(self) -> str:
        return f"n_{index_name(self.inner)}"

    def _hold(self, operand: int) -> None:
        """Copy a tiny operand to where nothing that is stored can change it: into registers."""
        nest, w = self.nest, self.w
        name, loops = nest.operands[operand], nest.terms[operand]
        size = math.prod(self.extents[i] for i in loops)
        w.line(f"{name}_held = scratch({size}, {ELEMENTS[nest.dtypes[operand]].carrier})")
        at = self._compact(loops)
        with ExitStack() as stack:
            for i in map(index_name, loops):
                stack.enter_context(w.block(f"for {i} in range(n_{i}):"))
            w.line(f"{name}_held[{at}] = {self._at(operand)}")
        self.held.add(operand)

    def _add_terms(self, rows: Sequence[Row], sums: Sequence[str]) -> None:
        """Add each row's product to its sum; without rows, that of the loops that are open."""
        for self.row, held in enumerate(sums):
            if rows:
                self.waiting, self.factors = rows[self.row]
            self.w.line(f"{held} = {added(self.nest.compute, held, self._term())}")

    def _add_elements(self, rows: Sequence[Row], held: str) -> None:
        """Add each row to the sums of a strip, which are loaded and stored once."""
        w, name = self.w, index_name(self.inner)
        with self._inner_loop("low, high", "free"):
            w.line(f"run = {held}[{name} - low]")
            self._add_terms(rows, ["run"] * len(rows))
            w.line(f"{held}[{name} - low] = run")

    def _add_vectors(self, rows: Sequence[Row], held: str) -> None:
        """The same in vectors, of rows that are multiplied with what was hoisted of them, if that
        is anything."""
        w, places, factors = self.w, [], []
        w.line(f"{index_name(self.inner)} = low")
        for self.row, (waiting, hoisted) in enumerate(rows):
            name, place = self._placed(waiting[0])
            places.append(f"at_{name}_{self.row}")
            factors += hoisted[-1:]
            w.line(f"{places[-1]} = {place}")
        single = "," * (len(rows) == 1)
        groups = (f"({', '.join(group)}{single})" if group else "0" for group in (places, factors))
        given = ", ".join(groups)
        w.line(f"add_rows({held}, {name}, {given}, high - low, {self.nest.lanes})")

    def _entered(self, loop: int, number: int) -> list[Row]:
        """What is left to multiply in each of so many rows of a loop, which are entered."""
        before, rows = (self.opened, self.waiting, self.factors), []
        self.grouped = loop
        for self.row in range(number):
            self.opened, self.waiting, self.factors = set(before[0]), before[1][:], before[2][:]
            self._enter([loop])
            rows.append((self.waiting, self.factors))
        return rows

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """What is entered and hoisted in the context is forgotten behind it."""
        before = set(self.opened), self.waiting[:], self.factors[:]
        yield
        self.row, self.grouped = 0, -1
        self.opened, self.waiting, self.factors = before

    def _enter(self, loops: list[int]) -> None:
        self.opened.update(loops)
        self._hoist()

    def _hoist(self) -> None:
        """Load what no inner loop changes, and multiply it with what was hoisted further out."""
        ready = [i for i in self.waiting if self.opened.issuperset(self.nest.terms[i])]
        if ready:
            name = f"hoisted_{len(self.factors) + 1}" + f"_{self.row}" * bool(self.row)
            self.w.line(f"{name} = {self._product(ready)}")
            self.factors.append(name)
            self.waiting = [i for i in self.waiting if i not in ready]

    def _term(self) -> str:
        """The product in the innermost loop."""
        text = self._product(self.waiting)
        if len(text) > LONG:
            self.w.line(f"product = {text}")
            text = "product"
        return text

    def _product(self, inputs: list[int]) -> str:
        """What was hoisted times these inputs' elements; a long product takes lines before it."""
        nest, text = self.nest, ""
        loads = [read(nest.dtypes[i], nest.compute, self._at(i)) for i in inputs]
        for value in self.factors[-1:] + loads:
            if len(text) + len(value) > LONG and text and not text.isidentifier():
                self.w.line(f"product = {text}")
                text = "product"
            text = product(nest.compute, text, value) if text else value
        return text

    def _at(self, operand: int) -> str:
        """An operand's element for the values of the loop variables."""
        nest, name = self.nest, self.nest.operands[operand]
        if operand in self.held:
            return f"{name}_held[{self._compact(nest.terms[operand])}]"
        parts = [
            self._value(i)
            if nest.unit[operand] and i == self.inner
            else f"{self._value(i)} * {name}_{index_name(i)}"
            for i in nest.terms[operand]
        ]
        if nest.span is not None and operand == len(nest.terms) - 1:
            parts.insert(0, f"tile * {name}_tile")
        while len(parts) > TERMS:
            self.w.line(f"at_{name} = {' + '.join(parts[:TERMS])}")
            parts[:TERMS] = [f"at_{name}"]
        return f"{name}[{' + '.join(parts) or '0'}]"

    def _placed(self, operand: int) -> tuple[str, str]:
        """An operand, and the place of its element for the values of the loop variables."""
        name, _, place = self._at(operand).partition("[")
        return name, place.removesuffix("]")

    def _value(self, loop: int) -> str:
        """A loop's variable; in a row of those added together, so much more."""
        name = index_name(loop)
        return f"({name} + {self.row})" if loop == self.grouped and self.row else name

    def _store(self, value: str) -> None:
        """An element of the result."""
        self._keep(self._at(len(self.nest.terms) - 1), value)

    def _keep(self, place: str, value: str) -> None:
        """Write a sum to where elements of the result are; a long value takes a line before it."""
        value = ELEMENTS[self.nest.dtypes[-1]].write.format(value)
        if len(f"{place} = {value}") > self.w.room:
            self.w.line(f"element = {value}")
            value = "element"
        self.w.line(f"{place} = {value}")
