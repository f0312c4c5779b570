"""What generated source calls beside plain Python, in plain Python: a meaning for each instruction.

With these in place of the instructions, a generated text runs as it stands, in steps that can be
watched. Memory is what it is in compiled code, an address; where `reachable` says which arrays it
may lie in, whatever strays from them is an IndexError.

Tiles are arrays of rows × vectors × lanes.
"""

import ctypes
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from einjit.equation.operands import Array
from einjit.kernel.layout import SLOT_HEADER
from einjit.source.elements import ELEMENTS
from einjit.source.module import CALLED

Bounds = tuple[int, int]

_reachable: ContextVar[list[Bounds] | None] = ContextVar("reachable", default=None)
_taking = threading.Lock()


@contextmanager
def reachable(arrays: Iterable[Array]) -> Iterator[None]:
    """For as long as the context lasts, memory is read and written within these arrays only."""
    token = _reachable.set([np.lib.array_utils.byte_bounds(array) for array in arrays])
    try:
        yield
    finally:
        _reachable.reset(token)


class Memory:
    """Elements of a type from an address on, all of them within one of some ranges of addresses."""

    def __init__(self, address: int, kind: Any, within: list[Bounds] | None) -> None:
        self.address, self.kind, self.within = int(address), np.dtype(kind), within
        self.owner: Array | None = None  # what must live as long

    def run(self, at: int, n: int) -> Array:
        """The `n` elements from a place on, to be read or written."""
        first = self.address + int(at) * self.kind.itemsize
        size = n * self.kind.itemsize
        within = [(first, first + size)] if self.within is None or not size else self.within
        if not any(low <= first and first + size <= high for low, high in within):
            raise IndexError(f"{n} of {self.kind} from place {at} on: not within an operand")
        return np.ndarray(n, self.kind, (ctypes.c_char * size).from_address(first))

    def __getitem__(self, at: int) -> Any:
        return self.run(at, 1)[0]

    def __setitem__(self, at: int, value: Any) -> None:
        self.run(at, 1)[0] = value


# ---------------------------------------------------------------- intrinsics


def pointer(address: int, kind: Any) -> Memory:
    """The elements of a type from an address on."""
    return Memory(address, kind, _reachable.get())


def scratch(n: int, kind: Any) -> Memory:
    """Room for `n` elements; what nobody has written is NaN, or -1."""
    room = np.frombuffer(bytearray(b"\xff" * (n * np.dtype(kind).itemsize)), kind)
    memory = Memory(room.ctypes.data, kind, [np.lib.array_utils.byte_bounds(room)])
    memory.owner = room
    return memory


def minimum(one: int, two: int) -> int:
    """The smaller of two sizes."""
    return min(one, two)


def times(one: Any, two: Any) -> Any:
    """The product of two complex numbers, by the products of their parts."""
    return one * two


def widen(half: Any) -> Any:
    """The float32 of a float16 that is held in 16 bits."""
    return np.float32(half.view(np.float16))


def narrow(value: Any) -> Any:
    """The 16 bits of the float16 nearest to a float32."""
    return np.float16(value).view(np.uint16)


# ---------------------------------------------------------------- memory


def call(function: int, arguments: Sequence[Any]) -> None:
    """Call the function at an address: here, that of Python's object for it."""
    ctypes.cast(function, ctypes.py_object).value(*arguments)


call8 = call11 = call


def place(address: int, size: int, pairs: Sequence[int]) -> int:
    """The address of an element of `size` bytes: `pairs` are an index and its axis' stride."""
    return address + size * sum(i * s for i, s in zip(pairs[::2], pairs[1::2], strict=True))


def parts(extent: int, length: int) -> int:
    """How many parts of this length, the last one shorter, make up an extent."""
    return -(-extent // length)


def row_of(n: int, line: int) -> int:
    """The length of a row of `n` elements in a box: an odd number of lines."""
    return (-(-n // line) | 1) * line


def take(slots: int) -> int:
    """The address of a free slot's room, from now on this thread's; waits while none is free.

    One that an exception left taken is its thread's still.
    """
    n, first, step = _words(slots, 3)
    this = threading.get_ident()
    while True:
        for slot in range(first, first + n * step, step):
            lock = _words(slot, 1)
            with _taking:
                if lock[0] in (0, this):
                    lock[0] = this
                    return slot + SLOT_HEADER
        time.sleep(0)


def give(room: int) -> None:
    """Give a slot back."""
    _words(room - SLOT_HEADER, 1)[0] = 0


def _words(address: int, n: int) -> Any:
    return (ctypes.c_ssize_t * n).from_address(address)


# ---------------------------------------------------------------- vectors


def load(memory: Memory, at: int, vectors: int, lanes: int) -> Array:
    """The vectors that lie side by side from a place on: a tile of one row."""
    return load_first(memory, at, vectors, lanes, lanes)


def load_first(memory: Memory, at: int, vectors: int, n: int, lanes: int) -> Array:
    """The same where the last vector has only its first `n` elements, the others being 0."""
    row = np.zeros(vectors * lanes, memory.kind)
    there = _count(row, lanes, n)
    row[:there] = memory.run(at, there)
    return row.reshape(1, vectors, lanes)


def store(tile: Array, memory: Memory, at: int) -> None:
    """Write a tile of one row from a place on."""
    store_first(tile, memory, at, tile.shape[-1])


def store_first(tile: Array, memory: Memory, at: int, n: int) -> None:
    """The same, of the last vector only its first `n` elements."""
    update(tile, memory, at, 0, n, 0)


def product(
    one: Memory,
    at: int,
    row: int,
    step: int,
    two: Memory,
    from_: int,
    down: int,
    depth: int,
    rows: int,
    vectors: int,
    lanes: int,
) -> Array:
    """The sum of `depth` outer products: a tile whose row r is the sum over k of
    `one[at + r * row + k * step]` times the vectors from `two[from_ + k * down]` on."""
    tiles = [np.zeros((rows, vectors, lanes), two.kind) for _ in range(2)]
    real, imaginary = tiles
    part = real.real.dtype
    sums = [tile.view(part) for tile in tiles]
    for k in range(depth):
        factors = np.array([one[at + r * row + k * step] for r in range(rows)])[:, None, None]
        vector = load(two, from_ + k * down, vectors, lanes).view(part)
        sums[0][:] = multiply_add(factors.real, vector, sums[0])
        if part != two.kind:
            sums[1][:] = multiply_add(factors.imag, vector, sums[1])
    if part != two.kind:  # plus i times what the factors' imaginary parts gave
        real.real -= imaginary.imag
        real.imag += imaginary.real
    return real


def multiply_add(one: Array, two: Array, total: Array) -> Array:
    """A product added to a total. Compiled code rounds floats once, this rounds the product too."""
    return total + one * two


def update(tile: Array, memory: Memory, at: int, stride: int, last: int, accumulate: int) -> None:
    """Write the rows of a tile `stride` elements apart, or add them with `accumulate`; of a row's
    last vector only the first `last` elements, where it has more."""
    for r, row in enumerate(tile.reshape(len(tile), -1)):
        there = memory.run(at + r * stride, _count(row, tile.shape[-1], last))
        there[:] = row[: there.size] + there if accumulate else row[: there.size]


def transpose(
    to: Memory, at: int, to_stride: int, source: Memory, from_: int, stride: int, lanes: int
) -> None:
    """Write a block of lanes × lanes transposed: `to[at + j * to_stride + i]` is
    `source[from_ + i * stride + j]`."""
    block = np.array([source.run(from_ + i * stride, lanes) for i in range(lanes)])
    for j in range(lanes):
        to.run(at + j * to_stride, lanes)[:] = block[:, j]


def prefetch(memory: Memory, at: int) -> None:
    """Ask for a cache line, which need not be there: nothing that can be seen."""


def _count(row: Array, lanes: int, last: int) -> int:
    """Elements of a row of whole vectors whose last one has only its first few."""
    return row.size - lanes + min(max(last, 0), lanes)


MEANINGS: dict[str, Any] = {
    **{name: globals()[name] for names in CALLED.values() for name in names},
    **{e.carrier: getattr(np, e.carrier) for e in ELEMENTS.values()},
}
"""By the names in generated source: what it calls, and the types of elements."""
