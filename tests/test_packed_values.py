"""Packed contractions: what is not exact, and what is compiled."""

import string
from itertools import product

import numpy as np
import pytest
import reference
from packing import TINY, deepest, packed_of, packing_all, plan_of, poison, real
from targets import WIDE, blocked_for
from test_einsum import mask, special_operands, unfusable

import einjit
from einjit.kernel.build import FASTMATH
from einjit.kernel.compile import compile_nest
from einjit.source.module import Source

# --- values that are not exact


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_a_matrix_times_the_identity_is_itself(dtype):
    with packing_all():
        for m, n in ((5, 4), (30, 31), (61, 77)):
            a = real((m, n), dtype)
            np.testing.assert_array_equal(einjit.einsum("ij,jk->ik", a, np.eye(n, dtype=dtype)), a)
            np.testing.assert_array_equal(einjit.einsum("ij,jk->ik", np.eye(m, dtype=dtype), a), a)
            np.testing.assert_array_equal(
                einjit.einsum("ji,jk->ki", np.eye(m, dtype=dtype), a), a.T
            )
            cube = real((4, m, n), dtype)
            eye = np.broadcast_to(np.eye(n, dtype=dtype), (4, n, n))
            np.testing.assert_array_equal(einjit.einsum("hij,hjk->hik", cube, eye), cube)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("ij,jk->ik", [(3, 10), (10, 5)]),
        ("ji,kj->ki", [(10, 3), (5, 10)]),
        ("iaj,jbi->ab", [(2, 3, 5), (5, 5, 2)]),
        ("hij,hkj->ikh", [(2, 2, 9), (2, 3, 9)]),
    ],
)
def test_nan_and_infinities_show_where_numpy_has_them(dtype, subscripts, shapes):
    with packing_all():
        for operands in special_operands(dtype, shapes):
            with np.errstate(invalid="ignore"):
                expected = np.einsum(subscripts, *operands)
            poison(4096)
            found = einjit.einsum(subscripts, *operands)
            np.testing.assert_equal(mask(found), mask(expected), err_msg=str(operands))
            finite = np.isfinite(expected)
            np.testing.assert_array_equal(found[finite], expected[finite])


@pytest.mark.parametrize(
    "facts",
    [{}, {"caches": TINY}, {"caches": (128 << 10, 16 << 20), "vector_bytes": 16}],
    ids=["this CPU", "small caches", "large caches"],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_long_sum_keeps_the_bound(dtype, facts):
    """Of random values, and of equal ones, whose roundings all go one way."""
    with blocked_for(**facts):
        for k in (257, 2100, 4500):
            for fill in (real, lambda shape, dtype, seed: np.full(shape, 0.07, dtype)):
                a, b = fill((5, k), dtype, 1), fill((k, 6), dtype, 2)
                assert plan_of("ij,jk->ik", a, b).steps[0].lowered.name == "packed"
                found = einjit.einsum("ij,jk->ik", a, b)
                expected = reference.einsum("ij,jk->ik", a, b)
                assert (abs(found - expected) <= reference.error_bound("ij,jk->ik", a, b)).all(), k


@pytest.mark.parametrize("k", [128, 255, 257, 513, 4096, 4145, 4257])
def test_the_last_row_of_b_is_added_once(k):
    """Also where it is a block of its own: the last one of a span."""
    a, b = np.ones((20, k)), np.ones((k, 21))
    with blocked_for(**WIDE):
        assert plan_of("ij,jk->ik", a, b).steps[0].lowered.nest.guarded
        np.testing.assert_array_equal(einjit.einsum("ij,jk->ik", a, b), np.full((20, 21), k))


# --- the same bits

LARGE = (
    ("ij,jk->ik", (300, 700), (700, 301)),
    ("ij,kj->ki", (300, 700), (301, 700)),
    ("hiaj,jhib->bah", (9, 7, 40, 51), (51, 9, 7, 45)),
    ("jiba,cjd->idcba", (80, 5, 8, 9), (31, 80, 6)),
)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("subscripts", "shapes"), [(first, rest) for first, *rest in LARGE])
def test_only_the_boxes_of_k_decide_the_bits(subscripts, shapes, dtype):
    """Not those of M and N, not how many are a tile's, not the number of threads."""
    operands = [real(shape, dtype, n) for n, shape in enumerate(shapes)]
    l1, results, sizes = 16 << 10, set(), set()
    for l2, cores in product((1 << 15, 1 << 17, 1 << 21), (1, 2, 16)):
        with blocked_for(caches=(l1, l2), cores=cores):
            (step,) = plan_of(subscripts, *operands).steps
            assert step.lowered.name == "packed"
            sizes.add(step.lowered.sizes)
            for n in {1, einjit.get_num_threads()}:
                with einjit.threads(n):
                    poison(1 << 20)
                    results.add(einjit.einsum(subscripts, *operands).tobytes())
    assert len(sizes) > 2
    assert len(results) == 1


# --- many loops


def test_as_many_loops_as_there_are():
    """Loops that cannot be fused: as many as Python nests, and more."""
    names = set()
    for m, n, k in ((1, 1, 8), (2, 7, 2), (4, 4, 3), (9, 9, 4)):
        letters = string.ascii_letters
        free_a, free_b, summed = letters[:m], letters[m : m + n], letters[m + n : m + n + k]
        a, b = unfusable(m + k, "f4"), unfusable(n + k, "f4")[::-1]
        subscripts = f"{free_a}{summed},{summed}{free_b}->{free_a}{free_b}"
        with packing_all():
            found = einjit.einsum(subscripts, a, b)
            names.add(plan_of(subscripts, a, b).steps[0].lowered.name)
        np.testing.assert_array_equal(found, np.tensordot(a, b, (range(m, m + k), range(k))))
    assert names == {"packed"}


def test_python_nests_every_packed_contraction():
    """However its loops are shared out among M, N and K."""
    for packed in deepest():
        compile(Source(packed).text, "packed", "exec")


# --- what is compiled


def test_kernels_need_nothing_of_the_process():
    """Else a process would import numba to load them."""
    packed = packed_of("iajb,cjdi->abcd", np.ones((5, 7, 4, 6)), np.ones((8, 4, 5, 5)))
    for structure in (packed, *packed.needs):
        assert compile_nest(Source(structure), FASTMATH).needs == ()


def test_shapes_share_kernels():
    plans = [plan_of("ij,jk->ik", np.ones((n, 500)), np.ones((500, n + 1))) for n in (90, 94)]
    one, two = (plan.steps[0].lowered for plan in plans)
    assert one.nest == two.nest
    assert one.sizes != two.sizes
