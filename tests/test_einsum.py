"""What einsum computes: random equations against the reference; NaN, infinities and signs of zero;
many loops, extents of 0 and 1, scalars and views."""

import math
import string
import sys
from random import Random

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from packing import plan_of
from strategies import case_strategy, lay_out, operand_sets, random_equation
from targets import blocked_for

import einjit
from einjit.equation.operands import Layout

EQUATIONS = {seed: random_equation(Random(seed)) for seed in range(50)}
CAMPAIGN = {seed: random_equation(Random(seed)) for seed in range(1000, 1500)}


def memory(array):
    """All bytes that the array lies in, those between its elements too."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array.tobytes()


def check(case, seed, optimizes=("auto", "auto", False)):
    """einjit's results, cold and warm and on every path, against the reference."""
    for kind in ("integers", "real"):
        operands = case.operands(seed, kind)
        expected = reference.einsum(case.subscripts, *operands)
        before = [memory(operand) for operand in operands]
        for optimize in optimizes:
            found = einjit.einsum(case.subscripts, *operands, optimize=optimize)
            what = f"{case}, {kind} of seed {seed}, optimize={optimize!r}"
            dtype = found.dtype.newbyteorder("=")  # a view keeps its operand's byte order
            assert (np.shape(found), dtype) == (expected.shape, expected.dtype), what
            assert isinstance(found, np.generic) == (expected.shape == ()), what
            if kind == "integers" or expected.dtype.kind not in "fc":
                native = np.asarray(found, expected.dtype.newbyteorder("="))
                assert native.tobytes() == expected.tobytes(), what
            else:
                bound = reference.error_bound(case.subscripts, *operands)
                assert (abs(found - expected) <= bound).all(), what
        assert [memory(operand) for operand in operands] == before, what


def check_equation(seed, subscripts, n_sets, n_in_pairs):
    """So many sets of operands, the first few of them contracted in pairs as well."""
    rng = Random(seed)
    for number, case in enumerate(operand_sets(subscripts, rng, n_sets)):
        pairs = (True,) if number < n_in_pairs and len(case.shapes) > 2 else ()
        check(case, rng.randrange(10**6), ("auto", "auto", False, *pairs))


@pytest.mark.parametrize(("seed", "subscripts"), EQUATIONS.items())
def test_random_equations(seed, subscripts):
    check_equation(seed, subscripts, n_sets=4, n_in_pairs=1)


@pytest.mark.campaign
@pytest.mark.parametrize(("seed", "subscripts"), CAMPAIGN.items())
def test_random_equations_at_length(seed, subscripts):
    check_equation(seed, subscripts, n_sets=20, n_in_pairs=20)


@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(case_strategy())
def test_shrinking_cases(case):
    check(case, 0)


# --- NaN and infinities

SPECIAL = [
    ("baa->ba", (2, 3, 3)),
    ("i->", (5,)),
    ("ij->", (2, 3)),
    ("ij->i", (2, 5)),
    ("ij->j", (5, 2)),
    ("ii->", (3, 3)),
    ("ii->i", (3, 3)),
    ("ij->ji", (2, 3)),
    ("ijk->ki", (2, 3, 2)),
    ("i,i->i", (4,), (4,)),
    ("i,i->", (4,), (4,)),
    ("ij,ij->ij", (2, 3), (2, 3)),
    ("ij,ji->ij", (2, 3), (3, 2)),
    ("ij,jk->ik", (2, 3), (3, 2)),
    ("ij,kj->ik", (2, 3), (2, 3)),
    ("ij,j->i", (2, 3), (3,)),
    ("i,j->ij", (2,), (3,)),
    ("ij,->ij", (2, 2), ()),
    ("i,i->i", (3,), (1,)),
    (",i->i", (), (3,)),
    ("bij,bjk->bik", (2, 2, 2), (2, 2, 2)),
    ("...i,...i->...", (2, 3), (3,)),
    ("ij,jk,kl->il", (2, 2), (2, 2), (2, 2)),
    ("i,i,i->i", (3,), (3,), (1,)),
]
SPECIAL_IN_ALL = [SPECIAL[n] for n in (0, 3, 4, 9, 10, 13, 18)]
# An index that one operand alone has is summed: numpy multiplies before it sums or after, as its
# innermost loop happens to be, and an infinity shows which.
LONE = [("ij,jk->", (2, 3), (3, 2)), (",i->", (), (3,)), ("i,j->", (2,), (3,))]


def mask(array):
    """NaN and infinities of either sign: where they are, and which, part by part."""
    array = np.asarray(array)
    if array.dtype.kind == "c":
        return mask(array.real), mask(array.imag)
    return np.where(np.isfinite(array), 0, array).tolist()


def specials(dtype):
    parts = (np.nan, np.inf, -np.inf)
    if np.dtype(dtype).kind != "c":
        return parts
    return [complex(part, 1) for part in parts] + [complex(-1, part) for part in parts]


def special_operands(dtype, shapes):
    """Operands of small integers, with each special value in each place of each, one at a time."""
    rng = np.random.default_rng(7)
    for at, shape in enumerate(shapes):
        for position in np.ndindex(*shape):
            for value in specials(dtype):
                operands = [np.array(rng.integers(-2, 3, s), dtype) for s in shapes]
                operands[at][position] = value
                yield operands


@pytest.mark.parametrize(
    ("dtype", "subscripts", "shapes"),
    [("f8", subscripts, shapes) for subscripts, *shapes in SPECIAL]
    + [(d, subscripts, s) for d in ("f2", "f4", "c8", "c16") for subscripts, *s in SPECIAL_IN_ALL],
)
def test_nan_and_infinities_show_where_numpy_has_them(dtype, subscripts, shapes):
    for operands in special_operands(dtype, shapes):
        with np.errstate(invalid="ignore"):
            expected = np.einsum(subscripts, *operands)
        found = einjit.einsum(subscripts, *operands)
        np.testing.assert_equal(mask(found), mask(expected), err_msg=str(operands))
        finite = np.isfinite(expected)
        np.testing.assert_array_equal(found[finite], expected[finite], err_msg=str(operands))


@pytest.mark.parametrize(("subscripts", "shapes"), [(first, rest) for first, *rest in LONE])
def test_nan_and_infinities_of_a_lone_sum(subscripts, shapes):
    for operands in special_operands("f8", shapes):
        with np.errstate(invalid="ignore"):
            expected = np.einsum(subscripts, *operands)
        defined = reference.einsum(subscripts, *operands)
        found = einjit.einsum(subscripts, *operands)
        assert repr(mask(found)) in (repr(mask(expected)), repr(mask(defined))), operands


# --- signs of zero


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "c16"])
@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("i->", [(3,)]),
        ("ij->j", [(3, 2)]),
        ("i,i->i", [(3,), (3,)]),
        ("i,i->", [(3,), (3,)]),
        ("ij->ji", [(2, 3)]),  # a view
    ],
)
def test_the_sign_of_zero_is_numpys(dtype, subscripts, shapes):
    for signs in np.ndindex(*(2,) * len(shapes)):
        operands = [
            np.full(s, -0.0 if m else 0.0, dtype) for s, m in zip(shapes, signs, strict=True)
        ]
        found = einjit.einsum(subscripts, *operands)
        assert found.tobytes() == np.einsum(subscripts, *operands).tobytes()


# --- many loops


def unfusable(rank, dtype):
    """An operand of extents 2 whose loops stay apart: its strides are powers of 3."""
    values = np.arange(3**rank) % 5 - 2
    return values.astype(dtype).reshape((3,) * rank)[(slice(2),) * rank]


@pytest.mark.parametrize("free", ["", "abcdefgh", "opqrstuv", "abcdefghijklmnopqrstuv"])
def test_more_loops_than_python_can_nest(free):
    a, b = unfusable(11, "i2"), unfusable(11, "i2")[::-1]
    found = einjit.einsum(f"abcdefghijk,lmnopqrstuv->{free}", a, b, optimize=False)
    summed = tuple(i for i, c in enumerate(string.ascii_lowercase[:22]) if c not in free)
    np.testing.assert_array_equal(found, np.multiply.outer(a, b).sum(axis=summed, dtype="i2"))


def test_more_loops_than_letters():
    letters = string.ascii_letters
    subscripts = ",".join(letters[3 * n : 3 * n + 3] for n in range(9)) + "->"
    operands = [unfusable(3, "i4") + n % 2 for n in range(9)]
    operands = [lay_out(operand, "sliced") for operand in operands]
    assert einjit.einsum(subscripts, *operands, optimize=False) == math.prod(map(np.sum, operands))
    assert max(kernel.source.nest.loops for kernel in einjit.registry[subscripts]) == 27


# --- extents of 0 and 1, scalars, array_likes


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("i->", [(0,)]),
        ("i", [(0,)]),
        ("ii->i", [(0, 0)]),
        ("ij->i", [(3, 0)]),
        ("ij->i", [(0, 3)]),
        ("ij->ji", [(0, 3)]),
        ("ij,jk->ik", [(2, 0), (0, 3)]),
        ("ij,jk->ik", [(0, 2), (2, 3)]),
        ("ij,jk->", [(2, 0), (0, 3)]),
        ("i,i->i", [(0,), (1,)]),
        ("i,i->", [(1,), (0,)]),
        ("i,j->ij", [(0,), (3,)]),
        ("ij,jk,kl->il", [(2, 3), (3, 0), (0, 4)]),
        ("...i,...i->...", [(2, 0), (0,)]),
        ("i,i", [(1,), (4,)]),
        ("ij,jk->ik", [(1, 1), (1, 1)]),
        ("ij,jk->ik", [(2, 1), (3, 2)]),
        ("ijp,ipq,ikq->ijk", [(3, 1, 1), (3, 1, 3), (1, 3, 3)]),
        ("ii->i", [(1, 1)]),
        ("ii,i->i", [(1, 1), (4,)]),
        ("...,...->...", [(2, 1), (1, 3)]),
    ],
)
@pytest.mark.parametrize("dtype", ["f8", "f2", "i2", "?"])
def test_extents_of_0_and_1(dtype, subscripts, shapes):
    operands = [np.ones(shape, dtype) for shape in shapes]
    expected = np.einsum(subscripts, *operands)
    for optimize in ("auto", "auto", False, True):
        found = einjit.einsum(subscripts, *operands, optimize=optimize)
        assert type(found) is type(expected)
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "arguments",
    [
        (",ij", 3, [[1, 2], [3, 4]]),
        ("i,->", [1, 2], 3.0),
        ("i,i", [True, False], (1, 2)),
        ("", 5),
        ("->", 2.5),
        (",", np.float32(2), 3),
        (",,", 1, 2j, np.int8(3)),
        ("i->", range(4)),
        ("ij->j", [[1.0, 2], [3, 4]]),
        ("i,i->i", np.float16([1, 2]), [3, 4]),
        (3, [...], [[1, 2]], [...]),
        ([1, 2], [0], [[3], [4]], [0, 1], [1]),
        ("i", [1, 2]),
        ("ij->ji", ((1, 2), (3, 4))),
        ("i->", []),
    ],
)
def test_scalars_and_array_likes(arguments):
    try:
        expected = np.einsum(*arguments)
    except TypeError:
        with pytest.raises(TypeError):
            einjit.einsum(*arguments)
        return
    for _ in range(2):
        found = einjit.einsum(*arguments)
        assert type(found) is type(expected)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


# --- views


@pytest.mark.parametrize("layout", ["C", "F", "tangled", "broadcast", "subclass"])
@pytest.mark.parametrize(
    ("subscripts", "shape"),
    [
        ("ij", (2, 3)),
        ("ij->ji", (2, 3)),
        ("ji", (2, 3)),
        ("ii->i", (3, 3)),
        ("iij->ji", (3, 3, 2)),
        ("iijj->ij", (2, 2, 3, 3)),
        ("...", (2, 3)),
        ("i...->...i", (2, 3, 4)),
        ("i", (0,)),
        ("", ()),
    ],
)
def test_a_view_where_nothing_is_summed(subscripts, shape, layout):
    operand = lay_out(np.arange(math.prod(shape), dtype="f4").reshape(shape), layout, 3)
    for writeable in (True, False) if operand.flags.writeable else (False,):
        operand.flags.writeable = writeable
        expected = np.einsum(subscripts, operand)
        for _ in range(2):  # the first time, and when it is known
            view = einjit.einsum(subscripts, operand)
            assert type(view) is type(expected)
            if shape != ():
                assert view.flags.writeable == writeable
                assert view.strides == expected.strides or not operand.size
                assert view.ctypes.data == expected.ctypes.data
                assert np.shares_memory(view, operand) == bool(operand.size)
            np.testing.assert_array_equal(view, expected)


def test_writing_to_a_view_writes_to_the_operand():
    a = np.zeros((3, 3))
    for _ in range(2):
        einjit.einsum("ii->i", a)[:] += 1
    np.testing.assert_array_equal(a, 2 * np.eye(3))


def test_a_view_keeps_its_operand_alive():
    view = einjit.einsum("ij->ji", np.arange(6.0).reshape(2, 3))
    assert sys.getrefcount(view.base) >= 2
    np.testing.assert_array_equal(view, [[0, 3], [1, 4], [2, 5]])


def test_a_thousand_calls_leak_no_reference():
    a, b = np.ones((2, 3)), np.ones((3, 2))
    subscripts = " ij,jk->ik"
    float64 = np.dtype("f8")
    equations = [(subscripts, a, b), ("ij->ji", a), ("ij->", a), ("->", a[0, 0])]
    for call in equations:
        einjit.einsum(*call)
    watched = (a, b, subscripts, float64, np.ndarray)
    before = list(map(sys.getrefcount, watched))
    for call in equations:
        for _ in range(1000):
            result = einjit.einsum(*call)
    del result
    after = list(map(sys.getrefcount, watched))
    assert all(abs(one - two) < 100 for one, two in zip(before, after, strict=True)), (
        before,
        after,
    )


def test_a_result_too_large_for_memory_is_a_memory_error():
    row = np.broadcast_to(1.0, 1 << 28)
    for _ in range(2):
        with pytest.raises(MemoryError):
            einjit.einsum("i,j->ij", row, row)


@pytest.mark.parametrize("dtype", ["float32", "complex128", "int8"])
@pytest.mark.parametrize("ahead", [0, 1, 37])
@pytest.mark.parametrize("subscripts", ["i,j->ij", "ij,i,j->ij", "ij,,ij->ij", "hij,hi->hij"])
def test_products_that_no_cache_holds(subscripts, ahead, dtype):
    """Written past the caches, to memory that begins anywhere in a line."""
    extents = {"h": 5, "i": 33, "j": 131}
    shapes = [[extents[c] for c in term] for term in subscripts.partition("->")[0].split(",")]
    rng = np.random.default_rng(8)
    operands = [rng.integers(-4, 5, shape).astype(dtype) for shape in shapes]
    if np.dtype(dtype).kind == "c":
        operands = [(x + 1j * rng.integers(-4, 5, x.shape)).astype(dtype) for x in operands]
    expected = np.einsum(subscripts, *operands)
    memory, out = memory_for(expected, ahead)
    with blocked_for(last_cache=1 << 10):
        plan = einjit.explain(subscripts, *operands, optimize=False).plan
        assert [step.lowered.name for step in plan.steps] == ["streamed"]
        for signs in ([1] * len(operands), [-1] + [1] * (len(operands) - 1)):
            signed = [x * x.dtype.type(sign) for x, sign in zip(operands, signs, strict=True)]
            expected = np.einsum(subscripts, *signed)
            found = einjit.einsum(subscripts, *signed, out=out, optimize=False)
            np.testing.assert_array_equal(found, expected)
            np.testing.assert_array_equal(np.signbit(found.real), np.signbit(expected.real))
    assert (memory[:ahead] == 99).all()
    assert memory[-1] == 99


def memory_for(result, ahead):
    """Memory of 99s, and room for a result in it, behind `ahead` elements or parts of complex ones:
    from 8 bytes on a complex number of 16 may begin."""
    memory = np.full(ahead + result.size * result.itemsize // result.real.itemsize + 1, 99)
    memory = memory.astype(result.real.dtype)
    return memory, memory[ahead:-1].view(result.dtype).reshape(result.shape)


@pytest.mark.parametrize("dtype", ["int8", "uint16", "float32", "float64", "complex128"])
@pytest.mark.parametrize("ahead", [0, 1, 3])
@pytest.mark.parametrize(
    ("subscripts", "shape", "ways"),
    [
        ("ij->ji", (128, 37), {"copy", "collected"}),
        ("ij->ji", (1088, 41), {"copy", "collected"}),
        ("kij->jki", (3, 64, 41), {"copy", "collected"}),
        ("kij->kji", (31, 8, 16), {"collected", "product"}),
        ("kij->kji", (31, 9, 7), {"collected", "product"}),
        ("kij->kji", (31, 9, 10), {"collected"}),
        ("kijl->ljik", (11, 9, 7, 13), {"collected"}),
        ("kijl->ilkj", (5, 9, 17, 21), {"collected"}),
        ("ij->ji", (1089, 41), {"collected"}),
        ("ij->ji", (5, 8193), {"collected", "product"}),
        ("ij->ji", (8193, 5), {"collected", "product"}),
        ("ij->ji", (11, 8193), {"collected"}),
        ("ij->ji", (8193, 11), {"collected"}),
        ("kij->kji", (2, 101, 1031), {"collected"}),
        ("ijk->jik", (71, 35, 3), {"collected"}),
        ("ijk->jik", (300, 47, 5), {"collected"}),
        ("ijk->jik", (7, 500, 7), {"collected"}),
        ("hijk->jhik", (5, 31, 9, 7), {"collected"}),
        ("ijk->jik", (7, 5, 128), {"streamed"}),
        ("ijk->jik", (7, 5, 150), {"streamed"}),
    ],
)
def test_copies_that_no_cache_holds(subscripts, shape, ways, ahead, dtype):
    """Written past the caches; what lies before and behind whole lines is as usual."""
    rng = np.random.default_rng(9)
    operand = rng.integers(-99, 99, shape).astype(dtype)
    for source in (operand, operand[::-1], np.asfortranarray(operand.T).T):
        expected = np.einsum(subscripts, source)
        memory, out = memory_for(expected, ahead)
        with blocked_for(last_cache=1 << 10):
            (step,) = plan_of(subscripts, source, out=Layout.of(out)).steps
            assert step.lowered.nest.kind in ways
            assert getattr(step.lowered.nest, "streams", True)
            assert einjit.einsum(subscripts, source, out=out) is out
        np.testing.assert_array_equal(out, expected)
        assert (memory[:ahead] == 99).all()
        assert memory[-1] == 99


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
@pytest.mark.parametrize(
    ("subscripts", "one", "two"),
    [
        ("bij,bjf->bif", (3, 101, 131), (3, 131, 3)),
        ("jf,ij->if", (131, 5), (201, 131)),
        ("ijk,jkf->fi", (301, 13, 11), (13, 11, 3)),
        ("ij,jj->ij", (301, 131), (131, 131)),
    ],
)
def test_a_few_columns_with_many_rows(dtype, subscripts, one, two):
    """The smaller operand is turned first; sums of small integers are exact."""
    rng = np.random.default_rng(7)
    operands = [rng.integers(-4, 5, shape).astype(dtype) for shape in (one, two)]
    expected = np.einsum(subscripts, *operands)
    np.testing.assert_array_equal(einjit.einsum(subscripts, *operands), expected)
    turned = [operand.T.copy().T for operand in operands]
    np.testing.assert_array_equal(einjit.einsum(subscripts, *turned), expected)
