"""The oracle and the generators, held against np.einsum and against sums done by hand."""

import math
from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from reference import einsum, einsum_abs, error_bound, gamma
from strategies import (
    DTYPES,
    LAYOUTS,
    LIMIT,
    Case,
    Tagged,
    case_strategy,
    equation_strategy,
    lay_out,
    operand_sets,
    random_case,
)

RANDOM_CASES = [random_case(rng) for rng in [Random(2024)] for _ in range(500)]

BY_NAME = [
    ("", ()),
    (",", (), ()),
    ("i", (3,)),
    ("i->", (3,)),
    ("ii", (4, 4)),
    ("ii->i", (4, 4)),
    ("ba", (2, 3)),
    ("bA", (2, 3)),
    ("ij->ji", (2, 3)),
    ("ij->j", (0, 3)),
    ("ij->i", (0, 3)),
    ("i,i", (2,), (1,)),
    ("i,i->i", (0,), (1,)),
    (",ij", (), (2, 3)),
    ("i,->", (3,), ()),
    ("ij,jk", (2, 3), (3, 5)),
    ("ij,jk->ki", (2, 3), (3, 5)),
    ("ij,ij->", (2, 3), (2, 3)),
    ("i,j->ij", (2,), (3,)),
    (" i j , j k -> i k ", (2, 3), (3, 5)),
    ("ijp,ipq,ikq->ijk", (3, 1, 1), (3, 1, 3), (1, 3, 3)),
    ("bbcdc->d", (2, 2, 3, 5, 3)),
    ("iijj->ij", (2, 2, 3, 3)),
    ("ii,i", (1, 1), (3,)),
    ("...", (2, 3)),
    ("i...", (2,)),
    ("i...->...", (2, 3)),
    ("...i,...i", (2, 3), (5, 1, 3)),
    ("...ij,...jk->...ik", (4, 2, 3), (3, 5)),
    ("a...A,A", (2, 3, 4), (4,)),
    ("i...,...->...i", (2, 3), (4, 1)),
    ("i->...i", (2,)),
    ("abcde,dbf,fgd,ce->ag", (2, 3, 2, 2, 3), (2, 3, 2), (2, 3, 2), (2, 3)),
    ("i,i,i,i,i->i", (7,), (7,), (1,), (7,), (7,)),
]


def same_bits(result, expected):
    """Equal shape, dtype and bits; the byte order may differ, as it does for a view."""
    result, expected = np.asarray(result), np.asarray(expected)
    native = expected.astype(expected.dtype.newbyteorder("="))
    return (result.shape, result.dtype, result.tobytes()) == (
        native.shape,
        native.dtype,
        native.tobytes(),
    )


@pytest.mark.parametrize("call", BY_NAME, ids=str)
def test_named_equations_agree_with_numpy(call):
    subscripts, *shapes = call
    for dtype in ("int16", "float64", "complex64", "bool"):
        case = Case(subscripts, tuple(shapes), (dtype,) * len(shapes), ("C",) * len(shapes))
        operands = case.operands(5)
        assert same_bits(einsum(subscripts, *operands), np.einsum(subscripts, *operands))


def test_random_cases_are_accepted_by_numpy_and_agree_to_the_bit():
    for case in RANDOM_CASES:
        operands = case.operands(1)
        expected = np.einsum(case.subscripts, *operands)
        assert same_bits(einsum(case.subscripts, *operands), expected), case


def test_real_data_agree_with_numpy_within_the_error_bound():
    compared = 0
    for case in RANDOM_CASES:
        if np.result_type(*case.dtypes) in (np.float16, np.bool_):
            continue  # numpy rounds partial sums to float16; bool has no difference
        operands = case.operands(2, "real")
        expected = np.asarray(np.einsum(case.subscripts, *operands)).astype(complex)
        error = np.abs(einsum(case.subscripts, *operands).astype(complex) - expected)
        assert (error <= error_bound(case.subscripts, *operands)).all(), case
        compared += error.size
    assert compared > 1000


def test_by_hand():
    a, b = np.array([[1, 2], [3, 4]]), np.array([[5, 6], [7, 8]])
    assert einsum("ij,jk", a, b).tolist() == [[19, 22], [43, 50]]
    assert einsum("ij,jk->", a, b).tolist() == 134
    assert einsum("ii", a).tolist() == 5
    assert einsum("ba", a).tolist() == [[1, 3], [2, 4]]
    assert einsum("i,i", [1 + 2j, 3j], [2 - 1j, 1j]).tolist() == 1 + 3j
    assert einsum_abs("i,i", [3 + 4j, 1j], [-2, 1]).tolist() == 11.0
    assert einsum_abs("i->", np.array([-128, 1], np.int8)).tolist() == 129.0
    assert einsum("i,i->i", [True, True], [True, False]).tolist() == [True, False]


def test_integers_wrap_in_their_own_width():
    assert einsum("i,i", np.array([100, 100], np.int8), np.array([2, 3], np.int8)) == 500 - 512
    assert einsum("i->", np.array([200, 100], np.uint8)) == 44
    assert einsum("i,i", np.array([2**62], np.int64), np.array([2], np.int64)) == -(2**63)
    assert einsum("i,i", np.array([2**63], np.uint64), np.array([3], np.uint64)) == 2**63


def test_a_sum_is_rounded_once():
    assert einsum("i->", np.float32([2**24, 1, 1, -(2**24)])) == 2
    assert einsum("i->", np.array([1e308, 1e308, -1e308])) == 1e308
    # A tie broken by a bit that rounding to float64 on the way would lose.
    assert einsum("i->", np.float32([1, 2**-24, 2**-70])) == np.float32(1 + 2**-23)
    assert einsum("i->", np.float32([1, 2**-24])) == 1
    assert einsum("i->", np.float16([2048, 1, 2])) == 2052
    least = np.finfo(np.float32).smallest_subnormal
    assert einsum("i,i", np.float32([least, least]), np.float32([0.5, 0.25])) == least
    assert einsum("i,i->i", np.float32([least]), np.float32([0.5])) == 0
    assert einsum("i,i", np.float32([least, least]), np.float32([0.5, 2**-70])) == least
    assert einsum("i->", np.float16([60000, 60000])) == math.inf
    assert einsum("i->", np.array([-1e308, -1e308])) == -math.inf


def test_the_sign_of_zero():
    assert not np.signbit(einsum("i,i->i", [-1.0], [0.0]))
    assert not np.signbit(einsum("i->", [-0.0]))
    assert np.signbit(einsum("ij->ji", [[-0.0]]))  # nothing is added up


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
def test_infinity_and_nan_go_where_they_go_in_numpy(dtype):
    values = np.array([[math.inf, 1, 0], [2, math.nan, 1], [3, -math.inf, math.inf]], dtype)
    for other in (values, np.array([[1, 0, 2], [0, 3, 1], [1, 1, 1]], dtype)):
        expected = np.einsum("ij,jk->ik", values, other)
        np.testing.assert_array_equal(einsum("ij,jk->ik", values, other), expected)


def test_dtype():
    a = np.array([1.75, -2.5])
    for dtype in (np.int32, np.float32, np.complex128):
        result = einsum("i,i->i", a, a, dtype=dtype)
        expected = np.einsum("i,i->i", a, a, dtype=dtype, casting="unsafe")
        assert same_bits(result, expected)
    assert einsum("i->", np.ones(2, ">f4")).dtype == np.dtype("=f4")


@pytest.mark.parametrize(
    "call",
    [
        ("ij", (3,)),
        ("i", (3, 3)),
        ("i,i", (3,)),
        ("ii", (3, 1)),
        ("ij,jk", (2, 3), (2, 3)),
        ("i->j", (3,)),
        ("i->ii", (3,)),
        ("i...->i", (2, 3)),
        ("i..", (3,)),
        ("i....", (3,)),
        ("i$", (3, 3)),
        ("i->i->i", (3,)),
    ],
    ids=str,
)
def test_what_numpy_refuses_is_refused(call):
    subscripts, *shapes = call
    operands = [np.ones(shape) for shape in shapes]
    for function in (einsum, np.einsum):
        with pytest.raises(ValueError):
            function(subscripts, *operands)


def test_gamma():
    u = 2.0**-53
    assert gamma(3, 2, np.float64) == pytest.approx((3 + 1 + 2) * u)
    assert gamma(1000, 3, np.float64) == pytest.approx((256 + 4 + 3) * u)
    assert gamma(3, 2, np.complex128) == pytest.approx(math.sqrt(2) * (2 * 4 + 6) * u)
    assert gamma(1, 1, np.float16) == pytest.approx(2.0**-10, rel=1e-2)
    assert gamma(1000, 2, np.int32) == 0
    assert error_bound("i->", np.ones(1000, np.float32)) < 1000 * 1.6e-5


def test_the_error_bound_finds_an_unblocked_sum():
    ones = np.full(60_000, 0.1, np.float32)
    bound = error_bound("i->", ones)
    assert abs(ones.cumsum(dtype=np.float32)[-1] - einsum("i->", ones)) > bound
    assert abs(ones.sum() - einsum("i->", ones)) < bound


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", [*LAYOUTS, "memmap"])
def test_a_layout_keeps_the_values_and_is_what_it_says(layout, dtype):
    case = Case("abc", ((5, 3, 2),), (dtype,), (layout,))
    (array,) = case.operands(3)
    itemsize, strides = array.itemsize, array.strides
    sound = {
        "C": array.flags.c_contiguous,
        "F": array.flags.f_contiguous,
        "permuted": sorted(strides)[0] == itemsize and sorted(strides)[-1] < array.nbytes,
        "negative": min(strides) < 0,
        "stepped": min(strides) == 2 * itemsize,
        "sliced": strides == (20 * itemsize, 4 * itemsize, itemsize),
        "tangled": min(strides) < 0 and min(map(abs, strides)) == 2 * itemsize,
        "broadcast": 0 in strides,
        "readonly": not array.flags.writeable,
        "subclass": type(array) is Tagged,
        "misaligned": itemsize == 1 or not array.flags.aligned,
        "swapped": itemsize == 1 or not array.dtype.isnative,
        "field": min(strides) % itemsize != 0 or itemsize == 1 < min(strides),
        "memmap": isinstance(array, np.memmap),
    }
    assert sound[layout]
    values = np.arange(30).reshape(5, 3, 2).astype(dtype)
    assert same_bits(lay_out(values, layout, 0).astype(dtype), values)
    for shape in ((), (1,), (0, 3), (3, 0)):
        values = np.ones(shape, dtype)
        assert same_bits(lay_out(values, layout, 0).astype(dtype), values)


def test_random_cases_cover_what_they_should():
    seen = Counter()
    for case in RANDOM_CASES:
        inputs, arrow, output = case.subscripts.replace(" ", "").partition("->")
        extents = {n for shape in case.shapes for n in shape}
        seen.update({*case.dtypes, *case.layouts, *(f"extent {n}" for n in extents)})
        seen[f"{len(case.shapes)} operands"] += 1
        seen[f"{len(set(filter(str.isalpha, inputs)))} letters"] += 1
        seen["space"] += " " in case.subscripts
        seen["implicit"] += not arrow
        seen["ellipsis"] += "..." in inputs
        seen["ellipsis missing"] += "..." in inputs and inputs.count("...") < len(case.shapes)
        seen["full reduction"] += arrow == "->" and output == ""
        seen["repeated"] += any(len({*t}) < len(t) for t in inputs.replace(".", "").split(","))
        seen["mixed dtypes"] += len(set(case.dtypes)) > 1
    wanted = [*DTYPES, *LAYOUTS, *(f"extent {n}" for n in (0, 1, 2, 3, 5, 7, 13, 17, 31, 257))]
    wanted += [f"{n} operands" for n in range(1, 6)] + [f"{n} letters" for n in range(9)]
    wanted += ["space", "implicit", "ellipsis", "ellipsis missing", "full reduction"]
    wanted += ["repeated", "mixed dtypes"]
    assert [what for what in wanted if seen[what] < 2] == []


def test_the_product_of_all_extents_is_bounded():
    sizes = []
    for limit in (LIMIT, 40):
        for case in (random_case(rng, limit) for rng in [Random(9)] for _ in range(200)):
            inputs = case.subscripts.partition("->")[0]
            letters = sorted(set(filter(str.isalpha, inputs)))
            ones = [np.ones(shape, bool) for shape in case.shapes]
            sizes.append(np.einsum(f"{inputs}->...{''.join(letters)}", *ones).size)
            assert max(sizes[-1], *(one.size for one in ones)) <= limit
    assert max(sizes) > LIMIT / 2


def test_the_same_seed_gives_the_same_case_and_values():
    first, second = random_case(Random(7)), random_case(Random(7))
    assert first == second
    assert first == eval(repr(first))
    for kind in ("integers", "real"):
        for x, y in zip(first.operands(3, kind), second.operands(3, kind), strict=True):
            assert x.tobytes() == y.tobytes()


def test_operand_sets_vary_all_but_the_equation():
    cases = operand_sets("...ij,jk->ik...", Random(1), 40)
    assert {case.subscripts for case in cases} == {"...ij,jk->ik..."}
    for vary in ("shapes", "dtypes", "layouts"):
        assert len({getattr(case, vary) for case in cases}) > 10
    for case in cases:
        operands = case.operands()
        expected = np.einsum(case.subscripts, *operands)
        assert same_bits(einsum(case.subscripts, *operands), expected), case


def test_sums_of_integer_values_are_exact_in_float16():
    halves = 0
    for case in operand_sets("ijk,kjl->", Random(3), 400):
        if np.result_type(*case.dtypes) != np.float16:
            continue
        halves += 1
        operands = case.operands()
        assert einsum_abs(case.subscripts, *operands) <= 2048
        assert np.einsum("ijk,kjl->ijkl", *(np.ones(x.shape, bool) for x in operands)).size <= 2048
    assert halves > 20


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(case_strategy())
def test_hypothesis_cases(case):
    operands = case.operands()
    assert same_bits(einsum(case.subscripts, *operands), np.einsum(case.subscripts, *operands))


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(equation_strategy())
def test_hypothesis_equations(equation):
    for case in operand_sets(equation, Random(0), 2):
        operands = case.operands()
        assert same_bits(einsum(equation, *operands), np.einsum(equation, *operands))
