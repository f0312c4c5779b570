"""The structure of a packed contraction: all that its source depends on, and nothing else."""

from dataclasses import dataclass, replace

import numpy as np

from einjit.names import index_name, operand_name, term
from einjit.target import (
    multiplies_and_adds_integers,
    multiplies_bytes,
    vector_bytes,
    vector_registers,
)

LINE = 64
"""Bytes of a cache line: rows of packed boxes begin at one."""

MOST_TERMS = 256
"""Terms that are added one after the other at most: what bounds the error of any sum."""

SCRATCH = 8 << 20
"""Bytes of scratch memory that the boxes of a thread have."""

SPARE_TERMS = 2
"""Columns behind each strip of A in its box: its last one is written in whole vectors."""

PAIRED_STRIPS = 4
"""Strips of A,"""

PAIRED_PANELS = 2
"""micropanels of B, and"""

PAIRED_TERMS = 32
"""terms from which integers are multiplied by pairs. Measured: 0.88 to 0.96 of the time from there
on, 0.95 to 1.05 just before, 1.07 to 1.16 of a single strip."""


@dataclass(frozen=True, slots=True)
class Macrokernel:
    """The loops round the microkernels of one dtype: a block of A times a block of B.

    A microkernel holds up to `rows` × 2 vectors of `lanes` elements in registers. Of a
    `far` B, from beyond the L2 cache, what is read next is asked for. With `past` C goes past the
    caches, and nothing is added to it. So many `terms` of a sum are added at once: four of bytes
    where the CPU does so, two of integers by one multiplication.
    """

    dtype: str
    lanes: int
    rows: int
    far: bool = False
    past: bool = False
    terms: int = 1

    kind = "macrokernel"
    arguments = (
        *("m", "n", "depth", "a", "a_i", "a_m", "a_k", "b", "b_j", "b_k"),
        *("c", "c_m", "accumulate"),
    )

    @property
    def wide(self) -> int:
        """Elements of a micropanel's row."""
        return 2 * self.lanes

    def panelled(self, columns: int) -> int:
        """So many columns in whole micropanels."""
        return -(-columns // self.wide) * self.wide

    @property
    def high(self) -> int:
        """Lanes of the smallest vector, or vectors, that a column of a strip fits in."""
        return 1 << (self.rows - 1).bit_length()

    def stripped(self, rows: int) -> int:
        """So many rows in whole strips."""
        height = -(-rows // -(-rows // self.rows))
        return -(-rows // height) * height

    @property
    def compute(self) -> str:
        return self.dtype

    @property
    def dtypes(self) -> tuple[str, ...]:
        return (self.dtype,) * 3

    def __str__(self) -> str:
        kind = f"macrokernel {self.rows}×{self.wide}"
        return kind + " of a far B" * self.far + " past the caches" * self.past

    def describe(self) -> list[str]:
        """What it computes, a line each."""
        return [
            f"C[i, j] = Σ A[i, k] B[k, j] in {self.dtype}"
            + (", whole lines past the caches" if self.past else ", added to C with `accumulate`"),
            f"microkernels of {self.rows} rows × 2 vectors of {self.lanes} lanes, or fewer",
            *["what is read next of B is asked for"] * self.far,
            *["two terms take one multiplication"] * (self.terms == 2),
            *["four terms of bytes are multiplied by one instruction"] * (self.terms == 4),
            "j has unit stride in C, and in B within each micropanel: where that begins, B lies at",
            "j * b_j + k * b_k; a strip of A begins at i * a_i; strides are given in elements",
        ]


@dataclass(frozen=True, slots=True)
class Move:
    """Copying between two layouts of a matrix of `size`-byte elements, `lanes` of them a vector.

    Of what comes from `far` and is transposed the next rows are asked for; with `past` whole lines
    are written past the caches. With `strips` columns are cut into panels of `to_row`, at most
    `lanes`, which are written in whole vectors: what is behind a panel's row is written after it,
    and behind the last one is room.
    """

    size: int
    lanes: int
    far: bool = False
    past: bool = False
    strips: bool = False

    arguments = (
        *("rows", "columns", "to", "to_row", "to_column", "to_panel"),
        *("source", "row", "column"),
    )

    @property
    def compute(self) -> str:
        """The type that elements are moved as: the one of their size that vectors know."""
        return "complex128" if self.size == 16 else f"uint{8 * self.size}"

    @property
    def dtypes(self) -> tuple[str, ...]:
        return (self.compute,) * 2

    @property
    def kind(self) -> str:
        """What generated source calls it."""
        return "move" + "_far" * self.far + "_past" * self.past + "_strips" * self.strips

    def __str__(self) -> str:
        how = " from far" * self.far + " past the caches" * self.past + " into strips" * self.strips
        return "move" + how

    def describe(self) -> list[str]:
        """What it does, a line each."""
        return [
            "X[r * to_row + c * to_column] = Y[r * row + c * column]",
            f"columns of unit stride lie in X in panels of {2 * self.lanes}: each begins at",
            "c * to_panel, which is 1 where they follow each other",
        ]


@dataclass(frozen=True, slots=True)
class Scatter:
    """Copying a box of `size`-byte elements and of many short loops between two layouts, by a table
    of where elements are and where they go: the scatter vectors of TBLIS (Matthews, arXiv
    1607.00291), for whole boxes. Where each layout has `lanes` elements side by side, along other
    loops than the other one, blocks of lanes × lanes are transposed in registers."""

    size: int
    lanes: int

    kind = "scatter"
    arguments = ("loops", "count", "to", "source")

    @property
    def compute(self) -> str:
        """The type that elements are moved as."""
        return Move(self.size, self.lanes).compute

    @property
    def dtypes(self) -> tuple[str, ...]:
        return (self.compute,) * 2

    def __str__(self) -> str:
        return "scatter"

    def describe(self) -> list[str]:
        """What it does, a line each."""
        return [
            "X[a * X_a + b * X_b + ...] = Y[a * Y_a + b * Y_b + ...]",
            "each of the loops is three words: its extent n_a, X_a and Y_a; the first is innermost",
        ]


Part = Macrokernel | Move | Scatter
"""What is compiled once for all contractions of a dtype."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A contraction of A and B by way of packed boxes.

    The loops are numbered batch, M (free, of A), N (free, of B), K (contracted), as many of each as
    the fields say, the last of a group innermost in a packed box. `rows` says that A's boxes hold
    rows along K, else columns along M, with `strips` those of each strip by themselves. `pack_a`
    and `pack_b` say which operands are packed at all; with `kept` a tile is a box of A and all
    those of B, else boxes of A and one of B: the one is packed before the many. With `guarded` B is
    read where it lies but for its last row, behind which vectors would be read that are not there.
    With `panels` each micropanel of B lies by itself in its box, else rows lie side by side. With
    `direct` the microkernels write C itself, else a box that is moved to C; with `past` that goes
    past the caches. `far` says of A and of B whether their boxes are transposed out of memory. The
    boxes hold several iterations of the last `boxed` batch loops: of the one along which C has unit
    stride, or of short ones. One loop of K may be the `span`: it is cut into fixed pieces that run
    in parallel, each with a result of its own.

    `a_move`, `b_move` and `c_move` are the loops of a box in the order it is moved; one call of
    `move` runs the last two, row and column, or where these are short and the box is `scattered`
    (that of A, of B, of C) one call of `scatter` runs all of them.
    """

    batch: int
    m: int
    n: int
    k: int
    macrokernel: Macrokernel
    move: Move
    rows: bool
    strips: bool
    pack_a: bool
    pack_b: bool
    kept: bool
    guarded: bool
    panels: bool
    direct: bool
    far: tuple[bool, bool]
    past: bool
    boxed: int
    span: int | None
    a_move: tuple[int, ...]
    b_move: tuple[int, ...]
    c_move: tuple[int, ...]
    scattered: tuple[bool, bool, bool]

    @property
    def kind(self) -> str:
        """One word for the shape of the loops, for the module's name."""
        return "packed"

    @property
    def needs(self) -> tuple[Part, ...]:
        """What is compiled once for all contractions of these elements."""
        scatter = (Scatter(self.move.size, self.move.lanes),) if any(self.scattered) else ()
        return (self.macrokernel, *dict.fromkeys((self.move, *self.movers)), *scatter)

    @property
    def movers(self) -> tuple[Move, Move, Move]:
        """What moves the boxes of A, of B and of C."""
        a, b = (replace(self.move, far=far) for far in self.far)
        if self.strips:
            a = Move(a.size, self.macrokernel.high, strips=True)
        return a, b, replace(self.move, past=self.past and not self.direct)

    @property
    def moves(self) -> tuple[tuple[int, ...], ...]:
        """The loops of the boxes of A, of B and of C in the order they are moved."""
        return self.a_move, self.b_move, self.c_move

    @property
    def compute(self) -> str:
        return self.macrokernel.dtype

    @property
    def dtypes(self) -> tuple[str, ...]:
        return (self.compute,) * 3

    @property
    def group_h(self) -> tuple[int, ...]:
        """The batch loops."""
        return tuple(range(self.batch))

    @property
    def group_s(self) -> tuple[int, ...]:
        """The batch loops whose iterations lie side by side in boxes."""
        return self.group_h[self.batch - self.boxed :]

    @property
    def group_m(self) -> tuple[int, ...]:
        return tuple(range(self.batch, self.batch + self.m))

    @property
    def group_n(self) -> tuple[int, ...]:
        return tuple(range(self.batch + self.m, self.batch + self.m + self.n))

    @property
    def group_k(self) -> tuple[int, ...]:
        start = self.batch + self.m + self.n
        return tuple(range(start, start + self.k))

    @property
    def loops(self) -> int:
        return self.batch + self.m + self.n + self.k

    @property
    def contracted(self) -> tuple[int, ...]:
        return self.group_k

    @property
    def terms(self) -> tuple[tuple[int, ...], ...]:
        """The loops of A, B and C."""
        h, m, n, k = self.group_h, self.group_m, self.group_n, self.group_k
        return (*h, *m, *k), (*h, *k, *n), (*h, *m, *n)

    @property
    def operands(self) -> tuple[str, ...]:
        return tuple(operand_name(number) for number in range(3))

    def __str__(self) -> str:
        """The step in the field's notation: `ac,cb->ab`, its letters those of the loops."""
        return ",".join(map(term, self.terms[:-1])) + "->" + term(self.terms[-1])

    def describe(self) -> list[str]:
        """The operands, how they are packed, and the role of each loop, a line each."""
        columns = "strips" if self.strips else "columns along M"
        a = "packed in " + ("rows along K" if self.rows else columns)
        b = "packed in " + ("micropanels" if self.panels else "rows along N")
        a, b, c = (
            text + ", by a table of places" * short
            for text, short in zip(
                (a, b, "by way of a box in the cache"), self.scattered, strict=True
            )
        )
        lines = [
            f"A: {self.compute}, {a if self.pack_a else 'read where it lies'}"
            + ", once for all boxes of N" * self.kept,
            f"B: {self.compute}, {b if self.pack_b else 'read where it lies'}",
            f"C: {self.compute}, "
            + ("written from registers" if self.direct else c)
            + ", past the caches" * self.past,
        ]
        roles = ("batch", "free, of A (M)", "free, of B (N)", "contracted (K)")
        groups = (self.group_h, self.group_m, self.group_n, self.group_k)
        for role, group in zip(roles, groups, strict=True):
            lines += [f"{index_name(i)}: {role}" for i in group]
        lines += [f"{index_name(i)}: side by side in the boxes" for i in self.group_s]
        return lines

    def sizes(self) -> list[str]:
        """The names of what the compiled kernel is handed besides addresses, in this order.

        `n_a` are extents, `box_a` the extent of a loop's box, `A_a` strides in elements; `per_tile`
        boxes of M are a tile's; `to_b` and `to_c` are where the boxes of B and C lie in the scratch
        memory, in bytes; `held` is 1 where a tile's boxes of C wait there for the next block of K,
        else 0: there is room for one.
        """
        h, m, n, k = self.group_h, self.group_m, self.group_n, self.group_k
        names = [f"n_{index_name(i)}" for i in (*h, *m, *n, *k)]
        names += [f"box_{index_name(i)}" for i in (*self.group_s, *m, *n, *k)]
        names += ["per_tile", "to_b", "to_c", "held"]
        names += ["span", "C_span"] * (self.span is not None)
        for operand, loops in zip(self.operands, self.terms, strict=True):
            names += [f"{operand}_{index_name(i)}" for i in loops]
        return names


def macrokernel(dtype: str) -> Macrokernel:
    """The macrokernel of a dtype: as many rows as leave a few registers free for B and a factor."""
    size = np.dtype(dtype).itemsize
    rows = 3 * vector_registers() // 8
    if size == 1 and multiplies_bytes():  # sums of four bytes each: four registers in place of two
        return Macrokernel(dtype, vector_bytes() // 2, rows // 2, terms=4)
    kind = np.dtype(dtype).kind
    apart = kind in "iu" and size == 8 and vector_registers() <= 16
    parts = 2 if kind == "c" or apart else 1  # registers of a complex sum, or of halves of products
    return Macrokernel(dtype, vector_bytes() // size, rows // parts)


def by_pairs(kernel: Macrokernel, extents: tuple[int, int, int], rows: bool) -> Macrokernel:
    """The macrokernel that adds two terms at once: of integers whose `extents` of M, N and K are
    such that the sums of pairs take little beside the products that each is used for; else the
    same. `rows` says that A lies in rows: its columns are read slower.

    Where 16 registers are all there are, it is for bytes and words of 8, whose multiplications are
    taken apart there: 0.6 to 0.8 of the time. Of others it takes up to 1.3 times as long.
    """
    m, n, k = extents
    dtype = np.dtype(kernel.dtype)
    pays = dtype.kind in "iu" and (dtype.itemsize in (1, 8) or vector_registers() > 16)
    panels = PAIRED_PANELS if rows else 4 * PAIRED_PANELS
    often = m >= PAIRED_STRIPS * kernel.rows and n >= panels * kernel.wide and k >= PAIRED_TERMS
    if pays and often and kernel.terms == 1 and not multiplies_and_adds_integers():
        return replace(kernel, terms=2)
    return kernel


def move(dtype: str) -> Move:
    """The move of a dtype's elements."""
    return Move(np.dtype(dtype).itemsize, macrokernel(dtype).lanes)
