"""The boxes of a packed contraction: which operand's indices run along the lanes, in which order
the indices of a group are flattened, and how many of each a box holds.

The sizes follow BLIS's model (Low et al., *Analytical modeling is enough for high-performance
BLIS*): a micropanel of B in half of the L1 cache, the box of B in half of the L2 cache, that of A
in an eighth; and Octavian's rule that an extent is cut evenly.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from einjit.plan.indices import Loops
from einjit.plan.packed import Macrokernel, Move, Packed
from einjit.target import caches, cores, vector_bytes, vector_registers

VECTORS = 2
"""Vectors of a microkernel's row."""

TILES_A_CORE = 4
"""Tiles that a large contraction is cut into for each core of the machine."""

MOST_TERMS = 256
"""Terms that are added one after the other at most: what bounds the error of any sum."""

LARGEST_L2 = 2 << 20
"""Bytes of an L2 cache that boxes are made for at most: all of them lie in a slot of the scratch
memory."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """A packed contraction with its numbers: `sizes` those of `packed.sizes()`, `order` which of
    the step's operands is A and which is B."""

    packed: Packed
    loops: Loops
    sizes: tuple[int, ...]
    tiles: int
    order: tuple[int, ...]


def macrokernel(dtype: str) -> Macrokernel:
    """The macrokernel of a dtype: as many rows as leave a few registers free for B and a factor."""
    lanes = vector_bytes() // np.dtype(dtype).itemsize
    return Macrokernel(dtype, lanes, 3 * vector_registers() // 8, VECTORS)


def move(dtype: str) -> Move:
    """The move of a dtype's elements."""
    size = np.dtype(dtype).itemsize
    return Move(size, vector_bytes() // size)


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


def block(loops: Loops, dtype: str) -> Blocked:
    """Block a contraction of two operands, simplified, whose groups M, N and K are not empty."""
    order = (0, 1)
    if _wants_swap(loops, macrokernel(dtype)):
        order = (1, 0)
        loops = Loops(
            loops.indices, loops.extents, (loops.strides[1], loops.strides[0], loops.strides[2])
        )
    return _Blocking(loops, dtype).blocked(order)


def _wants_swap(loops: Loops, kernel: Macrokernel) -> bool:
    """Whether the lanes run along the first operand's free indices: where the result has its unit
    stride, unless that side is too short for vectors."""
    groups = Groups.of(loops)
    m, n = (math.prod(loops.extents[i] for i in group) for group in (groups.m, groups.n))
    unit = _unit(loops.strides[2])
    if unit in groups.n and n >= kernel.lanes // 2:
        return False
    return (unit in groups.m and m >= kernel.lanes // 2) or m > n


def _unit(strides: Sequence[int]) -> int | None:
    """The loop along which an operand has unit stride."""
    return next((i for i, stride in enumerate(strides) if stride == 1), None)


class _Blocking:
    """The decisions of one contraction, in the order they are made."""

    def __init__(self, loops: Loops, dtype: str) -> None:
        self.dtype, self.size = dtype, np.dtype(dtype).itemsize
        self.kernel = macrokernel(dtype)
        self.wide = self.kernel.lanes * self.kernel.vectors
        self.loops, self.extents = loops, loops.extents
        self.a, self.b, self.c = loops.strides
        self.units = tuple(map(_unit, loops.strides))
        groups = Groups.of(loops)
        self.h = tuple(sorted(groups.h, key=lambda i: -abs(self.c[i])))
        self.m, self.n, self.k = groups.m, groups.n, groups.k
        self.rows = self.units[0] not in self.m
        self.m = self._last(self.m, self.units[0], self.c)
        self.k = self._last(self.k, *self._first_of(self.k), self.a)
        self.n = self._last(self.n, self._lane_loop(), self.c)
        self.direct = self._is_direct()

    def _first_of(self, group: tuple[int, ...]) -> tuple[int | None]:
        a, b, _ = self.units
        return (a if a in group else b,)

    def _last(
        self, group: tuple[int, ...], last: int | None, strides: Sequence[int]
    ) -> tuple[int, ...]:
        """A group in the order it is flattened, large strides first and one loop last."""
        return tuple(sorted(group, key=lambda i: (i == last, -abs(strides[i]))))

    def _lane_loop(self) -> int | None:
        """The loop that lanes run along: C's unit stride or, where turning C round is less work
        than turning B round for every box of M, B's."""
        _, b, c = self.units
        if c not in self.n or b not in self.n or b == c:
            return c if c in self.n else b
        m, k = self._volume(self.m), self._volume(self.k)
        return c if k * -(-m // 1024) < m else b

    def _is_direct(self) -> bool:
        """Whether C is written from registers: its rows are long, or whole vectors."""
        last = self.n[-1]
        if self.units[2] != last:
            return False
        extent = self.extents[last]
        return extent >= 2 * self.wide or extent % self.kernel.lanes == 0 or len(self.n) == 1

    def _volume(self, loops: Sequence[int]) -> int:
        return math.prod(self.extents[i] for i in loops)

    # ------------------------------------------------------------ boxes

    def blocked(self, order: tuple[int, ...]) -> Blocked:
        """The contraction, blocked."""
        box = self._boxes()
        per_tile = 1
        boxes = {i: -(-self.extents[i] // box[i]) for i in box}
        all_m = math.prod(boxes[i] for i in self.m)
        others = self._volume(self.h) * math.prod(boxes[i] for i in self.n)
        if self.direct or all(boxes[i] == 1 for i in self.k):
            per_tile = max(1, min(all_m, others * all_m // (TILES_A_CORE * cores())))
        tiles = others * -(-all_m // per_tile)
        packed = self._packed(box)
        arranged = self.loops.take([*self.h, *self.m, *self.n, *self.k])
        return Blocked(packed, arranged, self._sizes(packed, box, per_tile), tiles, order)

    def _boxes(self) -> dict[int, int]:
        """The extent of each loop's box."""
        l1, l2 = caches()
        l2 = min(l2, LARGEST_L2, 64 * l1)
        deep = min(MOST_TERMS, l1 // (2 * self.wide * self.size))
        wide = l2 // (2 * deep * self.size)
        high = l2 // (8 * deep * self.size)
        if not self.direct:
            wide = min(wide, high * 2)
        a, b, c = self.units
        box = self._fill(self.k, deep, [b], 1)
        box |= self._fill(self.n, wide, [c, b], self.wide)
        box |= self._fill(self.m, high, [a, c], self.kernel.rows)
        return box

    def _fill(
        self, group: tuple[int, ...], room: int, first: list[int | None], step: int
    ) -> dict[int, int]:
        """Extents of a group's box within a room: a line's worth along the unit strides first, then
        whole loops from the innermost."""
        box = dict.fromkeys(group, 1)
        line = 64 // self.size
        wanted = [i for i in first if i in box and i != group[-1]]
        for i in wanted:
            box[i] = min(self.extents[i], line)
        for i in [group[-1], *wanted, *reversed(group)]:
            free = max(1, room // (math.prod(box.values()) // box[i]))
            if box[i] < free:
                box[i] = self._even(self.extents[i], free, step if i == group[-1] else 1)
        return box

    def _even(self, extent: int, most: int, step: int) -> int:
        """The largest part of at most `most` that cuts an extent evenly, in steps where it can."""
        if extent <= most:
            return extent
        part = -(-extent // -(-extent // most))
        stepped = -(-part // step) * step
        return stepped if stepped <= most else max(step, most // step * step)

    # ------------------------------------------------------------ the structure and its numbers

    def _packed(self, box: dict[int, int]) -> Packed:
        a, b, c = self.units
        name = {old: new for new, old in enumerate([*self.h, *self.m, *self.n, *self.k])}
        inner_m, inner_n, inner_k = self.m[-1], self.n[-1], self.k[-1]
        b_row = b if b is not None and b != inner_n and b not in self.h else inner_k
        rest = [i for i in (*self.m, *self.n) if i != inner_n]
        c_row = c if c in rest else min(rest, key=lambda i: abs(self.c[i]))
        a_pair = (inner_m, inner_k) if self.rows else (inner_k, inner_m)
        single = len(self.k) == 1
        keeps_a = single and (self.direct or len(self.m) == 1)
        keeps_b = single and (self.direct or len(self.n) == 1) and self.b[inner_n] == 1
        return Packed(
            batch=len(self.h),
            m=len(self.m),
            n=len(self.n),
            k=len(self.k),
            macrokernel=self.kernel,
            move=move(self.dtype),
            rows=self.rows,
            pack_a=not (keeps_a and self._leaves_a(box)),
            pack_b=not (keeps_b and self._leaves_b(box)),
            direct=self.direct,
            a_move=(name[a_pair[0]], name[a_pair[1]]),
            b_move=(name[b_row], name[inner_n]),
            c_move=(name[c_row], name[inner_n]),
        )

    def _leaves_a(self, box: dict[int, int]) -> bool:
        """Whether reading A where it lies costs less than packing it: its rows are read along K,
        or it is used too little."""
        return self.rows or self._volume(self.n) <= 4 * self.wide

    def _leaves_b(self, box: dict[int, int]) -> bool:
        """Whether reading B where it lies costs less than packing it: M is short, or B is small."""
        small = self._volume(self.k) * self._volume(self.n) * self.size <= caches()[1] // 4
        return small or self._volume(self.m) <= 4 * self.kernel.rows

    def _sizes(self, packed: Packed, box: dict[int, int], per_tile: int) -> tuple[int, ...]:
        h, m, n, k = self.h, self.m, self.n, self.k
        size = self.size

        def padded(count: int) -> int:
            return (-(-count * size // 64) | 1) * 64

        height, width, depth = (math.prod(box[i] for i in group) for group in (m, n, k))
        to_b = height * padded(depth) if packed.rows else depth * padded(height)
        to_c = to_b + depth * padded(width)
        sizes = [self.extents[i] for i in (*h, *m, *n, *k)]
        sizes += [box[i] for i in (*m, *n, *k)]
        sizes += [per_tile, to_b, to_c]
        terms = ((*h, *m, *k), (*h, *k, *n), (*h, *m, *n))
        for row, term in zip((self.a, self.b, self.c), terms, strict=True):
            sizes += [row[i] for i in term]
        return tuple(sizes)
