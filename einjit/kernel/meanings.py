"""What generated source calls, in plain Python and numpy: the meaning of each instruction.

With these names in the place of the compiled ones a generated text runs as it stands: it is what
the instructions are tested against. A tile is an array of rows × vectors × lanes.
"""

import ctypes
import itertools
import mmap
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from einjit.source.elements import ELEMENTS

FUNCTIONS: list[Callable[..., Any]] = []
"""What `call9` and `call13` call: addresses are places in this list."""


class Memory:
    """What `pointer` and `restrict` give: the elements from an address on."""

    def __init__(self, address: int, kind: Any) -> None:
        self.address, self.kind = int(address), np.dtype(kind)

    def at(self, place: int) -> Any:
        """An element, as an array without axes."""
        address = self.address + int(place) * self.kind.itemsize
        buffer = (ctypes.c_char * self.kind.itemsize).from_address(address)
        return np.ndarray((), self.kind, buffer)

    def __getitem__(self, place: int) -> Any:
        return self.at(place)[()]

    def __setitem__(self, place: int, value: Any) -> None:
        self.at(place)[()] = value


# ---------------------------------------------------------------- intrinsics


class Scratch(np.ndarray):
    """What `scratch` gives: an array that vectors read as they read `Memory`."""

    @property
    def kind(self) -> Any:
        """The type of its elements."""
        return self.dtype


def scratch(n: int, kind: Any) -> Any:
    """Elements of anything."""
    return np.empty(n, kind).view(Scratch)


def widen(half: Any) -> Any:
    """The float32 of a float16 that is held in 16 bits."""
    return np.float32(half.view(np.float16))


def narrow(value: Any) -> Any:
    """The 16 bits of the float16 nearest to a float32."""
    return np.float16(value).view(np.uint16)


# ---------------------------------------------------------------- memory


def place(address: int, size: int, pairs: Sequence[int]) -> int:
    """The address of an element: indices, each with its stride in elements."""
    return address + size * sum(map(operator.mul, pairs[::2], pairs[1::2]))


def parts(extent: int, length: int) -> int:
    """How many parts of this length, the last one shorter, make up an extent."""
    return -(-extent // length)


def row_of(n: int, line: int) -> int:
    """The length of a row of `n` elements in a box: an odd number of lines."""
    return (-(-n // line) | 1) * line


def call(function: int, arguments: Sequence[int]) -> None:
    """Call what stands at this place of `FUNCTIONS`."""
    FUNCTIONS[function](*arguments)


class Room(int):
    """The address of memory that lives as long as this number."""

    memory: Any


def room(n: int) -> Room:
    """Words on the stack."""
    memory = np.full(n, -1, np.int64)
    found = Room(memory.ctypes.data)
    found.memory = memory
    return found


def set_loop(loops: Room, number: int, loop: Sequence[int]) -> None:
    """Store a loop that `scatter` runs."""
    loops.memory[3 * number : 3 * number + 3] = loop


def take(slots: int) -> Room:
    """Room of the caller's own, all of it NaN: an error would leave a slot taken for ever."""
    step = (ctypes.c_ssize_t * 3).from_address(slots)[2]
    memory = np.full(step + mmap.PAGESIZE, 255, np.uint8)
    room = Room(memory.ctypes.data)
    room.memory = memory
    return room


def give(room: Room) -> None:
    """Nothing: the room goes with its number."""


# ---------------------------------------------------------------- vectors


def load(place: Memory, at: int, vectors: int, lanes: int) -> Any:
    """A tile of one row."""
    return load_first(place, at, vectors, lanes, lanes)


def load_first(place: Memory, at: int, vectors: int, n: int, lanes: int) -> Any:
    """The same, of the last vector only its first `n` elements, the others being 0."""
    row = np.zeros(vectors * lanes, place.kind)
    for i in range((vectors - 1) * lanes + min(n, lanes)):
        row[i] = place[at + i]
    return row.reshape(1, vectors, lanes)


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
    cached: int,
    ahead: int,
    asked: Any,
    lanes: int,
) -> Any:
    """The sum of `depth` outer products of a column of `one` and a row of `two`."""
    total = np.zeros((rows, vectors, lanes), two.kind)
    for k in range(depth):
        column = np.array([one[at + r * row + k * step] for r in range(rows)])
        total += column[:, None, None] * load(two, from_ + k * down, vectors, lanes)
    return total


def product_by_fours(*arguments: Any) -> Any:
    """The same: how many terms an instruction takes is nothing that a program sees."""
    cached = 1
    return product(*(*arguments[:10], cached, *arguments[10:]))


def product_by_pairs(*arguments: Any) -> Any:
    """The same, which the sums of the factors' pairs are not needed for."""
    return product_by_fours(*arguments[:13])


def pair_sums(
    place: Memory,
    at: int,
    across: int,
    along: int,
    depth: int,
    n: int,
    sums: Any,
    to: int,
    lanes: int,
) -> None:
    """The products of elements by pairs, taken from 0."""
    for i in range(n):
        column = [place[at + i * across + k * along] for k in range(depth // 2 * 2)]
        terms = np.array(column, place.kind)
        sums[to + i] = 0 - np.sum(terms[::2] * terms[1::2], dtype=place.kind)


def row_sums(
    sums: Any,
    one: Memory,
    rows: Sequence[int],
    two: Memory,
    others: Sequence[int],
    n: int,
    ahead: int,
    accumulate: int,
    lanes: int,
) -> None:
    """The sums of products of rows, of each of one with each of the other."""
    for i, (a, b) in enumerate(itertools.product(rows, others)):
        terms = [one[a + k] * two[b + k] for k in range(n)]
        total = np.sum(np.array(terms, two.kind), dtype=two.kind)
        sums[i] = sums[i] + total if accumulate else total


def add_rows(
    sums: Any, one: Memory, rows: Sequence[int], factors: Sequence[Any] | int, n: int, lanes: int
) -> None:
    """Rows are added to sums, each times its factor, if it has one."""
    by = [one.kind.type(1)] * len(rows) if isinstance(factors, int) else factors
    for k in range(n):
        terms = [one[a + k] * factor for a, factor in zip(rows, by, strict=True)]
        sums[k] += np.sum(np.array(terms, one.kind), dtype=one.kind)


def column_sums(
    sums: Any, one: Memory, at: int, n: int, columns: int, ahead: int, logical: int, lanes: int
) -> None:
    """The sums of the columns of rows that follow each other."""
    for j in range(columns):
        _add_sum(sums, j, _column(one, at + j, n, columns), logical)


def column_products(
    sums: Any,
    one: Memory,
    at: int,
    two: Memory,
    from_: int,
    n: int,
    columns: int,
    others: int,
    first: int,
    last: int,
    ahead: int,
    logical: int,
    lanes: int,
) -> None:
    """The sums of products of each column of one and some of two, or of those that are alike."""
    for i, j in itertools.product(range(first, last), range(columns)):
        a = _column(one, at + j, n, columns)
        b = _column(two, from_ + (i if others else j), n, others or columns)
        _add_sum(sums, i * columns + j, np.minimum(a, b) if logical else a * b, logical)


def _add_sum(sums: Any, number: int, terms: Any, logical: int) -> None:
    """Add terms to a sum, or one where any of them is not 0."""
    if logical:
        sums[number] |= terms.any()
    else:
        sums[number] += np.sum(terms, dtype=terms.dtype)


def _column(memory: Memory, at: int, n: int, step: int) -> Any:
    return np.array([memory[at + i * step] for i in range(n)], memory.kind)


def update(tile: Any, place: Memory, at: int, stride: int, last: int, accumulate: int) -> None:
    """Write the rows of a tile, or add them; of the last vectors only `last` elements."""
    for r, row in enumerate(tile.reshape(len(tile), -1)):
        for i, value in enumerate(row[: _width(tile, last)]):
            old = place[at + r * stride + i] if accumulate else tile.dtype.type(0)
            place[at + r * stride + i] = value + old if accumulate else value


def update_past(tile: Any, place: Memory, at: int, stride: int, last: int) -> None:
    """Write the rows of a tile."""
    update(tile, place, at, stride, last, 0)


def prefetch(place: Memory, at: int) -> None:
    """Nothing that a program sees."""


def store(tile: Any, place: Memory, at: int) -> None:
    """Write a tile of one row."""
    store_first(tile, place, at, tile.shape[-1])


def store_first(tile: Any, place: Memory, at: int, n: int) -> None:
    """The same, of the last vector only its first `n` elements."""
    for i, value in enumerate(tile.ravel()[: _width(tile, n)]):
        place[at + i] = value


def transpose_rows(
    to: Memory,
    at: int,
    to_rows: Sequence[int],
    source: Memory,
    from_: int,
    rows: Sequence[int],
    lanes: int,
) -> None:
    """The same of rows that lie anywhere."""
    block = [[source[from_ + rows[i] + j] for j in range(lanes)] for i in range(lanes)]
    for j in range(lanes):
        for i in range(lanes):
            to[at + to_rows[j] + i] = block[i][j]


def turn(
    to: Memory,
    at: int,
    to_stride: int,
    source: Memory,
    from_: int,
    stride: int,
    rows: int,
    columns: int,
    past: int,
    lanes: int,
) -> None:
    """The same of a block that is cut off behind so many rows and columns; whole ones that go past
    the caches begin where a vector of memory does."""
    if past and rows >= lanes and columns >= lanes:
        first = to.address + at * to.kind.itemsize
        assert first % (lanes * to.kind.itemsize) == to_stride % lanes == 0
    for i in range(min(rows, lanes)):
        for j in range(min(columns, lanes)):
            to[at + j * to_stride + i] = source[from_ + i * stride + j]


def to_line(place: Memory, at: int) -> int:
    """Elements before the next cache line."""
    number, odd = divmod(-(place.address + at * place.kind.itemsize) % 64, place.kind.itemsize)
    return 1 << 40 if odd else number


def fill(value: Any, lanes: int) -> Any:
    """A vector of one value."""
    return np.full((1, 1, lanes), value)


def multiplied(one: Any, two: Any) -> Any:
    """The products, none of them -0.0."""
    return one * two + one.dtype.type(0)


def store_past(tile: Any, place: Memory, at: int) -> None:
    """Write a tile of one vector, which begins where one of memory does."""
    assert (place.address + at * place.kind.itemsize) % tile.nbytes == 0
    store(tile, place, at)


def stream(source: Memory, from_: int, place: Memory, at: int, n: int, lanes: int) -> None:
    """Copy `n` elements."""
    for i in range(n):
        place[at + i] = source[from_ + i]


def settle() -> None:
    """Nothing that a program sees."""


def _width(tile: Any, last: int) -> int:
    """Elements of a row whose last vector has only so many."""
    _, vectors, lanes = tile.shape
    return int((vectors - 1) * lanes + min(last, lanes))


MEANINGS: dict[str, Any] = {
    **{
        function.__name__: function
        for function in (
            *(scratch, widen, narrow, place, parts, row_of, take, give, room, set_loop),
            *(load, load_first, product, update, update_past, prefetch, store, store_first),
            *(transpose_rows, turn, stream, settle),
            *(row_sums, add_rows, column_sums, column_products),
            *(product_by_fours, product_by_pairs, pair_sums),
            *(to_line, fill, multiplied, store_past),
        )
    },
    "pointer": Memory,
    "restrict": Memory,
    "minimum": min,
    "times": operator.mul,
    "call4": call,
    "call9": call,
    "call13": call,
    **{element.carrier: getattr(np, element.carrier) for element in ELEMENTS.values()},
}
"""Each name that generated source imports, and what it stands for."""
