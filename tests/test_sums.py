"""Sums: their error, the long ones that are split, and extents round a block and a strip."""

import math

import numpy as np
import pytest
import reference
from strategies import DTYPES

import einjit
from einjit.api import plan_for
from einjit.equation.operands import Layout
from einjit.plan.nest import BLOCK, strip_length
from einjit.plan.task import MULTIPLIED
from einjit.target import vector_bytes


def steps(subscripts, *operands):
    """How each step is lowered."""
    plan = plan_for(subscripts, [Layout.of(operand) for operand in operands])
    return [step.lowered.name for step in plan.steps]


@pytest.mark.parametrize("stride", [0, 1, 3])
def test_a_million_values_sum_to_15_decimals(stride):
    n, value = 10**6, 1 + np.finfo(float).eps * 8196
    x = np.broadcast_to(value, n) if stride == 0 else np.full(stride * n, value)[::stride]
    for subscripts, operands in [("i->", [x]), ("i,i->", [x, np.ones(n)])]:
        np.testing.assert_almost_equal(einjit.einsum(subscripts, *operands) / n, value, decimal=15)
    for subscripts, operands in [  # two sums at once: numpy's are 5,000 times further off
        ("ij->i", [np.broadcast_to(x, (2, n))]),
        ("ij->j", [np.broadcast_to(x, (2, n)).T]),
        ("i,ij->j", [x, np.ones((n, 2))]),
    ]:
        result = einjit.einsum(subscripts, *operands) / n
        np.testing.assert_allclose(result, value, rtol=2e-15)


@pytest.mark.parametrize("optimize", ["auto", False])
def test_random_values_sum_within_the_bound(optimize):
    x = np.random.default_rng(1).standard_normal((3, 300_001))
    for subscripts, transposed in [("ij->i", False), ("ji->i", True)]:
        found = einjit.einsum(subscripts, x.T if transposed else x, optimize=optimize)
        for row, total in zip(x, found, strict=True):
            bound = reference.gamma(row.size, 1, row.dtype) * math.fsum(abs(row))
            assert abs(math.fsum(row) - total) <= bound


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_long_sum_is_exact_in_every_dtype(dtype):
    n = (1 << 18) + 257
    values = np.random.default_rng(2).integers(-3, 4, n)
    if dtype == "bool":
        for x in (np.zeros(n, bool), np.arange(n) == n - 1):
            assert steps("i->", x) == ["split", "nest"]
            assert einjit.einsum("i->", x) is np.any(x)
        return
    x = values.astype(dtype)  # wraps in unsigned dtypes
    total, way = values.sum(), "split"
    if x.dtype.kind == "c":
        x.imag = values[::-1] + 1
        total, way = total + 1j * (total + n), "columns"
    assert steps("i->", x) == [way, "nest"]
    with np.errstate(over="ignore"):
        expected = np.array(total).astype(dtype)
    found = einjit.einsum("i->", x)
    assert (found.dtype, found) == (np.dtype(dtype), expected)


@pytest.mark.parametrize("dtype", ["float64", "complex64", "float16", "int8", "bool"])
def test_long_sums_with_few_results(dtype):
    values = np.random.default_rng(3).integers(0, 2, (90_001, 3))
    weights = np.arange(90_001) % 701 == 0
    expected = (values * weights[:, None]).sum(axis=0)
    x, w = values.astype(dtype), weights.astype(dtype)
    for subscripts, operands in [
        ("ij,i->j", [x, w]),
        ("ji,i->j", [np.ascontiguousarray(x.T), w]),
        ("ij,i->j", [np.asfortranarray(x), w]),
    ]:
        few = dtype in (*MULTIPLIED, "bool") and operands[0].strides[0] == 3 * x.itemsize
        assert steps(subscripts, *operands) == ["columns" if few else "split", "nest"]
        found = einjit.einsum(subscripts, *operands)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, expected.astype(dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_few_columns_keep_the_bound(dtype):
    """Of random values, and of equal ones, whose roundings all go one way."""
    rng = np.random.default_rng(5)
    wide = 12 * vector_bytes() // np.dtype(dtype).itemsize
    for n in (16, 4096, 40_001):
        for fill in (rng.standard_normal, lambda shape: np.full(shape, 0.07)):
            shapes = ((n, 3), (n,), (n, 2), (min(n, 4096), wide))
            x, w, y, z = (fill(shape).astype(dtype) for shape in shapes)
            for subscripts, operands in [
                ("ij->j", [x]),
                ("ij,i->j", [x, w]),
                ("ij,ik->jk", [x, y]),
                ("ij->j", [z]),
            ]:
                assert steps(subscripts, *operands)[0] == "columns"
                found = einjit.einsum(subscripts, *operands)
                expected = reference.einsum(subscripts, *operands)
                assert (abs(found - expected) <= reference.error_bound(subscripts, *operands)).all()


STRIP = strip_length("int64")


@pytest.mark.parametrize(
    "n", [STRIP - 1, STRIP, STRIP + 1, 2 * BLOCK - 1, 2 * BLOCK, 2 * BLOCK + 1]
)
def test_sizes_around_a_strip_and_a_block(n):
    rng = np.random.default_rng(n)
    a, b, c = rng.integers(-9, 10, (3, n)), rng.integers(-9, 10, (n, 2)), rng.integers(-9, 10, n)
    d = rng.integers(-9, 10, (n, n))
    for subscripts, operands, expected in [
        ("i->", [c], c.sum()),
        ("ij->i", [a], a.sum(1)),
        ("ij->j", [a], a.sum(0)),
        ("ij->j", [b], b.sum(0)),
        ("ij,j->i", [a, c], a @ c),
        ("ij,jk->ik", [a, b], a @ b),
        ("ij,jk->ik", [b, b[:2]], b @ b[:2]),
        ("ij,jk->ik", [a.T, a], a.T @ a),
        ("ij,kj->ik", [a, a], a @ a.T),
        ("ij,ij->ij", [a, a], a * a),
        ("ij,ji->ij", [d, d], d * d.T),
        ("i,i,i->", [c, c, c], (c**3).sum()),
    ]:
        found = einjit.einsum(subscripts, *(x.astype("f8") for x in operands))
        np.testing.assert_array_equal(found, expected, err_msg=subscripts)


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if "int" in dtype])
def test_integers_wrap_in_their_own_width(dtype):
    info = np.iinfo(dtype)
    a = np.array([info.min, info.max, info.max - 1, 3, 77], dtype)
    for subscripts in ("i->", "i,i->i", "i,i->", "i,i,i->i"):
        operands = [a] * len(subscripts.split("->")[0].split(","))
        found = einjit.einsum(subscripts, *operands)
        expected = reference.einsum(subscripts, *operands)
        assert (found.dtype, found.tolist()) == (expected.dtype, expected.tolist()), subscripts


def test_half_precision_is_summed_in_single():
    a = np.array([60_000, 60_000, -60_000], "f2")
    assert einjit.einsum("i->", a) == 60_000
    assert einjit.einsum("i->", a[:2]) == np.inf
    assert einjit.einsum("i->", np.full(4096, 1, "f2")) == 4096  # 2048 + 1 rounds to 2048
    tiny = np.full(3, np.finfo("f2").smallest_subnormal, "f2")
    assert einjit.einsum("i->", tiny) == 3 * float(tiny[0])


def test_any_byte_but_0_is_true():
    a = np.array([0, 1, 2, 128, 255], "u1").view("?")
    b = np.array([1, 2, 1, 127, 0], "u1").view("?")
    assert einjit.einsum("i,i->i", a, b).view("u1").tolist() == [0, 1, 1, 1, 0]
    assert einjit.einsum("i,i->", a[1:3], b[:2]) is np.True_
    assert einjit.einsum("i,i->i", a, np.ones(5, "i2")).tolist() == [0, 1, 1, 1, 1]
