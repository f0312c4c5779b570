"""Vector instructions: each does to memory what its meaning does, to the bit, and touches nothing
behind the elements it is for."""

import os
import sys
from fractions import Fraction
from itertools import product

import children
import numpy as np
import pytest
import reference
from probe import Table, lanes_of
from test_einsum import specials
from test_guard_pages import fenced

from einjit.kernel import vectors
from einjit.source.module import CALLED

FLOATS = ("float32", "float64", "complex64", "complex128")
DTYPES = (*FLOATS, "int8", "int32", "int64")
TILES = ((1, 1), (5, 2), (2, 3))
"""Rows and vectors of a row."""

PRODUCTS = tuple((cached, *tile) for cached in (0, 1) for tile in TILES)

ROOMS = ("vectors", "rows", "turning", "streams", "columns")

COLUMNS = (1, 3, 8, 24)
"""Columns of rows that are summed."""

FACTORS = ((1, 1, 0, 1), (3, 0, 0, 1), (8, 1, 0, 1), (3, 5, 0, 5), (6, 5, 1, 3), (24, 1, 0, 1))
"""Columns of rows, elements of the others' rows, and the first and last of these."""

CALLS = {
    **{("load", v): f"store(load(Y, a, {v}, {{lanes}}), X, b)" for v in (1, 2, 3)},
    **{("load_first", v): f"store(load_first(Y, a, {v}, c, {{lanes}}), X, b)" for v in (1, 2, 3)},
    **{("store_first", v): f"store_first(load(Y, a, {v}, {{lanes}}), X, b, c)" for v in (1, 2, 3)},
    **{
        ("first", v): f"store_first(load_first(Y, a, {v}, c, {{lanes}}), X, b, c)"
        for v in (1, 2, 3)
    },
    "transpose_rows": (
        "transpose_rows(X, a, pointer(z, int64), Y, b, pointer(z + c, int64), {lanes})"
    ),
    "turn": "turn(X, a, b, Y, c, d, e, f, 0, {lanes})",
    "turn_past": "turn(X, a + to_line(X, a), b, Y, c, d, e, f, 1, {lanes})",
    "stream": "stream(Y, a, X, b, c, {lanes})",
    "settle": "settle()",
    "fill": "store(fill(Y[a], {lanes}), X, b)",
    "multiplied": "store(multiplied(load(Y, a, 1, {lanes}), load(Z, b, 1, {lanes})), X, c)",
    "to_line": "X[to_line(Y, a)] = Y[a]",
    "store_past": "store_past(load(Y, a, 1, {lanes}), X, b + to_line(X, b))",
    "row_sums": "row_sums(X, Y, (a, b), Z, (c, d), e, f, g, {lanes})",
    "add_rows": "add_rows(X, Y, (a, b, c), (Z[d], Z[e], Z[f]), g, {lanes})",
    "add_row": "add_rows(X, Y, (a,), (Z[b],), c, {lanes})",
    "add_rows_alone": "add_rows(X, Y, (a, b), 0, c, {lanes})",
    **{
        ("column_sums", j, far): f"column_sums(X, Y, a, b, {j}, {far}, 0, {{lanes}})"
        for j, far in product(COLUMNS, (0, 1))
    },
    **{
        ("column_products", *factors, far): "column_products(X, Y, a, Z, b, c, "
        f"{', '.join(map(str, factors))}, {far}, 0, {{lanes}})"
        for factors, far in product(FACTORS, (0, 1))
    },
    **{
        (cached, rows, v): f"update(product(Y, a, b, c, Z, d, e, f, {rows}, {v}, {cached}, "
        f"{'k, 0' if cached else '0, (Y, k, 2, 3, 4)'}, {{lanes}}), X, g, h, i, j)"
        for cached, rows, v in PRODUCTS
    },
    **{
        ("past", rows, v): f"update_past(product(Y, a, b, c, Z, d, e, f, {rows}, {v}, 0, 0, 0, "
        "{lanes}), X, g, h, i)"
        for rows, v in TILES
    },
    "past_few": "update_past(product(Y, a, b, c, Z, d, e, f, 2, 1, 0, 0, 0, 3), X, g, h, i)",
    "prefetch": "prefetch(Y, a)",
}

TABLE = Table(ROOMS, CALLS)

OF_BOOLS = Table(
    ("columns",),
    {
        **{j: f"column_sums(X, Y, a, b, {j}, 0, 1, {{lanes}})" for j in COLUMNS},
        **{
            factors: "column_products(X, Y, a, Z, b, c, "
            f"{', '.join(map(str, factors))}, 0, 1, {{lanes}})"
            for factors in FACTORS
        },
    },
)
"""Sums and products of columns of bools, bytes of which all but 0 are true."""

compiled, plain, carry_out = TABLE.compiled, TABLE.plain, TABLE.carry_out


def check(call, dtype, x, y, z, *words):
    """Compiled and in plain Python, from the same memory to the same bits. No NaN is another."""
    found = carry_out(compiled(dtype), call, x.copy(), y, z, *words)
    expected = carry_out(plain(dtype), call, x.copy(), y, z, *words)
    assert_same(found, expected)


def assert_same(found, expected):
    part = expected.real.dtype
    one, two = found.view(part), expected.view(part)
    np.testing.assert_array_equal(one, two)
    numbers = ~np.isnan(two)
    assert one[numbers].tobytes() == two[numbers].tobytes()  # -0.0 is not 0.0


def bits(dtype, n, seed):
    """Any elements there are: NaN, infinities and the smallest numbers among them."""
    rng = np.random.default_rng(seed)
    made = np.frombuffer(rng.bytes(n * np.dtype(dtype).itemsize), dtype).copy()
    if np.dtype(dtype).kind in "fc":
        parts = made.view(made.real.dtype)
        parts[rng.random(parts.size) < 0.3] = rng.choice([np.nan, np.inf, -np.inf, 0.0, -0.0])
    return made


def small(dtype, n, seed):
    """Elements whose sums of products are exact; of integers, such as wrap around."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "i":
        return bits(dtype, n, seed)
    values = np.empty(n, dtype)
    parts = values.view(values.real.dtype)
    parts[:] = rng.integers(-4, 5, parts.size)
    return values


def real(dtype, n, seed):
    values = np.empty(n, dtype)
    parts = values.view(values.real.dtype)
    parts[:] = np.random.default_rng(seed).standard_normal(parts.size)
    return values


# --- to and from memory


@pytest.mark.parametrize("dtype", DTYPES)
def test_loads_and_stores(dtype):
    lanes = lanes_of(dtype)
    x, y = (bits(dtype, 5 * lanes + 3, seed) for seed in (1, 2))
    for v, (a, b) in product((1, 2, 3), ((0, 0), (1, 2), (lanes + 1, 3))):
        check(("load", v), dtype, x, y, y, a, b)
        for n in {0, 1, lanes // 2 + 1, lanes - 1, lanes, lanes + 1}:
            for call in ("load_first", "store_first", "first"):
                check((call, v), dtype, x, y, y, a, b, n)


@pytest.mark.parametrize("dtype", DTYPES)
def test_transpose_rows(dtype):
    """Of rows anywhere, those that are read also twice."""
    lanes = lanes_of(dtype)
    x, y = (bits(dtype, (lanes + 3) * lanes, seed) for seed in (3, 4))
    rng = np.random.default_rng(5)
    for number in range(4):
        to, source = (rng.permutation(lanes) * (lanes + number % 2) for _ in range(2))
        if number == 3:
            source[0] = source[-1]
        z = np.concatenate([to, source]).astype(np.int64)
        check("transpose_rows", dtype, x, y, z, number, 2, 8 * lanes)


@pytest.mark.parametrize("dtype", DTYPES)
def test_turn(dtype):
    """Of a block that is cut off, nothing else is written; whole ones go past the caches."""
    lanes = lanes_of(dtype)
    line = 64 // np.dtype(dtype).itemsize
    x, y = (bits(dtype, (lanes + 6) * line, seed) for seed in (3, 4))
    for rows, columns in product({1, lanes // 2 or 1, lanes - 1 or 1, lanes, lanes + 5}, repeat=2):
        check("turn", dtype, x, y, y, 2, lanes + 2, 1, lanes + 1, rows, columns)
        found, expected = (at_a_line(x) for _ in range(2))
        words = (1, line, 1, lanes + 1, rows, columns)
        carry_out(compiled(dtype), "turn_past", found, y, y, *words)
        carry_out(plain(dtype), "turn_past", expected, y, y, *words)
        assert_same(found, expected)
    last = (lanes + 2) * lanes
    for to, source in (((last, -lanes), (last, -lanes - 1)), ((0, lanes), (3, 0))):
        check("turn", dtype, x, y, y, *to, *source, lanes, lanes)


@pytest.mark.parametrize("dtype", DTYPES)
def test_stream(dtype):
    """From and to any place within a cache line, so many elements and none before or behind."""
    lanes = lanes_of(dtype)
    x, y = (bits(dtype, 8 * lanes + 3, seed) for seed in (1, 2))
    for a, b in product((0, 3), (*range(0, 2 * lanes, 1 + lanes // 5), 2 * lanes)):
        for n in {0, 1, lanes - 1, lanes, lanes + 1, 2 * lanes - b % lanes, 5 * lanes + 1}:
            check("stream", dtype, x, y, y, a, b, n)
    check("settle", dtype, x, y, y)


def at_a_line(array):
    """A copy that begins at a cache line."""
    room = np.empty(array.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    copy = room[start : start + array.nbytes].view(array.dtype)
    copy[:] = array
    return copy


@pytest.mark.parametrize("dtype", DTYPES)
def test_products_that_are_written_past_the_caches(dtype):
    """Of small integers, so that none underflows: no product is -0.0."""
    lanes = lanes_of(dtype)
    x, y = (bits(dtype, 8 * lanes + 64, seed) for seed in (1, 2))
    rng = np.random.default_rng(3)
    one, two = (rng.integers(-2, 3, 8 * lanes).astype(dtype) for _ in range(2))
    if np.dtype(dtype).kind == "c":
        two += (1j * rng.integers(-2, 3, 8 * lanes)).astype(dtype)
    for a, b, c in product((0, 3), (0, 1, lanes), (0, 5)):
        check("multiplied", dtype, x, one, two, a, b, c)
        check("fill", dtype, x, y, y, a, b)
        check("to_line", dtype, x, y, y, b + c)
        found, expected = (at_a_line(x) for _ in range(2))
        carry_out(compiled(dtype), "store_past", found, y, y, a, b)
        carry_out(plain(dtype), "store_past", expected, y, y, a, b)
        assert_same(found, expected)


@pytest.mark.parametrize("dtype", ["float64", "int8"])
def test_prefetch_asks_and_never_fails(dtype):
    x = bits(dtype, 9, 5)
    for at in (0, 8, 1 << 50, -(1 << 50)):
        check("prefetch", dtype, x, x, x, at)


# --- products


def layouts(lanes, vectors):
    """Words of a product and what is written of it: the places of factors, of vectors, the depth,
    places of results, elements of the last vector, whether they are added, how far ahead is asked
    for."""
    wide = vectors * lanes
    places = ((0, 7, 1, 0, wide), (2, 1, 5, 1, wide + 1), (60, -9, -3, 5 * wide, -wide))
    lasts = sorted({1, lanes // 2, lanes - 1, lanes, lanes + 1} - {0})
    for number, (last, add) in enumerate(product(lasts, (0, 1))):
        depth = (1, 2, 5)[number % 3]
        yield *places[number % 3], depth, 1, wide + 2, last, add, (0, 1 << 40)[number % 2]


@pytest.mark.parametrize(("dtype", "tile"), list(product(DTYPES, PRODUCTS)))
def test_product_and_update(dtype, tile):
    lanes = lanes_of(dtype)
    size = 60 + 8 * 3 * lanes
    for number, words in enumerate(layouts(lanes, tile[-1])):
        x, y, z = (small(dtype, size, seed + number) for seed in (1, 20, 40))
        check(tile, dtype, x, y, z, *words)


@pytest.mark.parametrize("masking", [False, True])
@pytest.mark.parametrize("dtype", [*DTYPES, "int16"])
def test_last_vectors_are_written_under_a_mask_or_in_pieces(dtype, masking, monkeypatch):
    monkeypatch.setattr(vectors, "masks", lambda: masking)
    lanes = lanes_of(dtype)
    call = f"update(load(Y, a, 2, {lanes}), X, b, 0, c, d)  # masking: {masking}"
    table = Table(("vectors",), {"update": call})
    y = small(dtype, 3 * lanes, 1)
    for n, add in product(range(1, lanes + 2), (0, 1)):
        x = small(dtype, 4 * lanes, n)
        found = table.carry_out(table.compiled(dtype), "update", x.copy(), y, y, 3, 1, n, add)
        expected = table.carry_out(table.plain(dtype), "update", x.copy(), y, y, 3, 1, n, add)
        assert_same(found, expected)


@pytest.mark.parametrize(("dtype", "tile"), list(product(DTYPES, TILES)))
def test_update_past_the_caches(dtype, tile):
    """Rows that begin where lines do, or not, whole or cut off."""
    lanes, (rows, vectors) = lanes_of(dtype), tile
    wide = vectors * lanes
    y, z = (small(dtype, 60 + 8 * 3 * lanes, seed) for seed in (20, 40))
    x = small(dtype, (rows + 1) * (wide + 64) + 64, 1)
    strides = (-(-wide // 64) * 64, wide + 1, 2 * wide)
    lasts = sorted({1, lanes - 1, lanes, lanes + 1} - {0})
    for first, stride, last in product((0, 1, 64), strides, lasts):
        found, expected = (at_a_line(x) for _ in range(2))
        words = (0, 7, 1, 0, wide, 3, first, stride, last)
        carry_out(compiled(dtype), ("past", *tile), found, y, z, *words)
        carry_out(plain(dtype), ("past", *tile), expected, y, z, *words)
        assert_same(found, expected)
    check("past_few", dtype, x, y, z, 0, 7, 1, 0, 3, 3, 0, 64, 3)


@pytest.mark.parametrize("cached", [0, 1])
@pytest.mark.parametrize("dtype", FLOATS)
def test_nan_and_infinities_in_products(dtype, cached):
    """Of a factor they show in a row, of a vector in a lane, of a result where it is added to."""
    tile = (cached, 5, 2)
    lanes = lanes_of(dtype)
    words = (0, 7, 1, 0, 2 * lanes, 4, 1, 2 * lanes + 2, lanes - 1)
    for value, operand, add in product(specials(dtype), range(3), (0, 1)):
        arrays = [small(dtype, 60 + 12 * lanes, seed) for seed in (1, 2, 3)]
        arrays[operand][(1 + lanes, 8, lanes)[operand]] = value
        check(tile, dtype, *arrays, *words, add)


@pytest.mark.parametrize(
    ("dtype", "tile"), list(product(FLOATS, [tile for tile in PRODUCTS if tile[1] > 1]))
)
def test_products_are_rounded_once(dtype, tile):
    """A product and its sum are one rounding, term after term: the same bits on every CPU."""
    _, rows, vectors = tile
    lanes = lanes_of(dtype)
    wide = vectors * lanes
    x, y, z = (real(dtype, 60 + 8 * wide, seed) for seed in (1, 2, 3))
    for add in (0, 1):
        words = (1, 6, 1, 2, wide + 1, 5, 1, wide + 2, lanes - 1, add)
        found = carry_out(compiled(dtype), tile, x.copy(), y, z, *words)
        expected = x.copy()
        for r in range(rows):
            for i in range(wide - 1):
                terms = [(y[1 + r * 6 + k], z[2 + k * (wide + 1) + i]) for k in range(5)]
                at = 1 + r * (wide + 2) + i
                expected[at] = fused(terms, x.dtype) + (x[at] if add else x.dtype.type(0))
        assert found.tobytes() == expected.tobytes()


def fused(terms, dtype):
    """The sum of products, each added in one rounding; of complex ones the four sums of products
    of parts, and those added up."""

    def chain(factors, vectors):
        total = 0.0
        for one, two in zip(factors, vectors, strict=True):
            exact = Fraction(float(one)) * Fraction(float(two)) + Fraction(total)
            shift = exact.denominator.bit_length() - 1
            total = reference._nearest(exact.numerator, shift, part)
        return part.type(total)

    part = np.zeros(0, dtype).real.dtype
    factors, vectors = np.array(terms, dtype).T
    if dtype.kind == "f":
        return chain(factors, vectors)
    real = chain(factors.real, vectors.real) - chain(factors.imag, vectors.imag)
    return dtype.type(
        complex(real, chain(factors.real, vectors.imag) + chain(factors.imag, vectors.real))
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_row_sums(dtype):
    """Of whole vectors and of what is left; exact sums, so that their order does not matter."""
    lanes = lanes_of(dtype)
    size = 6 * lanes + 20
    x, y, z = (small(dtype, size, seed) for seed in (1, 2, 3))
    for n, add in product((0, 1, lanes - 1, lanes, lanes + 1, 5 * lanes, 5 * lanes + 3), (0, 1)):
        check("row_sums", dtype, x, y, z, 0, 7, lanes, 3, n, 1 << 40, add)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_added_to_sums(dtype):
    lanes = lanes_of(dtype)
    x, y, z = (small(dtype, 8 * lanes, seed) for seed in (1, 2, 3))
    for n in (0, 1, lanes - 1, lanes, lanes + 1, 4 * lanes + lanes // 2):
        check("add_rows", dtype, x, y, z, 2 * lanes, 1, lanes + 1, 5, 0, 3, n)
        check("add_row", dtype, x, y, z, 3, 4, n)
        check("add_rows_alone", dtype, x, y, z, 3, lanes, n)


@pytest.mark.parametrize("dtype", DTYPES)
def test_column_sums(dtype):
    """Of blocks of rows and of what is left, added to what is there; exact sums again."""
    lanes = lanes_of(dtype)
    size = (3 * lanes + 4) * max(COLUMNS)
    x, y, z = (small(dtype, size, seed) for seed in (1, 2, 3))
    for n, far in product(sorted({0, 1, lanes - 1, lanes, lanes + 1, 3 * lanes + 2}), (0, 1)):
        for columns in COLUMNS:
            check(("column_sums", columns, far), dtype, x, y, y, 3, n)
        for factors in FACTORS:
            check(("column_products", *factors, far), dtype, x, y, z, 3, 1, n)


def test_column_sums_of_bools():
    lanes = lanes_of("uint8")
    rng = np.random.default_rng(1)
    compiled, plain = OF_BOOLS.compiled("uint8"), OF_BOOLS.plain("uint8")
    for n, call in product((0, 1, lanes - 1, lanes, 3 * lanes + 2), (*COLUMNS, *FACTORS)):
        y, z = (
            rng.integers(0, 256, (3 * lanes + 4) * 24, np.uint8) * (rng.random() < often)
            for often in rng.random(2)
        )
        for array in (y, z):
            array[rng.random(array.size) < rng.choice((0.5, 0.999))] = 0
        words = (3, 1, n) if call in FACTORS else (3, n)
        found, expected = np.zeros((2, 40), np.uint8)
        for function, x in ((compiled, found), (plain, expected)):
            OF_BOOLS.carry_out(function, call, x, y, z, *words)
        assert_same(found, expected)
        assert set(found) <= {0, 1}


@pytest.mark.parametrize("dtype", FLOATS)
def test_nan_and_infinities_in_columns(dtype):
    """They show in their own column, wherever their row lies in a block."""
    lanes = lanes_of(dtype)
    for value, row in product(specials(dtype), (0, lanes - 1, lanes, 2 * lanes)):
        y, z = (small(dtype, (2 * lanes + 1) * 8, seed) for seed in (1, 2))
        y[row * 3 + 1] = value
        x = np.zeros(40, dtype)
        check(("column_sums", 3, 0), dtype, x, y, z, 0, 2 * lanes + 1)
        for factors in ((3, 0, 0, 1), (3, 5, 0, 5)):
            check(("column_products", *factors, 0), dtype, x, y, z, 0, 0, 2 * lanes + 1)


# --- what lies behind


def drill():
    """The last vector's elements lie before an unreadable page, in all three memories."""
    for dtype in DTYPES:
        lanes = lanes_of(dtype)
        for v, n in product((1, 2, 3), range(lanes + 1)):
            count = (v - 1) * lanes + n
            x, y = (fenced(bits(dtype, count, seed), "behind") for seed in (1, 2))
            carry_out(compiled(dtype), ("first", v), x, y, y, 0, 0, n)
            assert x.tobytes() == y.tobytes()
        for n in range(1, 3 * lanes):
            x, y = (fenced(bits(dtype, n, seed), "behind") for seed in (1, 2))
            carry_out(compiled(dtype), "stream", x, y, y, 0, 0, n)
            assert x.tobytes() == y.tobytes()
        for rows, columns in product((1, lanes // 2 + 1, lanes), repeat=2):
            y = fenced(bits(dtype, (rows - 1) * (lanes + 1) + columns, 3), "behind")
            words = (0, lanes, 0, lanes + 1, rows, columns)
            x = fenced(bits(dtype, (columns - 1) * lanes + rows, 4), "behind")
            expected = x.copy()
            carry_out(compiled(dtype), "turn", x, y, y, *words)
            carry_out(plain(dtype), "turn", expected, y, y, *words)
            assert_same(x, expected)
        for n in range(3 * lanes) if np.dtype(dtype).kind != "c" else ():
            y, z = (fenced(small(dtype, n, seed), "behind") for seed in (1, 2))
            x = np.zeros(4, dtype)
            carry_out(compiled(dtype), "row_sums", x, y, z, 0, 0, 0, 0, n, 1 << 40, 0)
            assert (x == np.sum(y * z, dtype=dtype)).all()
        for n in range(3 * lanes):
            y, z = fenced(small(dtype, n, 1), "behind"), fenced(small(dtype, 1, 2), "behind")
            x, expected = np.zeros((2, 4 * lanes), dtype)
            for function, sums in ((compiled, x), (plain, expected)):
                carry_out(function(dtype), "add_row", sums, y, z, 0, 0, n)
            assert_same(x, expected)
        for n, (columns, others, first, last) in product((1, lanes - 1, lanes + 1), FACTORS):
            y = fenced(small(dtype, n * columns, 1), "behind")
            z = fenced(small(dtype, n * (others or columns), 2), "behind")
            for call in (
                ("column_sums", columns),
                ("column_products", columns, others, first, last),
            ):
                if (*call, 1) not in CALLS:
                    continue
                x, expected = np.zeros((2, columns * max(1, last)), dtype)
                words = (0, n) if call[0] == "column_sums" else (0, 0, n)
                for far in (0, 1):
                    carry_out(compiled(dtype), (*call, far), x, y, z, *words)
                    carry_out(plain(dtype), (*call, far), expected, y, z, *words)
                    assert_same(x, expected)
        for (cached, rows, v), n, add in product(PRODUCTS, range(1, lanes + 1), (0, 1)):
            count = (v - 1) * lanes + n
            wide = v * lanes
            x = fenced(small(dtype, rows * count, 3), "behind")
            y = fenced(small(dtype, rows * 2, 4), "behind")
            z = fenced(small(dtype, 2 * wide, 5), "behind")
            expected = x.copy()
            words = (0, 2, 1, 0, wide, 2, 0, count, n, add)
            carry_out(compiled(dtype), (cached, rows, v), x, y, z, *words)
            carry_out(plain(dtype), (cached, rows, v), expected, y, z, *words)
            assert_same(x, expected)


@pytest.mark.skipif(sys.platform == "win32", reason="mprotect is not there")
def test_nothing_behind_the_last_elements_is_touched():
    for dtype in DTYPES:  # compiled here: the child finds them in the cache
        compiled(dtype)
    code = "import test_vectors as t; t.drill(); print('done')"
    assert children.run(code, EINJIT_CACHE_DIR=os.environ["EINJIT_CACHE_DIR"]) == "done"


# --- words


SIZES = {
    "minimum": "X[0] = minimum(a, b)",
    "parts": "X[0] = parts(c, d)",
    "row_of": "X[0] = row_of(c, 8)",
    "place": "X[0] = place(e, 4, (f, g))",
    "place_of_three": "X[0] = place(e, 16, (f, g, h, i, a, 3))",
}


WORDS = Table(("intrinsics", "memory"), SIZES)


@pytest.mark.parametrize("call", list(SIZES))
def test_sizes_and_addresses(call):
    rng = np.random.default_rng(6)
    for extent, length in product((1, 7, 8, 9, 15, 16, 17, 4096), (1, 3, 8, 4097)):
        others = rng.integers(-(1 << 28), 1 << 28, 9).tolist()
        words = (*others[:2], extent, length, *others[2:])
        x = np.zeros(1, np.int64)
        found, expected = (
            WORDS.carry_out(function, call, x.copy(), x, x, *words)
            for function in (WORDS.compiled("int64"), WORDS.plain("int64"))
        )
        np.testing.assert_array_equal(found, expected)


def test_every_instruction_is_carried_out():
    text = " ".join(CALLS.values())
    assert all(f"{name}(" in text for room in ROOMS for name in CALLED[room])
