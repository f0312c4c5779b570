"""The plan: the steps that contract an equation, each with its lowering and the reason for it."""

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from einjit.equation.equation import Equation, index_letter
from einjit.equation.operands import Layout, result_layout, strides_by_index
from einjit.errors import ShapeError
from einjit.names import operand_name
from einjit.plan.batched import columns_first
from einjit.plan.dots import turned_first
from einjit.plan.early import kept_at_first, lies_otherwise
from einjit.plan.indices import Loops
from einjit.plan.lowering import lower
from einjit.plan.path import Path, choose_path
from einjit.plan.task import Lowered, Task

CAST_FIRST = 1 << 16
"""Elements up to which an operand of another dtype is converted before the kernel sees it: kernels
that mix dtypes are compiled only where reading the operand once matters."""

EARLY = 1 << 14
"""Iterations from which an index found in one operand alone is worth a step that sums it early."""


@dataclass(frozen=True, slots=True)
class Step:
    """One contraction: operand slots in, one result out.

    Slots number the operands first, then the results of the steps before. `equation` is in the
    letters of the plan's equation, `kept` the result's indices by their numbers in it.
    """

    inputs: tuple[int, ...]
    equation: str
    kept: tuple[int, ...]
    result: Layout
    lowered: Lowered

    def __str__(self) -> str:
        return f"{self.equation} | {self.lowered.name}: {self.lowered.reason}"


@dataclass(frozen=True, slots=True)
class Plan:
    """How an equation is contracted for operands of these layouts.

    `cast` says which operands are converted to the result's dtype first.
    """

    equation: Equation
    extents: tuple[int, ...]
    operands: tuple[Layout, ...]
    cast: tuple[bool, ...]
    steps: tuple[Step, ...]
    reason: str

    @property
    def result(self) -> Layout:
        """The layout of what the last step makes."""
        return self.steps[-1].result

    @property
    def flops(self) -> int:
        """Multiplications and additions of all steps."""
        return sum(step.lowered.flops for step in self.steps)

    @property
    def bytes(self) -> int:
        """Bytes of the operands and the result, each moved once; a view moves none."""
        if all(step.lowered.name == "view" for step in self.steps):
            return 0
        arrays = (*self.operands, self.result)
        return sum(array.size * np.dtype(array.dtype).itemsize for array in arrays)

    def roles(self) -> list[tuple[str, int, str]]:
        """(letter, extent, role) of each index."""
        return [(index_letter(i), extent, self._role(i)) for i, extent in enumerate(self.extents)]

    def _role(self, index: int) -> str:
        inputs = self.equation.inputs
        owners = [number for number, letters in enumerate(inputs) if index in letters]
        names = ", ".join(map(operand_name, owners))
        if index not in self.equation.output:
            role = f"contracted, in {names}" if len(owners) > 1 else f"summed, in {names} alone"
        elif len(owners) == len(inputs) > 1:
            role = "batch"
        else:
            role = f"free, in {names}"
        return role + ", a diagonal" * any(inputs[n].count(index) > 1 for n in owners)

    def __str__(self) -> str:
        """The equation, the role of each index, and each step with its reason."""
        lines = [f"{self.equation}", f"path: {self.reason}"]
        lines += [f"  {letter} = {extent}: {role}" for letter, extent, role in self.roles()]
        count = len(self.operands)
        for number, step in enumerate(self.steps):
            slots = (operand_name(i) if i < count else f"t{i - count}" for i in step.inputs)
            made = "result" if number == len(self.steps) - 1 else f"t{number}"
            lines.append(f"{', '.join(slots)} -> {made}: {step}")
        lines.append(f"{self.flops:,} FLOPs, {self.bytes:,} bytes")
        return "\n".join(lines)


def make_plan(
    equation: Equation,
    operands: Sequence[Layout],
    dtype: str,
    *,
    out: Layout | None = None,
    order: str = "K",
    optimize: Any = "auto",
) -> Plan:
    """Plan an equation for operands of these layouts, computed as `dtype`.

    `out` is the layout that is written where it is given, else the result is new and in `order`.
    """
    extents = equation.extents([operand.shape for operand in operands])
    moves = len(operands) == 1 and set(equation.inputs[0]) == set(equation.output)
    cast = tuple(not moves and _is_cast_first(operand, dtype) for operand in operands)
    layouts = [
        Layout.contiguous(o.shape, dtype) if c else o for o, c in zip(operands, cast, strict=True)
    ]
    result = out or result_layout(equation, extents, operands, order, dtype)
    path, reason = choose_path(equation, extents, optimize, dtype)
    compute = "float32" if dtype == "float16" else dtype
    steps = _Steps(equation, extents, layouts, compute, early=optimize is not False)
    steps.follow(path, result, "" if out else order)
    return Plan(equation, extents, tuple(operands), cast, tuple(steps.steps), reason)


def _is_cast_first(operand: Layout, dtype: str) -> bool:
    """Whether an operand is converted before the steps; conversions that lose are numpy's to do."""
    if operand.dtype == dtype or operand.size == 0:
        return False
    return operand.size <= CAST_FIRST or not np.can_cast(operand.dtype, dtype)


@dataclass(frozen=True, slots=True)
class _Slot:
    """An operand or intermediate: its indices, its dtype, its stride along each index."""

    term: tuple[int, ...]
    dtype: str
    strides: tuple[int, ...]


class _Steps:
    """The steps along a path, and the slots they fill; with `early` also steps that make ready."""

    def __init__(
        self,
        equation: Equation,
        extents: tuple[int, ...],
        operands: Sequence[Layout],
        compute: str,
        early: bool,
    ) -> None:
        self.equation, self.extents, self.compute = equation, extents, compute
        self.early = early
        rows = strides_by_index(equation, extents, operands)
        self.slots = [
            _Slot(letters, operand.dtype, tuple(row))
            for letters, operand, row in zip(equation.inputs, operands, rows, strict=True)
        ]
        self.steps: list[Step] = []

    def follow(self, path: Path, result: Layout, order: str) -> None:
        """Take the path; with an `order`, the result is new and may be a view in that order."""
        left = list(range(len(self.slots)))
        output = self.equation.output
        for number, group in enumerate(path):
            chosen = [left[place] for place in sorted(group)]
            left = [slot for slot in left if slot not in chosen]
            needed = set(output).union(*(self.slots[slot].term for slot in left))
            if self.early and len(chosen) > 1:
                chosen = [self._sum_early(slot, chosen, needed) for slot in chosen]
            if number == len(path) - 1:
                self._contract(chosen, output, result, order)
            else:
                kept = [i for i in self._by_stride(chosen) if i in needed]
                left.append(self._intermediate(chosen, kept))

    def _sum_early(self, slot: int, chosen: list[int], needed: set[int]) -> int:
        """Sum what one operand alone has before it meets the others, where that saves work."""
        others = needed.union(*(self.slots[other].term for other in chosen if other != slot))
        own = set(self.slots[slot].term)
        union = own.union(*(self.slots[other].term for other in chosen))
        together, apart = self._iterations(union), self._iterations(union & others)
        if own <= others or together < EARLY or together < 4 * (apart + self._iterations(own)):
            return slot
        return self._intermediate([slot], [i for i in self._by_stride([slot]) if i in others])

    def _turn(self, slot: int, inner: Sequence[int]) -> int:
        """Copy an operand with some indices innermost."""
        outer = [i for i in self._by_stride([slot]) if i not in inner]
        return self._intermediate([slot], [*outer, *inner])

    def _intermediate(self, chosen: list[int], kept: Sequence[int]) -> int:
        shape = tuple(self.extents[i] for i in kept)
        return self._contract(chosen, kept, Layout.contiguous(shape, self.compute), "")

    def _by_stride(self, chosen: list[int]) -> list[int]:
        """The indices of some slots, those with large strides first: an order for a new array."""
        slots = [self.slots[slot] for slot in chosen]
        union = sorted({i for slot in slots for i in slot.term})
        return sorted(union, key=lambda i: -min(abs(s.strides[i]) for s in slots if i in s.term))

    def _iterations(self, indices: Iterable[int]) -> int:
        return math.prod(self.extents[i] for i in indices)

    def _contract(
        self,
        chosen: list[int],
        kept: Sequence[int],
        result: Layout,
        order: str,
        turns: bool = True,
    ) -> int:
        """Append the step, or two where a sum is split; the slot of the result. With `turns` an
        operand may be copied first with other indices innermost: once, since the rules that say so
        may want it otherwise again."""
        slots = [self.slots[slot] for slot in chosen]
        row = [0] * len(self.extents)
        for index, stride in zip(kept, result.strides, strict=True):
            row[index] = stride if self.extents[index] > 1 else 0
        made = _Slot(tuple(kept), result.dtype, tuple(row))
        union = sorted({i for slot in [*slots, made] for i in slot.term})
        loops = Loops(
            tuple((i,) for i in union),
            tuple(self.extents[i] for i in union),
            tuple(tuple(slot.strides[i] for i in union) for slot in [*slots, made]),
        )
        dtypes = (*(slot.dtype for slot in slots), result.dtype)
        text = ",".join(_text(slot.term) for slot in slots) + "->" + _text(made.term)
        moves = len(slots) == 1 and set(slots[0].term) == set(kept)
        view = Layout(result.shape, tuple(slots[0].strides[i] for i in kept), dtypes[0])
        viewable = moves and _serves(view, result, order)
        if not viewable and result.size * np.dtype(result.dtype).itemsize > sys.maxsize:
            raise ShapeError(f"a result of shape {result.shape} is larger than memory can be")
        task = Task(loops, dtypes, self.compute, moves, viewable)
        if self.early and turns:
            if turned := turned_first(task) or columns_first(task) or lies_otherwise(task):
                number, inner = turned
                chosen = list(chosen)
                chosen[number] = self._turn(chosen[number], inner)
                return self._contract(chosen, kept, result, order, turns=False)
            if rows := kept_at_first(task):
                outer = sorted(kept, key=lambda i: -abs(row[i]))
                sums = self._intermediate(chosen, [*outer, *rows])
                return self._contract([sums], kept, result, order)
        for lowered in lower(task):
            if lowered.name == "view":
                result = view
            layout = lowered.pieces or result
            self.steps.append(Step(tuple(chosen), text, made.term, layout, lowered))
            self.slots.append(made)
            chosen = [len(self.slots) - 1]
            text = f"(spans){_text(made.term)}->{_text(made.term)}"
        return len(self.slots) - 1


def _serves(view: Layout, result: Layout, order: str) -> bool:
    """Whether a view is the result that was asked for: a new one, in its order where it has one."""
    if not order or view.dtype != result.dtype:
        return False
    pairs = zip(view.shape, view.strides, result.strides, strict=True)
    return order in ("K", "A") or all(n < 2 or one == two for n, one, two in pairs)


def _text(indices: Sequence[int]) -> str:
    return "".join(map(index_letter, indices))
