"""Products of bytes by fours: the same bytes as one after the other, whether the CPU multiplies
bytes or not, and nothing else touched."""

import ctypes
import functools
import os
import sys
from itertools import product

import children
import numpy as np
import pytest
from test_guard_pages import fenced
from test_vectors import WORDS, Probe

from einjit.kernel import fours
from einjit.kernel.build import Kernel
from einjit.kernel.plain import PlainKernel

TILES = ((1, 1), (2, 2), (4, 1), (6, 2), (7, 2))
"""Rows and vectors of a row."""

LANES = 16

CALLS = {
    **{
        (*tile, far): "update(product_by_fours(Y, a, b, c, Z, d, e, f, {}, {}, ".format(*tile)
        + f"{'k' if far else '0'}, (Y, k, 2, 3, 4), {LANES}), X, g, h, i, j)"
        for tile in TILES
        for far in (0, 1)
    },
    (6, 2, "past"): f"update_past(product_by_fours(Y, a, b, c, Z, d, e, f, 6, 2, 0, (Y, k, 2, 3, 4)"
    f", {LANES}), X, g, h, i)",
}
"""What is carried out, by a name."""

DEPTHS = (1, 2, 3, 4, 5, 7, 8, 9, 30)


def source(dtype):
    lines = [
        f"from numba.types import {dtype}",
        "from einjit.kernel.fours import product_by_fours",
        "from einjit.kernel.intrinsics import pointer",
        "from einjit.kernel.vectors import update, update_past",
        f"def contract({', '.join(Probe.arguments)}):",
        *(f"    {name} = pointer({name.lower()}, {dtype})" for name in "XYZ"),
    ]
    for number, call in enumerate(CALLS.values()):
        lines += [f"    if which == {number}:", f"        {call}"]
    return Probe(dtype, "\n".join(lines) + "\n").source()


@functools.cache
def compiled(dtype, instruction):
    """With the CPU's own instruction if it has one, or with those that every CPU has."""
    with pytest.MonkeyPatch.context() as patch:
        if not instruction:
            patch.setattr(fours, "multiplies_bytes", lambda: False)
        kernel = Kernel(source(dtype))
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_ssize_t] * len(Probe.arguments))(kernel.address)
    function.kernel = kernel  # lives as long
    return function


@functools.cache
def plain(dtype):
    return PlainKernel(source(dtype)).contract


def carry_out(function, call, x, y, z, *words):
    padded = (*words, *[0] * (len(WORDS) - len(words)))
    with np.errstate(all="ignore"):
        function(list(CALLS).index(call), *(array.ctypes.data for array in (x, y, z)), *padded)
    return x


def some(dtype, n, seed):
    return np.frombuffer(np.random.default_rng(seed).bytes(n), dtype).copy()


@pytest.mark.parametrize("instruction", [True, False])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("call", list(CALLS))
def test_products_by_fours(call, dtype, instruction):
    """Any depth, factors side by side or not, strides of either sign, rows cut off, added to or
    not."""
    vectors = call[1]
    wide = vectors * LANES
    x, y, z = (some(dtype, 6000, seed) for seed in range(3))
    places = (
        *((0, 40, 1, 0, wide), (2, 41, 1, 1, wide + 1), (0, 1, 9, 0, wide + 5)),
        (400, -9, -3, 3000, -wide),
    )
    rows = ((5, wide + 2, LANES - 1), (64, 3 * LANES, LANES), (0, wide, 1))
    for (where, depth), (first, stride, last) in product(product(places, DEPTHS), rows):
        for add in (0, 1):
            words = (*where, depth, first, stride, last, add, depth)
            found = carry_out(compiled(dtype, instruction), call, x.copy(), y, z, *words)
            expected = carry_out(plain(dtype), call, x.copy(), y, z, *words)
            np.testing.assert_array_equal(found, expected)


def drill():
    """Everything that is read or written ends before an unreadable page."""
    for (rows, vectors, far), depth, step in product(list(CALLS)[:-1], DEPTHS, (1, 9)):
        wide = vectors * LANES
        row = depth if step == 1 else 1
        last = (rows - 1) * row + (depth - 1) * step
        y = fenced(some("int8", last + 1, 1), "behind")
        z = fenced(some("int8", depth * wide, 2), "behind")
        for n in (1, LANES - 1, LANES):
            count = wide - LANES + n
            x = fenced(some("int8", rows * count, 3), "behind")
            expected = x.copy()
            words = (0, row, step, 0, wide, depth, 0, count, n, 1)
            carry_out(compiled("int8", True), (rows, vectors, far), x, y, z, *words)
            carry_out(plain("int8"), (rows, vectors, far), expected, y, z, *words)
            np.testing.assert_array_equal(x, expected)


@pytest.mark.skipif(sys.platform == "win32", reason="mprotect is not there")
def test_nothing_behind_the_last_elements_is_touched():
    compiled("int8", True)  # here: the child finds it in the cache
    code = "import test_fours as t; t.drill(); print('done')"
    assert children.run(code, EINJIT_CACHE_DIR=os.environ["EINJIT_CACHE_DIR"]) == "done"
