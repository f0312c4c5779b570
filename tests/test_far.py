"""Contractions with an operand that comes from memory: with a few rows it is swept, with a vector
its rows are summed side by side."""

from itertools import product

import numpy as np
import pytest
import reference
from packing import check, integers, plan_of, poison, real
from strategies import MULTIPLIED
from targets import WIDE, blocked_for

import einjit
from einjit.plan import lowering
from einjit.plan.dots import FEWEST_TILES
from einjit.plan.nest import STRIPS, strip_length
from einjit.plan.nesting import STREAMED_ROW
from einjit.plan.packed import MOST_TERMS, macrokernel
from einjit.plan.packing import SWEPT_ROWS
from einjit.plan.spans import LONG_SUM

FAR = {"last_cache": 512}
"""Whatever has more than half as many bytes is not in it."""


def swept(subscripts, *operands):
    """The lowered step, of which an operand is read as one that is far away is."""
    lowered = plan_of(subscripts, *operands).steps[0].lowered
    assert lowered.name == "packed"
    assert lowered.nest.macrokernel.far
    assert not lowered.nest.pack_b
    return lowered


@pytest.mark.parametrize("dtype", MULTIPLIED)
def test_every_extent_around_tiles_and_blocks(dtype):
    """Rows of one strip and more, whole vectors and others, one block of K and more."""
    kernel = macrokernel(dtype)
    heights = (3, kernel.rows, kernel.rows + 1, 2 * kernel.rows + 3)
    widths = (kernel.wide, 3 * kernel.wide, 3 * kernel.wide + 1, 4 * kernel.wide - 1)
    depths = (128, 129, 128 + SWEPT_ROWS - 1, 129 + SWEPT_ROWS)
    a = integers((heights[-1], depths[-1]), dtype, 1)
    b = integers((depths[-1], widths[-1]), dtype)
    with blocked_for(**FAR):
        for m, n, k in product(heights, widths, depths):
            one, two = a[:m, :k], np.ascontiguousarray(b[:k, :n])
            swept("ij,jk->ik", one, two)
            check("ij,jk->ik", one, two, expected=one @ two)


@pytest.mark.parametrize("subscripts", ["ji,jk->ik", "ji,kj->ik", "ji,jk->ki", "ji,kj->ki"])
@pytest.mark.parametrize("few", [3, 4, 7, 12])
def test_lanes_run_along_the_long_rows_wherever_the_result_has_its_own(subscripts, few):
    a = integers((140, 333), "float64", 1)
    b = integers((140, few) if "jk" in subscripts else (few, 140), "float64")
    with blocked_for(**FAR, **WIDE):
        assert swept(subscripts, a, b).order == (1, 0)
        check(subscripts, a, b)


@pytest.mark.parametrize("extra", [0, 1])
def test_rows_whole_pages_apart_are_swept_by_one_strip_alone(extra):
    """In half as many rows at a time."""
    most = macrokernel("float64").rows
    b = integers((140, 4096), "float64")[:, : 512 if extra else 4096]
    with blocked_for(**FAR):
        for m in (most, most + 1):
            a = integers((m, 140), "float64", 1)
            lowered = plan_of("ij,jk->ik", a, b).steps[0].lowered
            assert lowered.nest.macrokernel.far == (m == most)
            sizes = dict(zip(lowered.nest.sizes(), lowered.sizes, strict=True))
            assert (sizes["box_c"] <= SWEPT_ROWS // 2) == (m == most)
            check("ij,jk->ik", a, b, expected=a @ b)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
def test_a_sum_of_many_blocks_keeps_the_bound(dtype, monkeypatch):
    """Blocks are added one after the other: of more than MOST_TERMS a sum is cut into spans."""
    monkeypatch.setattr(lowering, "FEW_RESULTS", 0)
    most = SWEPT_ROWS * MOST_TERMS
    with blocked_for(**FAR):
        for k, steps in ((most, 1), (most + 1, 2), (3 * most, 2)):
            for fill in (real, lambda shape, dtype, seed: np.full(shape, 0.07, dtype)):
                a, b = fill((4, k), dtype, 1), fill((k, 2 * macrokernel(dtype).wide), dtype, 2)
                assert len(plan_of("ij,jk->ik", a, b).steps) == steps
                swept("ij,jk->ik", a, b)
                found = einjit.einsum("ij,jk->ik", a, b)
                expected = reference.einsum("ij,jk->ik", a, b)
                assert (abs(found - expected) <= reference.error_bound("ij,jk->ik", a, b)).all()


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_the_bits_are_the_same_however_it_is_cut_and_run(dtype):
    a, b = real((5, 700), dtype, 1), real((700, 3000), dtype, 2)
    results, sizes = set(), set()
    for cores in (1, 2, 16):
        with blocked_for(cores=cores, **FAR):
            sizes.add(swept("ij,jk->ik", a, b).sizes)
            for n in {1, einjit.get_num_threads()}:
                with einjit.threads(n):
                    poison(1 << 20)
                    results.add(einjit.einsum("ij,jk->ik", a, b).tobytes())
    assert len(sizes) > 1
    assert len(results) == 1


@pytest.mark.parametrize("dtype", MULTIPLIED)
def test_many_rows_times_a_small_matrix(dtype):
    """Those of the boxes below are asked for where rows follow each other, or stand side by side,
    and there alone."""
    size = np.dtype(dtype).itemsize
    columns = WIDE["vector_bytes"] // size
    for m, k in product((600, 601, 611), (20, 31)):
        a, b = integers((m, k), dtype, 1), integers((k, columns), dtype)
        apart = np.zeros((m, k + 1), dtype)[:, :k]
        apart[:] = a
        with blocked_for(**FAR, **WIDE):
            for rows, asks in ((a, True), (np.asfortranarray(a), True), (apart, False)):
                lowered = plan_of("ij,jk->ik", rows, b).steps[0].lowered
                assert lowered.name == "batched"
                assert (lowered.nest.below > 0) == asks
                check("ij,jk->ik", rows, b, expected=a @ b)


@pytest.mark.parametrize("dtype", ["int8", "float16", "float64", "complex64"])
def test_rows_are_added_to_long_strips(dtype):
    """Eight or twelve rows at a time and others; a strip, several, strips as tiles, and spans."""
    compute = "float32" if dtype == "float16" else dtype
    most = strip_length(compute, far=True)
    seen = set()
    for h, m, n in [(64, 25, most + 1), (1, 300, most - 1), (1, 29, STRIPS * most + 1)]:
        a, b = integers((h, m, n), dtype, 1), integers((h, m), dtype)
        expected = (a.astype(compute) * b[..., None]).sum(1, dtype=compute).astype(dtype)
        with blocked_for(**FAR):
            nest = plan_of("hij,hi->hj", a, b).steps[0].lowered.nest
            assert nest.together
            assert nest.far
            seen.add((nest.strip, nest.span is not None))
            np.testing.assert_array_equal(einjit.einsum("hij,hi->hj", a, b), expected)
    assert seen == {(False, False), (True, False), (False, True)}


def test_short_rows_that_follow_each_other_are_added_one_by_one():
    """They are one stream of memory; longer ones, or such with gaps between them, are not."""
    most = STREAMED_ROW // 8
    for width, gap, far in ((most, 0, False), (most + 1, 0, True), (most, 1, True)):
        a = np.ones((20, 20, width + gap))[..., :width]
        with blocked_for(**FAR):
            nest = plan_of("ijk->ik", a).steps[0].lowered.nest
            assert (nest.far > 0) == far, (width, gap)
            assert (einjit.einsum("ijk->ik", a) == 20).all()


def test_rows_are_added_to_short_strips_where_long_ones_are_few():
    """As tiles, they would not keep the cores busy."""
    n = strip_length("float64", far=True)
    for width, far in ((STRIPS * n // 4 - 1, False), (STRIPS * n // 4, True)):
        a = np.ones((20, width))
        with blocked_for(**FAR):
            nest = plan_of("ij->j", a).steps[0].lowered.nest
            assert nest.strip, width
            assert (nest.far > 0) == far
            assert (einjit.einsum("ij->j", a) == 20).all()


@pytest.mark.parametrize("dtype", MULTIPLIED)
def test_rows_times_a_vector(dtype):
    """Rows in fours and others, whole vectors and others, one block of terms and more."""
    size = np.dtype(dtype).itemsize
    for m, n in product((1, 3, 4, 9, 30), (4096 // size, 4097 // size + 3, 5 * 16384 // size + 1)):
        a, b = integers((m, n), dtype, 1), integers(n, dtype)
        with blocked_for(**FAR):
            if m > 1 and (m * n < LONG_SUM or m >= 4 * FEWEST_TILES):
                assert plan_of("ij,j->i", a, b).steps[0].lowered.name == "dots"
            check("ij,j->i", a, b, expected=(a * b).sum(1, dtype=dtype))
            check("ij,kj->k", b[None], a, expected=(a * b).sum(1, dtype=dtype))
            check("hij,hj->ih", np.stack([a, a]), np.stack([b, b]))


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_random_rows_times_a_vector_keep_the_bound(dtype):
    a, b = real((7, 9000), dtype, 1), real(9000, dtype, 2)
    with blocked_for(**FAR):
        found = einjit.einsum("ij,j->i", a, b)
    expected = reference.einsum("ij,j->i", a, b)
    assert (abs(found - expected) <= reference.error_bound("ij,j->i", a, b)).all()


def test_parts_of_complex_rows_stay_apart():
    """What is not a number, or beyond all, shows in the sums that it is a term of."""
    a, b = np.ones((5, 100), "complex64"), np.full(100, 1 + 2j, "complex64")
    a[1, 3], a[2, 99], a[3, 50] = complex(np.nan, 0), complex(0, np.inf), complex(np.inf, 0)
    assert plan_of("ij,j->i", a, b).steps[0].lowered.name == "dots"
    found = einjit.einsum("ij,j->i", a, b)
    np.testing.assert_array_equal(found[[0, 4]], [100 + 200j] * 2)
    assert np.isnan(found[1])
    assert (found[2].real, found[2].imag) == (-np.inf, np.inf)
    assert (found[3].real, found[3].imag) == (np.inf, np.inf)


def test_not_a_number_stays_where_it_is():
    """Of A it shows in a row, of B in a column."""
    a, b = np.ones((4, 200)), np.ones((200, 333))
    a[2, 77], b[150, 332] = np.nan, np.inf
    with blocked_for(**FAR):
        swept("ij,jk->ik", a, b)
        found = einjit.einsum("ij,jk->ik", a, b)
    expected = np.full((4, 333), 200.0)
    expected[:, 332], expected[2] = np.inf, np.nan
    np.testing.assert_array_equal(found, expected)
