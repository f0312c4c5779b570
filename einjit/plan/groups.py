"""The loops of a contraction of two operands by their role: which operand is A, and which B."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from einjit.plan.indices import Loops
from einjit.plan.packed import Macrokernel

MOST_LOOPS = 11
"""Loops of a contraction up to which boxes are moved, and C is written, in nested loops: Python
nests 20 blocks."""


@dataclass(frozen=True, slots=True)
class Groups:
    """The loops of a step by their role: batch, M, N and K; A and B the first two rows of strides.

    What neither operand varies along, though the result does, is batch too.
    """

    h: tuple[int, ...]
    m: tuple[int, ...]
    n: tuple[int, ...]
    k: tuple[int, ...]

    @classmethod
    def of(cls, loops: Loops) -> "Groups":
        """The groups of a step of two operands."""
        a, b, c = loops.strides
        every = range(len(loops.extents))
        return cls(
            tuple(i for i in every if c[i] and bool(a[i]) == bool(b[i])),
            tuple(i for i in every if c[i] and a[i] and not b[i]),
            tuple(i for i in every if c[i] and b[i] and not a[i]),
            tuple(i for i in every if not c[i]),
        )


def unit_loop(strides: Sequence[int]) -> int | None:
    """The loop along which an operand has unit stride."""
    return next((i for i, stride in enumerate(strides) if stride == 1), None)


def wants_swap(loops: Loops, kernel: Macrokernel) -> bool:
    """Whether the lanes run along the first operand's free indices: where the result has its unit
    stride, unless that side is too short for vectors, or where the operand has, if it is long and
    the other side is few rows; of many short loops along the longer side."""
    groups = Groups.of(loops)
    m, n = (math.prod(loops.extents[i] for i in group) for group in (groups.m, groups.n))
    a, b, unit = map(unit_loop, loops.strides)
    if a in groups.m and n <= kernel.rows and n < kernel.wide <= m:
        return True
    if b in groups.n and m <= kernel.rows and m < kernel.wide <= n:
        return False
    if len(loops.extents) > MOST_LOOPS:  # boxes of C are scattered anyway
        return m > n
    if unit in groups.n and n >= kernel.lanes // 2:
        return False
    return (unit in groups.m and m >= kernel.lanes // 2) or m > n


def with_a_row(loops: Loops, operand: int) -> Loops:
    """The loops, and one of a single iteration: vectors are matrices of one row."""
    strides = tuple((*row, int(k in (operand, 2))) for k, row in enumerate(loops.strides))
    return Loops((*loops.indices, ()), (*loops.extents, 1), strides)
