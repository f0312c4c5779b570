"""Long batches of small products: every cut of rows and columns, any layout, NaN, the bound."""

from itertools import product

import numpy as np
import pytest
import reference
from packing import plan_of, real
from targets import WIDE, blocked_for
from test_einsum import mask, special_operands

import einjit
from einjit.plan.batched import LONG_BATCH, Batched, _heights, _widths
from einjit.plan.nest import BLOCK

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint64")
REAL = ("float32", "float64", "complex64", "complex128")


def whole(shape, dtype, seed):
    """Small integers of a dtype: their sums are exact, or wrap."""
    rng = np.random.default_rng(seed)
    values = rng.integers(-9, 9, shape)
    if np.dtype(dtype).kind == "c":
        values = values + 1j * rng.integers(-9, 9, shape)
    return values.astype(dtype)


def batched(subscripts, *operands):
    """Whether the last step of a call is a batch of small products."""
    return plan_of(subscripts, *operands).steps[-1].lowered.name == "batched"


SHAPES = (
    *((3, 4, 5), (2, 9, 3), (1, 5, 7), (7, 2, 9), (13, 16, 17), (25, 8, 24), (32, 32, 32)),
    *((4, 72, 2), (72, 4, 72), (5, 3, 256), (8, 11, 6), (12, 31, 12), (6, 33, 16)),
)
"""(M, N, K)."""


@pytest.mark.parametrize("dtype", [*REAL, *INTEGERS])
def test_integer_values_are_exact_in_every_shape_and_order(dtype):
    taken = 0
    for number, (m, n, k) in enumerate(SHAPES):
        forms = ("bij,bjk->bik", "bji,bjk->bik", "bij,bkj->bik", "bij,bjk->bki")
        subscripts = forms[number % len(forms)]
        extents = {"b": LONG_BATCH + 1, "i": m, "j": k, "k": n}
        one, two = (
            whole([extents[letter] for letter in term], dtype, number)
            for term in subscripts.partition("->")[0].split(",")
        )
        taken += batched(subscripts, one, two)
        found = einjit.einsum(subscripts, one, two)
        np.testing.assert_array_equal(found, np.einsum(subscripts, one, two), err_msg=str((m, n)))
    assert taken >= 4


@pytest.mark.parametrize("dtype", ["float32", "complex64", "int32"])
@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("abij,abjk->abik", [(9, 8, 5, 6), (9, 8, 6, 7)]),
        ("aibj,bjka->baik", [(9, 5, 8, 6), (8, 6, 7, 9)]),
        ("bijmc,bkijcn->bkmn", [(64, 2, 3, 5, 4), (64, 3, 2, 3, 4, 9)]),
        ("bxij,bjyk->bxyik", [(70, 2, 3, 4), (70, 4, 2, 7)]),
        ("bij,bi->bj", [(70, 5, 11), (70, 5)]),
        # many rows, whole boxes of them and a rest
        ("mk,kn->mn", [(1001, 4), (4, 5)]),
        ("mk,nk->mn", [(999, 7), (16, 7)]),
        ("bmk,bkn->bmn", [(3, 301, 4), (3, 4, 5)]),
        ("bkm,kn->bmn", [(80, 5, 101), (5, 8)]),
        ("rij,rej->ei", [(3, 5, 7), (3, 605, 7)]),
        ("eqkl,qik->eqil", [(80, 5, 4, 3), (5, 9, 4)]),
        ("eqil,qjl->eij", [(80, 9, 7, 3), (9, 10, 3)]),
    ],
)
def test_any_number_of_loops_and_any_layout(subscripts, shapes, dtype):
    one, two = (whole(shape, dtype, number) for number, shape in enumerate(shapes))
    expected = np.einsum(subscripts, one, two)
    backwards = [np.ascontiguousarray(x[..., ::-1])[..., ::-1] for x in (one, two)]
    stepped = [np.repeat(x, 2, axis=-1)[..., ::2] for x in (one, two)]
    turned = [np.asfortranarray(x) for x in (one, two)]
    with blocked_for(**WIDE):
        assert batched(subscripts, one, two)
        for operands in (
            (one, two),
            backwards,
            stepped,
            turned,
            (one, turned[1]),
            (turned[0], two),
        ):
            np.testing.assert_array_equal(einjit.einsum(subscripts, *operands), expected)
        for out in (np.empty(expected.shape, dtype), np.empty(expected.shape, dtype, order="F")):
            einjit.einsum(subscripts, one, two, out=out)
            np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "int8"])
def test_results_past_the_caches(dtype):
    """Rows that are whole lines, or a few elements, in memory that begins anywhere in a line."""
    line = 64 // np.dtype(dtype).itemsize
    past = set()
    with blocked_for(last_cache=64):
        for rows, columns in product((1, 5), (3, line // 2, line, 3 * line)):
            one, two = whole((70, rows, 4), dtype, 1), whole((70, 4, columns), dtype, 2)
            expected = np.einsum("bij,bjk->bik", one, two)
            if batched("bij,bjk->bik", one, two):
                past.add(plan_of("bij,bjk->bik", one, two).steps[-1].lowered.nest.past)
            np.testing.assert_array_equal(einjit.einsum("bij,bjk->bik", one, two), expected)
            for first in (0, 1):
                out = np.zeros(expected.size + first, dtype)[first:].reshape(expected.shape)
                einjit.einsum("bij,bjk->bik", one, two, out=out)
                np.testing.assert_array_equal(out, expected)
    assert past == {True, False}


@pytest.mark.parametrize("dtype", REAL)
def test_the_identity_and_the_bound(dtype):
    for m, n in ((5, 7), (9, 16), (13, 3)):
        cube = real((99, m, n), dtype)
        eye = np.broadcast_to(np.eye(n, dtype=dtype), (99, n, n))
        np.testing.assert_array_equal(einjit.einsum("hij,hjk->hik", cube, eye), cube)
    for k in (7, BLOCK):
        a, b = real((66, 4, k), dtype, 1), real((66, k, 6), dtype, 2)
        assert batched("bij,bjk->bik", a, b)
        found = einjit.einsum("bij,bjk->bik", a, b)
        expected = reference.einsum("bij,bjk->bik", a, b)
        assert (abs(found - expected) <= reference.error_bound("bij,bjk->bik", a, b)).all()


@pytest.mark.parametrize("dtype", ["float64", "complex64"])
def test_nan_and_infinities_show_where_numpy_has_them(dtype):
    """Each place of a matrix has its own product in the batch."""
    matrices = list(special_operands(dtype, [(3, 5), (5, 5)]))
    operands = [np.array([pair[i] for pair in matrices]) for i in range(2)]
    with np.errstate(invalid="ignore"):
        expected = np.einsum("bij,bjk->bik", *operands)
    assert batched("bij,bjk->bik", *operands)
    found = einjit.einsum("bij,bjk->bik", *operands)
    np.testing.assert_equal(mask(found), mask(expected))
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(found[finite], expected[finite])


def test_a_small_matrix_is_copied_with_its_columns_side_by_side_first():
    """It alone, and where the kernel that reads it does not copy it as well."""
    e, q, i, j = 99, 9, 20, 21
    subscripts, shapes = "eqil,qjl->eij", [(e, q, i, 3), (q, j, 3)]
    first, second = plan_of(subscripts, *map(np.zeros, shapes)).steps
    assert (first.lowered.name, second.lowered.name) == ("copy", "batched")
    assert first.inputs == (1,)
    assert second.lowered.nest.unit == (False, True, True)
    assert len(plan_of(subscripts, *map(np.zeros, shapes), optimize=False).steps) == 1
    assert len(plan_of("ek,jk->ej", np.zeros((5000, 32)), np.zeros((16, 32))).steps) == 1


def test_a_matrix_is_turned_by_the_kernel_however_many_terms_it_has():
    for dtype, terms, columns in (("float32", 100, 10), ("complex64", 200, 4), ("int32", 90, 11)):
        a, b = whole((2001, terms), dtype, 1), whole((columns, terms), dtype, 2)
        with blocked_for(**WIDE):
            assert batched("mk,nk->mn", a, b)
            assert len(plan_of("mk,nk->mn", a, b).steps) == 1
            found = einjit.einsum("mk,nk->mn", a, b)
        np.testing.assert_array_equal(found, np.einsum("mk,nk->mn", a, b))


def test_cuts_cover_rows_and_columns_once():
    for extent, lanes, widest in product(range(1, 73), (2, 4, 8, 16, 64), (2, 3, 4)):
        widths = _widths(extent, lanes, widest)
        assert sum(vectors * n for vectors, n in widths) == extent
        assert all(0 < n <= lanes and vectors <= widest for vectors, n in widths)
        for vectors, dtype in product((1, 2, 4), ("float32", "complex64")):
            heights = _heights(extent, vectors, dtype)
            assert sum(number * rows for number, rows in heights) == extent
            assert all(number and rows for number, rows in heights)


def test_rows_of_tiles_leave_registers_for_vectors():
    """Where those are few; and are whole lines where they go past the caches."""
    a, b = whole((2000, 24), "float64", 1), whole((24, 32), "float64", 2)
    for registers, last, widths in (
        (32, 1 << 30, (4, 4)),
        (16, 1 << 30, (2, 3, 3)),
        (16, 1, (2,) * 4),
    ):
        with blocked_for(vector_bytes=32, vector_registers=registers, last_cache=last):
            nest = plan_of("ij,jk->ik", a, b).steps[0].lowered.nest
            assert nest.widths == tuple((vectors, 4) for vectors in widths)
            assert nest.past == (last == 1)
            np.testing.assert_array_equal(einjit.einsum("ij,jk->ik", a, b), a @ b)


def test_columns_in_pages_of_their_own_are_packed():
    """Long and many ones, of which a tile would read a part of each line."""
    for rows, terms, kind in ((2048, 64, "packed"), (2048, 12, "batched"), (2000, 64, "batched")):
        a, b = whole((terms, rows), "float64", 1), whole((terms, 20), "float64", 2)
        with blocked_for(caches=(1 << 15, 1 << 19), vector_bytes=32, vector_registers=16):
            assert plan_of("ji,jk->ik", a, b).steps[0].lowered.name == kind
            np.testing.assert_array_equal(einjit.einsum("ji,jk->ik", a, b), a.T @ b)


@pytest.mark.parametrize("vector", [16, 32, 64])
def test_vectors_of_other_cpus(vector):
    with blocked_for(vector_bytes=vector, vector_registers=16):
        for dtype, n in (("float32", 9), ("complex128", 3), ("int32", 6)):
            a, b = whole((66, 5, 4), dtype, 1), whole((66, 4, n), dtype, 2)
            nest = plan_of("bij,bjk->bik", a, b).steps[0].lowered.nest
            assert isinstance(nest, Batched)
            widest = max(lanes for _, lanes in nest.widths) * np.dtype(dtype).itemsize
            assert widest <= vector
            found = einjit.einsum("bij,bjk->bik", a, b)
            np.testing.assert_array_equal(found, np.einsum("bij,bjk->bik", a, b))
