"""Products that take several terms at once: the same integers as one after the other, whatever the
CPU multiplies, and nothing else touched."""

import functools
import os
import sys
from itertools import product

import children
import numpy as np
import pytest
from probe import Table, lanes_of
from test_guard_pages import fenced

from einjit.kernel import fours, pairs

TILES = ((1, 1), (2, 2), (4, 1), (6, 2), (7, 2))
"""Rows and vectors of a row."""

BYTES = 16
"""Lanes of a vector of bytes."""


def tiles(by):
    """Tiles `by` fours or pairs: with the next rows asked for or not, and past the caches."""

    def line(rows, vectors, far, update):
        ask = f"{'k' if far else '0'}, (Y, k, 2, 3, 4)"
        if by == "fours":
            made = f"product_by_fours(Y, a, b, c, Z, d, e, f, {rows}, {vectors}, {ask}, {BYTES})"
            return update.format(made)
        wide = f"{vectors} * {{lanes}}"
        shape = f"{rows}, {vectors}, {ask}, {{lanes}}"
        made = f"product_by_pairs(Y, a, b, c, Z, d, e, f, {shape}, P, Q, 3)"
        return "; ".join(
            [
                f"P, Q = scratch({rows}, {{dtype}}), scratch(150, {{dtype}})",
                f"pair_sums(Y, a, b, c, f, {rows}, P, 0, {{lanes}})",
                f"pair_sums(Z, d, 1, e, f, {wide}, Q, 3, {{lanes}})",
                update.format(made),
            ]
        )

    both = {
        (*tile, far): line(*tile, far, "update({}, X, g, h, i, j)")
        for tile, far in product(TILES, (0, 1))
    }
    return {**both, (6, 2, "past"): line(6, 2, 0, "update_past({}, X, g, h, i)")}


TABLES = {
    "fours": Table(("fours", "vectors"), tiles("fours")),
    "pairs": Table(("pairs", "vectors"), tiles("pairs")),
}

SUMS = Table(("pairs",), {"pair_sums": "pair_sums(Y, a, b, c, d, e, X, f, {lanes})"})

DEPTHS = (1, 2, 3, 4, 5, 7, 8, 9, 30)

INTEGERS = ("int8", "uint16", "int32", "uint64")


@functools.cache
def by_every_cpu(by, dtype):
    """Without the instructions that not every CPU has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fours, "multiplies_bytes", lambda: False)
        patch.setattr(pairs, "multiplies_words", lambda: False)
        return TABLES[by].kernel(dtype, "# by every CPU")


def some(dtype, n, seed):
    made = np.random.default_rng(seed).bytes(n * np.dtype(dtype).itemsize)
    return np.frombuffer(made, dtype).copy()


def check(by, function, lanes, call, dtype):
    """Any depth, factors side by side or not, strides of either sign, rows cut off, added to or
    not."""
    table = TABLES[by]
    vectors = call[1]
    wide = vectors * lanes
    x, y, z = (some(dtype, 12000, seed) for seed in range(3))
    places = (
        *((0, 40, 1, 0, wide), (2, 41, 1, 1, wide + 1), (0, 1, 9, 0, wide + 5)),
        (400, -9, -3, 5000, -wide),
    )
    rows = ((5, wide + 2, lanes - 1), (64, 3 * lanes, lanes), (0, wide, 1))
    for (where, depth), (first, stride, last) in product(product(places, DEPTHS), rows):
        for add in (0, 1):
            words = (*where, depth, first, stride, last, add, depth)
            found = table.carry_out(function, call, x.copy(), y, z, *words)
            expected = table.carry_out(table.plain(dtype), call, x.copy(), y, z, *words)
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("instruction", [True, False])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("call", list(TABLES["fours"].calls))
def test_products_by_fours(call, dtype, instruction):
    function = TABLES["fours"].compiled(dtype) if instruction else by_every_cpu("fours", dtype)
    check("fours", function, BYTES, call, dtype)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("call", list(TABLES["pairs"].calls))
def test_products_by_pairs(call, dtype):
    check("pairs", TABLES["pairs"].compiled(dtype), lanes_of(dtype), call, dtype)


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
@pytest.mark.parametrize("call", list(TABLES["pairs"].calls))
def test_products_by_pairs_of_halves(call, dtype):
    check("pairs", by_every_cpu("pairs", dtype), lanes_of(dtype), call, dtype)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_sums_of_pairs(dtype):
    """Of columns in whole vectors and smaller ones, rows and neither; nothing else written."""
    lanes = lanes_of(dtype)
    x, y = (some(dtype, 9000, seed) for seed in (1, 2))
    places = ((0, 1, 2 * lanes + 4), (3, 40, 1), (1, 2, 90), (8000, -1, -41), (0, 1, 1))
    counts = {0, 1, 3, lanes // 2 + 1, lanes - 1, lanes, 2 * lanes + 3}
    for place, depth, n in product(places, (0, 1, 2, 3, 8, 33), counts):
        words = (*place, depth, n, 5)
        found, expected = (
            SUMS.carry_out(function, "pair_sums", x.copy(), y, y, *words)
            for function in (SUMS.compiled(dtype), SUMS.plain(dtype))
        )
        np.testing.assert_array_equal(found, expected)


def drill(by, dtype):
    """Everything that is read or written ends before an unreadable page."""
    table = TABLES[by]
    lanes = BYTES if by == "fours" else lanes_of(dtype)
    for (rows, vectors, far), depth, step in product(list(table.calls)[:-1], DEPTHS, (1, 9)):
        wide = vectors * lanes
        row = depth if step == 1 else 1
        last = (rows - 1) * row + (depth - 1) * step
        y = fenced(some(dtype, last + 1, 1), "behind")
        z = fenced(some(dtype, depth * wide, 2), "behind")
        for n in (1, lanes - 1, lanes):
            count = wide - lanes + n
            x = fenced(some(dtype, rows * count, 3), "behind")
            expected = x.copy()
            words = (0, row, step, 0, wide, depth, 0, count, n, 1)
            table.carry_out(table.compiled(dtype), (rows, vectors, far), x, y, z, *words)
            table.carry_out(table.plain(dtype), (rows, vectors, far), expected, y, z, *words)
            np.testing.assert_array_equal(x, expected)


@pytest.mark.skipif(sys.platform == "win32", reason="mprotect is not there")
@pytest.mark.parametrize(("by", "dtype"), [("fours", "int8"), ("pairs", "int32")])
def test_nothing_behind_the_last_elements_is_touched(by, dtype):
    TABLES[by].compiled(dtype)  # here: the child finds it in the cache
    code = f"import test_several_terms as t; t.drill({by!r}, {dtype!r}); print('done')"
    assert children.run(code, EINJIT_CACHE_DIR=os.environ["EINJIT_CACHE_DIR"]) == "done"
