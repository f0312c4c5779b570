"""What generated source may call, in plain Python and numpy: a meaning for each instruction.

With these a generated text runs as it stands. Addresses are real ones, but what is read and written
must lie in an array that a `Space` was given.
"""

import ctypes
import operator

import numpy as np

from einjit.source.elements import ELEMENTS


class Memory:
    """What `pointer` gives: the elements from an array's first on, or from an address in it, and
    none that it has not."""

    def __init__(self, array, kind, address=None):
        self.array, self.kind = array, np.dtype(kind)
        self.address = array.ctypes.data if address is None else address
        self.bounds = np.lib.array_utils.byte_bounds(array)

    def at(self, place):
        address = self.address + int(place) * self.kind.itemsize
        assert self.bounds[0] <= address
        assert address + self.kind.itemsize <= self.bounds[1]
        buffer = (ctypes.c_char * self.kind.itemsize).from_address(address)
        return np.ndarray((), self.kind, buffer)

    def __getitem__(self, place):
        return self.at(place)[()]

    def __setitem__(self, place, value):
        self.at(place)[()] = value


def junk(array):
    array[...] = np.nan if array.dtype.kind in "fc" else 77
    return array


# --- tiles: arrays of rows × vectors × lanes


def zeros(rows, vectors, lanes, kind):
    return np.zeros((rows, vectors, lanes), kind)


def load(place, at, vectors, lanes):
    row = [place[at + i] for i in range(vectors * lanes)]
    return np.array(row).reshape(1, vectors, lanes)


def load_first(place, at, n, lanes):
    zero = type(place[at])(0) if n else 0
    row = [place[at + i] if i < n else zero for i in range(lanes)]
    return np.array(row).reshape(1, 1, lanes)


def multiply_add(tile, place, at, stride, row):
    factors = np.array([place[at + r * stride] for r in range(len(tile))])
    return tile + factors[:, None, None] * row


def add(tile, place, at, stride):
    return add_first(tile, place, at, stride, tile[0].size)


def add_first(tile, place, at, stride, n):
    total = tile.copy()
    for r, row in enumerate(total.reshape(len(tile), -1)):
        for i in range(n):
            row[i] += place[at + r * stride + i]
    return total


def store(tile, place, at, stride):
    store_first(tile, place, at, stride, tile[0].size)


def store_first(tile, place, at, stride, n):
    for r, row in enumerate(tile.reshape(len(tile), -1)):
        for i in range(n):
            place[at + r * stride + i] = row[i]


def transpose(to, at, to_stride, source, from_, stride, lanes):
    block = [[source[from_ + i * stride + j] for j in range(lanes)] for i in range(lanes)]
    for j in range(lanes):
        for i in range(lanes):
            to[at + j * to_stride + i] = block[i][j]


TILES = {
    function.__name__: function
    for function in (
        *(zeros, load, load_first, multiply_add, add, add_first, store, store_first, transpose),
    )
}

NESTS = {
    "pointer": Memory,
    "scratch": lambda n, kind: junk(np.empty(n, kind)),
    "minimum": min,
    "times": operator.mul,
    "widen": lambda half: np.float32(half.view(np.float16)),
    "narrow": lambda value: np.float16(value).view(np.uint16),
    **{e.carrier: getattr(np, e.carrier) for e in ELEMENTS.values()},
}
"""For the texts of nests: operands are arrays."""


class Space:
    """Arrays by their addresses, for the texts of packed contractions, and the functions they call,
    of these texts: the numbers 1 and 2 stand for their addresses."""

    def __init__(self, arrays, macrokernel, move):
        self.bounds = [(np.lib.array_utils.byte_bounds(array), array) for array in arrays]
        self.functions = {1: self.contract(macrokernel), 2: self.contract(move)}
        self.taken = 0

    def contract(self, text):
        """The function of a text."""
        given = {"pointer": self.pointer, "take": self.take, "give": self.give}
        calls = {"call8": self.call, "call11": self.call}
        return contract_of(text, {**NESTS, **TILES, **given, **calls})

    def pointer(self, address, kind):
        """The memory that an address lies in."""
        for (low, high), array in self.bounds:
            if low <= address < high:
                return Memory(array, kind, address)
        raise AssertionError("an address outside of all arrays")

    def take(self, address):
        self.taken += 1
        assert self.taken == 1
        return address

    def give(self, address):
        self.taken -= 1

    def call(self, function, arguments):
        self.functions[function](*arguments)


def contract_of(text, names):
    """The function of a generated text, with these meanings of what it calls."""
    lines = text.splitlines(keepends=True)
    start = next(n for n, line in enumerate(lines) if line.startswith("CODEGEN"))
    space = dict(names)
    exec("".join(lines[start:]), space)
    return space["contract"]
