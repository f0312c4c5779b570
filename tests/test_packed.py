"""Packed contractions: the same bits as numpy's for every extent, layout and cut into boxes."""

import string
from contextlib import contextmanager
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import MULTIPLIED, lay_out, random_product
from targets import blocked_for
from test_einsum import mask, special_operands, unfusable

import einjit
from einjit.equation.operands import Layout, as_plain
from einjit.equation.parser import parse
from einjit.kernel.arena import arena
from einjit.kernel.build import FASTMATH
from einjit.kernel.compile import compile_nest
from einjit.plan import lowering
from einjit.plan.blocking import block, macrokernel
from einjit.plan.indices import Loops
from einjit.plan.plan import make_plan
from einjit.source.module import write_source
from einjit.target import vector_bytes

TINY = (32 * vector_bytes(), 128 * vector_bytes())
"""Caches for boxes of 8 along K, 8 vectors along N and 2 along M."""

POISON = 1 << 16
"""Bytes of scratch memory that are made NaN before a call: more than such boxes need."""


@contextmanager
def packing_all(caches=TINY, **facts):
    """Small caches, and products packed however small they are."""
    low = {"SHORTEST_SIDE": 2, "SHORTEST_SUM": 2, "SMALL_PRODUCT": 1}
    with pytest.MonkeyPatch.context() as patch, blocked_for(caches=caches, **facts):
        for name, limit in low.items():
            patch.setattr(lowering, name, limit)
        yield


def poison(n=POISON):
    """Make every slot of scratch memory NaN, or -1, from its lock's cache line on."""
    slots = np.frombuffer(arena()._memory, np.uint8).reshape(arena().words[0], -1)
    slots[:, 64 : 64 + n] = 255


def plan_of(subscripts, *operands, **options):
    operands = list(map(as_plain, operands))
    equation = parse(subscripts, [operand.ndim for operand in operands])
    layouts = list(map(Layout.of, operands))
    return make_plan(equation, layouts, np.result_type(*operands).name, **options)


def packed_of(subscripts, *operands, **options):
    """The structure of a packed contraction."""
    (step,) = plan_of(subscripts, *operands, **options).steps
    assert step.lowered.name == "packed"
    return step.lowered.nest


def integers(shape, dtype, seed=0):
    low = 0 if np.dtype(dtype).kind == "u" else -9
    return np.random.default_rng(seed).integers(low, 10, shape).astype(dtype)


def real(shape, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def check(subscripts, *operands, expected=None, **options):
    """The bits are numpy's, cold and warm; no sum of zeros is -0.0."""
    if expected is None:
        expected = np.einsum(subscripts, *operands)
    for _ in range(2):
        poison()
        found = einjit.einsum(subscripts, *operands, **options)
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        assert found.tobytes() == (expected + expected.dtype.type(0)).tobytes()
    return found


# --- every extent

TRANSPOSES = ("ij,jk->ik", "ji,jk->ik", "ij,kj->ik", "ji,kj->ik")


def around(*places):
    """From 2 on, each place and those beside it."""
    return sorted({n + step for n in places for step in (-1, 0, 1) if n + step > 1} | {2})


@pytest.mark.parametrize("dtype", MULTIPLIED)
def test_every_extent_around_tiles_and_boxes(dtype):
    """Rows from 1 to several tiles, lanes from 1 to several vectors, one block of K or more."""
    kernel = macrokernel(dtype)
    heights = around(3, kernel.rows, 2 * kernel.rows)
    widths = around(kernel.lanes, 2 * kernel.lanes, 3 * kernel.lanes, 4 * kernel.lanes)
    depths = around(4, 8, 16)
    a, b = integers((heights[-1], depths[-1]), dtype, 1), integers((depths[-1], widths[-1]), dtype)
    with packing_all():
        for m, n, k in product(heights, widths, depths):
            one, two = a[:m, :k], b[:k, :n]
            check("ij,jk->ik", one, two, expected=one @ two)


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_every_extent_around_the_borders_of_boxes(dtype):
    """Several boxes of M, of N and of K, with and without remainders, in all four transposes."""
    lanes = macrokernel(dtype).lanes
    a, b = integers((6 * lanes, 25), dtype, 1), integers((25, 25 * lanes), dtype)
    heights, widths = around(2 * lanes, 5 * lanes), around(8 * lanes, 16 * lanes, 24 * lanes)
    with packing_all(cores=1):
        (step,) = plan_of("ij,jk->ik", a, b).steps
        sizes = dict(zip(step.lowered.nest.sizes(), step.lowered.sizes, strict=True))
        boxes = {i: -(-sizes[f"n_{i}"] // sizes[f"box_{i}"]) for i in "abc"}  # M, N, K
        assert min(boxes.values()) >= 3
        assert 1 < sizes["per_tile"] < boxes["a"]
        for m, n, k in product(heights, widths, (8, 17, 24)):
            one, two = a[:m, :k], b[:k, :n]
            expected = one @ two
            for subscripts, x, y in zip(
                TRANSPOSES, (one, one.T, one, one.T), (two, two, two.T, two.T), strict=True
            ):
                check(subscripts, x, y, expected=expected, order="C")
                check(subscripts, x.copy(), y.copy(), expected=expected, order="F")


def test_extents_of_1_vanish():
    with packing_all():
        for shape in product((1, 9), repeat=4):
            a, b = integers(shape, "f8"), integers((shape[3], shape[0], 11), "f8", 1)
            check("hijk,khl->lijh", a, b)


# --- several indices in a group, in any layout

GROUPS = (
    ("ij,jk->ik", (19, 21), (21, 37)),
    ("abij,ijcd->abcd", (5, 4, 3, 7), (3, 7, 5, 9)),  # fused to one index a group
    ("iajb,cjdi->abcd", (5, 7, 4, 6), (8, 4, 5, 5)),
    ("aibj,djci->dbca", (5, 6, 4, 7), (6, 7, 5, 6)),
    ("hiajb,chjdi->ahcbd", (3, 5, 4, 4, 3), (5, 3, 4, 6, 5)),
    ("iah,ibh->hab", (17, 9, 4), (17, 20, 4)),
    ("iah,ibh->abh", (17, 9, 4), (17, 20, 4)),  # the batch has unit stride
    ("agbic,idjg->abdcj", (3, 2, 4, 11, 2), (11, 3, 5, 2)),
    ("aibjck,kdjeif->fdbeca", (3, 4, 2, 3, 3, 5), (5, 3, 3, 2, 4, 5)),
)
OUTPUTS = ("C", "F", "tangled", "negative", "stepped")
IN_MEMORY = ("C", "F", "tangled", "stepped", "negative")


@pytest.mark.parametrize("number", range(2 * len(GROUPS)))
def test_groups_of_indices_in_any_layout(number):
    """Also into an output of any strides, with the operands swapped, and in Fortran's order."""
    check_groups(number % len(GROUPS), number, number)


@pytest.mark.campaign
@pytest.mark.parametrize("numbers", list(product(range(len(GROUPS)), range(5), range(6))))
def test_groups_of_indices_in_every_layout(numbers):
    check_groups(*numbers)


def check_groups(group, number, type_number):
    subscripts, *shapes = GROUPS[group]
    layout, dtype = IN_MEMORY[number % 5], MULTIPLIED[type_number % 6]
    operands = [lay_out(integers(s, dtype, n), layout, n) for n, s in enumerate(shapes)]
    expected = np.einsum(subscripts, *operands)
    inputs, output = subscripts.split("->")
    swapped = ",".join(inputs.split(",")[::-1]) + "->" + output
    with packing_all():
        packed_of(subscripts, *operands)
        check(subscripts, *operands, expected=expected)
        check(swapped, *operands[::-1], expected=expected)
        check(subscripts, *operands, expected=expected, order="F")
        out = lay_out(np.zeros(expected.shape, dtype), OUTPUTS[number % len(OUTPUTS)], number)
        whole = out
        while whole.base is not None:
            whole = whole.base
        before = whole.copy()
        for _ in range(2):
            out[...] = 101
            poison()
            assert einjit.einsum(subscripts, *operands, out=out) is out
            np.testing.assert_array_equal(out, expected)
        out[...] = 0
        np.testing.assert_array_equal(whole, before)  # nothing beside it is written


@pytest.mark.parametrize("dtype", ["float64", "uint32"])
@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("iij,jk->ik", [(9, 9, 20), (20, 30)]),
        ("ijj,jkk->ik", [(9, 20, 20), (20, 30, 30)]),
        ("iji,kjk->ikj", [(9, 5, 9), (30, 5, 30)]),
        ("ijl,jk->ik", [(9, 20, 4), (20, 30)]),  # one operand alone has an index that is summed
        ("ij,ljkm->ki", [(9, 20), (3, 20, 30, 2)]),
        ("ilj,jkm->ik", [(9, 4, 20), (20, 30, 3)]),
    ],
)
def test_indices_twice_in_an_operand_or_in_one_alone(dtype, subscripts, shapes):
    operands = [integers(shape, dtype, n) for n, shape in enumerate(shapes)]
    with packing_all():
        check(subscripts, *operands)
        check(subscripts, *operands, optimize=False)


@pytest.mark.parametrize(
    ("subscripts", "one", "two"),
    [
        ("ij,jk->ik", (0, None), None),  # a row for all of M
        ("ij,jk->ik", (slice(None), 0), None),
        ("ij,jk->ik", None, (0, None)),
        ("ij,jk->ik", None, (slice(None), 0)),
        ("ij,jk->ik", (0, 0), None),
        ("ij,jk->ik", (slice(None), 0), (0, None)),
    ],
)
def test_broadcast_operands(subscripts, one, two):
    a, b = integers((19, 21), "f4"), integers((21, 37), "f4", 1)

    def spread(array, places):
        if places is None:
            return array
        keep = [place in (None, slice(None)) for place in places]
        cut = tuple(slice(None) if kept else slice(1) for kept in keep)
        return np.broadcast_to(array[cut].copy(), array.shape)

    with packing_all():
        check(subscripts, spread(a, one), spread(b, two))


@pytest.mark.parametrize(
    "subscripts", ["hij,hjk->hik", "hij,hjk->ikh", "hij,jk->ihk", "ij,hjk->ihk"]
)
def test_an_index_that_both_operands_are_broadcast_along(subscripts):
    """The result has it, and no operand varies along it."""
    shapes = {"i": 19, "j": 21, "k": 37, "h": 5}
    operands = []
    for term in subscripts.split("->")[0].split(","):
        shape = [shapes[i] for i in term]
        once = integers([1 if i == "h" else shapes[i] for i in term], "f8", len(operands))
        operands.append(np.broadcast_to(once, shape))
    check(subscripts, *operands)
    with packing_all():
        check(subscripts, *operands)


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_both_operands_may_be_one_array(dtype):
    a = integers((23, 23), dtype)
    with packing_all():
        for subscripts in ("ij,kj->ik", "ji,jk->ik", "ij,jk->ik", "ij,jk->ki"):
            check(subscripts, a, a)
            check(subscripts, a, a[::-1])
            check(subscripts, a, a.T)


def test_an_output_may_overlap_the_operands():
    with packing_all():
        for subscripts in ("ij,jk->ik", "ji,jk->ki"):
            a, b = integers((23, 23), "f8"), integers((23, 23), "f8", 1)
            expected = np.einsum(subscripts, a, b)
            assert einjit.einsum(subscripts, a, b, out=a) is a
            np.testing.assert_array_equal(a, expected)


def test_integers_wrap_in_their_own_width():
    for dtype in ("int32", "int64", "uint32", "uint64"):
        info = np.iinfo(dtype)
        rng = np.random.default_rng(4)
        a, b = (rng.integers(info.min, info.max, s, dtype, True) for s in ((30, 40), (40, 50)))
        assert packed_of("ij,jk->ik", a, b)
        check("ij,jk->ik", a, b)


# --- random equations


def check_random(case, caches, order):
    with packing_all(caches):
        operands = case.operands(3)
        expected = np.einsum(case.subscripts, *operands, optimize=False)
        check(case.subscripts, *operands, expected=expected, order=order)


PRODUCTS = st.randoms(use_true_random=False).map(lambda rng: random_product(rng, 20_000))
CACHES = st.sampled_from([TINY, (TINY[0] // 2, TINY[1]), (TINY[0] * 4, TINY[1] * 2)])


@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(PRODUCTS, CACHES, st.sampled_from("KCF"))
def test_random_products(case, caches, order):
    check_random(case, caches, order)


@pytest.mark.campaign
@settings(max_examples=1500, deadline=None, database=None)
@given(PRODUCTS, CACHES, st.sampled_from("KCF"))
def test_random_products_at_length(case, caches, order):
    check_random(case, caches, order)


# --- values that are not exact


@pytest.mark.parametrize("dtype", ["float32", "float64"])
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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
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
                assert packed_of("ij,jk->ik", a, b)
                found = einjit.einsum("ij,jk->ik", a, b)
                expected = reference.einsum("ij,jk->ik", a, b)
                assert (abs(found - expected) <= reference.error_bound("ij,jk->ik", a, b)).all(), k


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
    for l2, cores in product((1 << 16, 1 << 18, 1 << 21), (1, 2, 16)):
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
    """Loops that cannot be fused: packed as deep as Python nests, else a nest."""
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
    assert names == {"packed", "nest"}


def test_python_nests_every_packed_contraction():
    """However its loops are shared out among M, N and K."""
    most = lowering.MOST_LOOPS
    for m, n in product(range(1, most - 1), repeat=2):
        if (k := most - m - n) > 0:
            loops = Loops(
                tuple((i,) for i in range(most)),
                (3,) * most,
                tuple(
                    tuple(7**i if i in group else 0 for i in range(most))
                    for group in (
                        {*range(m), *range(m + n, most)},
                        {*range(m, most)},
                        {*range(m + n)},
                    )
                ),
            )
            for direct in (True, False):
                packed = replace(block(loops, "float64").packed, direct=direct)
                assert packed.k == k
                compile(write_source(packed).text, "packed", "exec")


# --- what is compiled


def test_kernels_need_nothing_of_the_process():
    """Else a process would import numba to load them."""
    packed = packed_of("iajb,cjdi->abcd", np.ones((5, 7, 4, 6)), np.ones((8, 4, 5, 5)))
    for structure in (packed, *packed.needs):
        assert compile_nest(write_source(structure), FASTMATH).needs == ()


def test_shapes_share_kernels():
    plans = [plan_of("ij,jk->ik", np.ones((n, 500)), np.ones((500, n + 1))) for n in (90, 95)]
    one, two = (plan.steps[0].lowered for plan in plans)
    assert one.nest == two.nest
    assert one.sizes != two.sizes
