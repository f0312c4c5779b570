"""The benchmark's cases, the check of their answers, and the limits of the machine."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from einjit.bench.cases import Case, Point
from einjit.bench.check import fault
from einjit.bench.levels import LEVELS, MEMORY, caches, footprints, level_of
from einjit.bench.limits import FACTOR, Limits, aligned_bytes, bandwidth_now, measure, stream_like
from einjit.bench.machine_code import CHAINS, chains, stream
from einjit.bench.suites import CASES, DTYPES, points

FOOTPRINTS = {"L1": 1 << 12, "L2": 1 << 14, "mem": 1 << 17}

BANDWIDTH = {
    "reductions": 12,
    "elementwise": 12,
    "matrix-vector": 12,
    "tiny": 12,
    "permutations": 8,
}
PRODUCTS = {
    "squares": 6,
    "oblong": 6,
    "transposed": 4,
    "integers": 4,
    "batched": 6,
    "chemistry": 8,
}


def small(case, dtype):
    """A point of a case that takes no time: its fixed extents are lowered."""
    point = case.at(dtype, 1 << 12)
    return Point(case, dtype, {k: min(n, 40 // len(point.sizes)) for k, n in point.sizes.items()})


def at(equation, dtype="float64", **sizes):
    return Point(Case("", "", "", equation, (dtype,), sizes), dtype, sizes)


# ---------------------------------------------------------------- cases


def test_the_groups_have_their_cases():
    counts = Counter((case.suite, case.group) for case in CASES)
    found = {suite: {g: n for (s, g), n in counts.items() if s == suite} for suite, _ in counts}
    assert found == {"bandwidth": BANDWIDTH, "products": PRODUCTS, "calls": {"calls": 14}}


def test_cases_are_told_apart_by_name():
    assert len({(case.suite, case.name) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.suite}: {case.name}")
def test_a_case_is_well_formed_and_numpy_answers_it(case):
    assert set(case.equation) - set(",->") == set(case.extents)
    assert case.dtypes
    assert set(case.dtypes) <= set(DTYPES)
    for dtype in case.dtypes:
        point = small(case, dtype)
        operands = point.operands()
        assert [a.shape for a in operands] == point.shapes
        assert {a.dtype for a in operands} == {np.dtype(dtype)}
        result = np.einsum(case.equation, *operands)
        assert fault(point, operands, result) is None
        assert point.writes == result.nbytes
        assert point.flops >= 0


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.suite}: {case.name}")
def test_a_case_that_grows_fills_its_footprint(case):
    if all(isinstance(extent, int) for extent in case.extents.values()):
        assert case.at("float32", 1 << 20).sizes == case.extents
    else:
        assert 0.75 * (1 << 24) < case.at("float32", 1 << 24).bytes <= 1 << 24


def test_a_sample_of_the_grid_has_every_case_level_and_dtype():
    found = points(["bandwidth"], FOOTPRINTS)
    assert len({point.case.name for point in found}) == len(found) == sum(BANDWIDTH.values())
    assert {point.dtype for point in found} == {
        *("float32", "float64", "complex64", "int32", "bool", "complex128")
    }
    nearest = [min(FOOTPRINTS, key=lambda k: abs(FOOTPRINTS[k] - p.bytes)) for p in found]
    assert set(nearest) == set(FOOTPRINTS)


def test_levels_and_dtypes_that_are_asked_for():
    found = points(
        ["bandwidth", "products"],
        FOOTPRINTS,
        only="square",
        dtypes=("float32", "int8"),
        levels=("L1", "mem"),
    )
    assert [point.dtype for point in found] == ["float32"] * 6  # no squares of integers
    found = points(["bandwidth"], FOOTPRINTS, only="->ji", dtypes=("bool",), levels=("L1", "mem"))
    assert [point.case.name for point in found] == ["transpose"] * 2
    assert found[0].bytes < found[1].bytes
    assert points(["bandwidth"], FOOTPRINTS, only="->ji", levels=("L3",)) == []


def test_work_of_a_point():
    product = at("ij,jk->ik", i=2, j=3, k=5)
    assert (product.flops, product.reads, product.writes) == (60, 8 * 21, 8 * 10)
    assert at("ij,jk->ik", "complex64", i=2, j=3, k=5).flops == 240
    assert at("ij->i", i=4, j=5).flops == 20
    assert at("ij->ji", i=4, j=5).flops == 0
    assert at("i,j->ij", i=4, j=5).flops == 20
    assert at("ij,jk,kl->il", i=10, j=10, k=10, l=10).flops == 4000  # not the 10⁴ of one nest
    assert at("ii->i", i=4).reads == 32  # the diagonal alone


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize("dtype", ["float32", "complex128", "int8", "bool"])
@pytest.mark.parametrize("place", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
def test_a_wrong_corner_is_found(dtype, place):
    point = at("ij,jk->ik", dtype, i=70, j=9, k=80)
    operands = point.operands()
    result = np.einsum(point.case.equation, *operands)
    result[place] = not result[place] if dtype == "bool" else result[place] + 1
    assert fault(point, operands, result).startswith("wrong: an element is off by")


def test_other_wrong_answers_are_found():
    point = at("ij,jk->ik", i=7, j=9, k=8)
    operands = point.operands()
    result = np.einsum(point.case.equation, *operands)
    assert fault(point, operands, result.T) == "wrong: shape (8, 7), not (7, 8)"
    assert fault(point, operands, result * np.nan).startswith("wrong")
    assert fault(point, operands, result.astype("float32")).startswith("wrong")


# ---------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("kind", "bits", "dtype", "expected"),
    [
        ("float", 32, "f4", lambda v: np.float32(0.999) * v + np.float32(0.001)),
        ("float", 64, "f8", lambda v: 0.999 * v + 0.001),
        ("int8", 8, "i1", lambda v: (v * 85 + 34 + 128) % 256 - 128),
        ("int64", 64, "i8", lambda v: (v * FACTOR + 34 + 2**63) % 2**64 - 2**63),
        ("bool", 8, "i1", lambda v: v & 85 | 34),
    ],
)
def test_chains_multiply_and_add(kind, bits, dtype, expected):
    lanes = 256 // bits
    found = aligned_bytes(CHAINS * 32).view(dtype).reshape(CHAINS, lanes)
    chains(kind, bits, lanes)(found.ctypes.data, FACTOR, 2)
    once = [expected(expected(v)) for v in range(CHAINS)]
    np.testing.assert_allclose(found, np.repeat(once, lanes).reshape(found.shape), rtol=1e-5)


@pytest.mark.parametrize("past", [False, True])
@pytest.mark.parametrize(("reads", "writes"), [(1, 0), (2, 1), (1, 1), (0, 1)])
def test_streams_read_the_first_arrays_and_write_the_last(reads, writes, past):
    arrays = aligned_bytes(3 * 4096).view(np.int32).reshape(3, 1024)
    arrays[:] = before = np.arange(3 * 1024, dtype=np.int32).reshape(3, 1024)
    stream(reads, writes, 32, past)(arrays.ctypes.data, arrays[0].nbytes, 2)
    last = reads + writes - 1
    if writes:
        expected = np.bitwise_xor.reduce(before[:reads], initial=1)
        np.testing.assert_array_equal(arrays[last], expected)
        before[last] = arrays[last]
    else:  # what was read is left in the first bytes, so that it was not read for nothing
        before[0, :8] = arrays[0, :8]
    np.testing.assert_array_equal(arrays, before)


def test_the_limit_is_the_longer_of_arithmetic_and_moving():
    rates = {"read": 8.0, "add": 4.0, "copy": 2.0, "write": 1.0}
    limits = Limits(1, {"float64": 5.0}, dict.fromkeys((*caches(), MEMORY), rates))
    assert limits.seconds(at("ij,jk->ik", i=10, j=100, k=10)) == 20_000 / 5
    assert limits.seconds(at("ij->ji", i=9, j=9)) == 2 * 8 * 81 / 2
    assert limits.seconds(at("i,j->ij", i=90, j=90)) == 8 * (180 + 8100) / 1
    assert limits.seconds(at("ij,ij->ij", i=9, j=9)) == 3 * 8 * 81 / 4
    slow = dataclasses.replace(limits, peak={"float64": 1e9})
    assert slow.seconds(at("ij->i", i=90, j=90)) == 8 * (8100 + 90) / 8


def test_levels_hold_what_fits_them():
    assert list(footprints()) == [*caches(), MEMORY]
    assert set(footprints()) <= set(LEVELS)
    assert [level_of(size, 1) for size in footprints().values()] == list(footprints())
    assert level_of(2 * caches()["L1"], 1) != "L1"
    assert level_of(2 * caches()["L1"], 2) == "L1"


def test_limits_are_measured_for_what_is_asked():
    found = measure([at("i,i->", "float32", i=1000)])
    assert list(found.peak) == ["float32"]
    assert list(found.bandwidth) == ["L1"]
    assert min(*found.peak.values(), *found.bandwidth["L1"].values()) > 0
    assert bandwidth_now(found.threads, "L1", "copy") > 0


def test_what_a_point_moves_is_like_a_stream():
    equations = ("ij->i", "ij,ij->ij", "ij->ji", "i,j->ij")
    streams = [stream_like(at(equation, i=90, j=90)) for equation in equations]
    assert streams == ["read", "add", "copy", "write"]
    limits = Limits(1, {"float64": 5.0}, {})
    assert limits.seconds(at("ij->ji", i=9, j=9), bandwidth=4.0) == 2 * 8 * 81 / 4
