"""Generated texts as plain Python, every address of theirs checked."""

import numpy as np

from einjit.kernel.meanings import MEANINGS, Memory


class Elements(Memory):
    """Those of an array, from its first on or from an address in it, and none that it has not."""

    def __init__(self, array, kind, address=None):
        super().__init__(array.ctypes.data if address is None else address, kind)
        self.bounds = np.lib.array_utils.byte_bounds(array)

    def at(self, place):
        address = self.address + int(place) * self.kind.itemsize
        assert self.bounds[0] <= address
        assert address + self.kind.itemsize <= self.bounds[1]
        return super().at(place)


def junk(array):
    array[...] = np.nan if array.dtype.kind in "fc" else 77
    return array


NESTS = {
    **MEANINGS,
    **dict.fromkeys(("pointer", "restrict"), Elements),
    "scratch": lambda n, kind: junk(MEANINGS["scratch"](n, kind)),
}
"""For the texts of nests: operands are arrays."""


class Space:
    """Arrays by their addresses, for the texts of packed contractions, and the functions they call,
    of these texts: the numbers from 1 on stand for their addresses."""

    def __init__(self, arrays, *functions):
        self.bounds = [(np.lib.array_utils.byte_bounds(array), array) for array in arrays]
        self.functions = {n: self.contract(text) for n, text in enumerate(functions, 1)}
        self.taken = 0

    def contract(self, text):
        """The function of a text."""
        memory = dict.fromkeys(("pointer", "restrict"), self.pointer)
        given = {"take": self.take, "give": self.give, "room": self.room}
        calls = dict.fromkeys(("call4", "call9", "call13"), self.call)
        return contract_of(text, {**NESTS, **memory, **given, **calls})

    def room(self, n):
        """Words that others find by their address."""
        room = MEANINGS["room"](n)
        self.bounds.append((np.lib.array_utils.byte_bounds(room.memory), room.memory))
        return room

    def pointer(self, address, kind):
        """The memory that an address lies in."""
        for (low, high), array in self.bounds:
            if low <= address < high:
                return Elements(array, kind, address)
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
