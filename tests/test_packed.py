"""Packed contractions: the same bits as numpy's for every extent, layout and cut into boxes."""

from itertools import product
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packing import TINY, check, in_pages, integers, packed_of, packing_all, plan_of, poison
from strategies import MULTIPLIED, lay_out, random_product, random_short_loops
from targets import WIDE, blocked_for

import einjit
from einjit.plan import packing
from einjit.plan.packed import macrokernel
from einjit.plan.packing import TURNED_COLUMNS
from einjit.source.microkernel import PAIR_SUMS
from einjit.target import multiplies_and_adds_integers

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


def any_bits(shape, dtype, seed):
    size = np.dtype(dtype).itemsize * np.prod(shape)
    return np.frombuffer(np.random.default_rng(seed).bytes(size), dtype).reshape(shape)


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint32", "int64"])
@pytest.mark.parametrize("subscripts", TRANSPOSES)
def test_every_extent_by_pairs(subscripts, dtype):
    """The same, two terms at once: even and odd numbers of terms, and more columns than there are
    sums of pairs kept."""
    kernel = macrokernel(dtype)
    heights = (2, *around(kernel.rows // 2 + 1, kernel.rows), 3 * kernel.rows + 2)
    widths = around(kernel.lanes, 2 * kernel.lanes, 5 * kernel.lanes)
    depths = (2, 3, 8, 15, 40)

    def turned(m, n, k):
        sizes = {"i": m, "j": k, "k": n}
        shapes = [tuple(sizes[index] for index in term) for term in subscripts[:5].split(",")]
        one, two = (any_bits(shape, dtype, seed) for seed, shape in enumerate(shapes))
        expected = np.einsum(subscripts, one, two)
        check(subscripts, one, two, expected=expected)

    with packing_all(by_pairs=True):
        for m, n, k in product(heights, widths, depths):
            turned(m, n, k)
    with packing_all(caches=None, by_pairs=True):
        turned(kernel.rows + 3, PAIR_SUMS + 70, 33)


@pytest.mark.skipif(multiplies_and_adds_integers(), reason="one instruction does both")
def test_integers_go_by_pairs_where_the_sums_are_used_often():
    def terms(m, n, k, dtype):
        a, b = np.zeros((m, k), dtype), np.zeros((k, n), dtype)
        return packed_of("ij,jk->ik", a, b).macrokernel.terms

    with blocked_for(vector_bytes=64, vector_registers=32):
        assert terms(200, 200, 200, "int32") == terms(200, 200, 200, "uint64") == 2
        assert terms(20, 900, 200, "int32") == terms(200, 200, 20, "int32") == 1
        assert terms(200, 200, 200, "float32") == 1
    with blocked_for(vector_bytes=32, vector_registers=16):
        assert terms(200, 200, 200, "int64") == 2
        assert terms(200, 200, 200, "int32") == 1


@pytest.mark.parametrize("low", [True, False])
def test_low_tiles_have_their_operands_packed(low):
    """Columns of A in strips, unless B is narrow, and rows of B however near they are."""
    facts = {"vector_bytes": 32, "vector_registers": 16} if low else WIDE
    a, b = integers((256, 256), "float32", 1), integers((256, 256), "float32", 2)
    narrow = np.ascontiguousarray(b[:, :TURNED_COLUMNS])
    with blocked_for(**facts):
        nest = packed_of("ji,jk->ik", a, b)
        assert (nest.strips, nest.pack_b) == (low, low)
        assert packed_of("ji,jk->ik", a[:, :250], b).strips == low
        assert not packed_of("ji,jk->ik", a[:, :250], narrow).strips
        check("ji,jk->ik", a, b, expected=a.T @ b)
        check("ij,jk->ik", a, b, expected=a @ b)
        check("ji,jk->ik", a, narrow, expected=a.T @ narrow)
        check("ji,jk->ik", a[:, :250], narrow, expected=a[:, :250].T @ narrow)


@pytest.mark.parametrize("dtype", MULTIPLIED)
@pytest.mark.parametrize(
    "subscripts",
    [
        *("ji,jk->ik", "jai,jk->aik", "aji,jk->aik", "jli,jlk->ik", "bji,bjk->bik"),
        *("jai,jkc->akic", "jai,jkc->acik", "ajli,jlk->aik"),
    ],
)
def test_columns_in_strips(subscripts, dtype, monkeypatch):
    """Of every height, of one loop of M or several, of several loops of K, with room behind."""
    monkeypatch.setattr(packing, "TURNED_COLUMNS", 4)
    facts, strips = {"vector_bytes": 32, "vector_registers": 16}, set()
    for i, k, j in product((5, 6, 7, 13, 29, 40), (13, 40), (9, 33)):
        sizes = {"i": i, "k": k, "j": j, "a": 3, "b": 2, "c": 5, "l": 2}
        terms = subscripts[: subscripts.index("-")].split(",")
        one, two = (
            integers([sizes[index] for index in term], dtype, seed)
            for seed, term in enumerate(terms)
        )
        for caches in (TINY, None):
            with packing_all(caches=caches, **facts):
                check(subscripts, one, two, expected=np.einsum(subscripts, one, two))
                strips |= {packed_of(subscripts, one, two).strips}
    assert True in strips or np.dtype(dtype).itemsize == 1  # rows of C that fill no vector


def test_low_tiles_have_few_rows_in_pages_of_their_own_packed():
    """More than a set of the L1 cache has room for, if they are used often."""
    a, b = integers((40, 30), "float64", 1), integers((30, 512), "float64", 2)
    with blocked_for(caches=(32 << 10, 1 << 20), vector_bytes=32, vector_registers=16):
        for m, n, k, packed in (
            (40, 512, 30, True),
            (40, 504, 30, False),
            (40, 512, 8, False),
            (8, 512, 30, False),
        ):
            one, two = a[:m, :k].copy(), b[:k, :n].copy()
            assert packed_of("ij,jk->ik", one, two).pack_b == packed
            check("ij,jk->ik", one, two, expected=one @ two)


@pytest.mark.parametrize("dtype", MULTIPLIED)
def test_rows_in_pages_of_their_own(dtype):
    """Copied strip by strip, vectors and what is left of a row; the next one is asked for."""
    kernel = macrokernel(dtype)
    rows, lanes = kernel.rows, kernel.lanes
    a, b = integers((5 * rows + 2, 300), dtype, 1), integers((300, 7 * lanes + 1), dtype)
    for m, n, k in product(
        (rows, 2 * rows + 1, 5 * rows + 2), (2 * lanes, 7 * lanes + 1), (lanes - 1, 64, 261, 300)
    ):
        one, two = a[:m, :k], b[:k, :n]
        with packing_all(caches=None):
            check("ij,jk->ik", in_pages(one), two, expected=one @ two)


@pytest.mark.parametrize("dtype", MULTIPLIED)
def test_rows_in_pages_of_their_own_are_packed_once_for_several_boxes_of_n(dtype):
    """One box of M or more, one block of K or more, and a last box of N of any width."""
    kernel = macrokernel(dtype)
    rows, wide = kernel.rows, kernel.wide
    a, b = integers((5 * rows + 2, 70), dtype, 1), integers((70, 7 * wide + 1), dtype)
    with packing_all():
        assert packed_of("ij,jk->ik", in_pages(a), b).kept
        for m, n, k in product(
            (2, rows + 1, 5 * rows + 2), (5 * wide, 6 * wide - 1, 7 * wide + 1), (17, 64, 70)
        ):
            one, two = a[:m, :k], b[:k, :n]
            check("ij,jk->ik", in_pages(one), two, expected=one @ two)
            stacked = np.stack([one, one[::-1]])
            pages = np.stack([in_pages(one), in_pages(one[::-1])])
            check("hij,jk->hik", pages, two, expected=stacked @ two)


@pytest.mark.parametrize("dtype", MULTIPLIED)
def test_short_rows_are_packed_once_for_many_boxes_of_n(dtype):
    """Two loops of K, each of unit stride in another operand."""
    rows = macrokernel(dtype).rows
    a, b = integers((3 * rows + 1, 20, 18), dtype, 1), integers((801, 18, 20), dtype)
    with packing_all():
        assert packed_of("iab,jba->ij", a, b).kept
        assert not packed_of("iab,jba->ij", a, b[:99]).kept
        for m, n, k in product((rows - 1, 3 * rows + 1), (768, 801), (17, 20)):
            one, two = a[:m, :k, :17], b[:n, :17, :k]
            expected = one.reshape(m, -1) @ two.swapaxes(1, 2).reshape(n, -1).T
            check("iab,jba->ij", one, two, expected=expected)


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
        assert 1 < sizes["per_tile"] <= boxes["a"]
        for m, n, k in product(heights, widths, (8, 17, 24)):
            one, two = a[:m, :k], b[:k, :n]
            expected = one @ two
            for subscripts, x, y in zip(
                TRANSPOSES, (one, one.T, one, one.T), (two, two, two.T, two.T), strict=True
            ):
                check(subscripts, x, y, expected=expected, order="C")
                check(subscripts, x.copy(), y.copy(), expected=expected, order="F")


@pytest.mark.parametrize("dtype", ["float64", "complex64", "int64"])
def test_results_past_the_caches(dtype):
    """Written from registers or by way of boxes, copied or transposed there, to memory that begins
    anywhere in a line, its rows whole lines or not."""
    line = 64 // np.dtype(dtype).itemsize
    a, b = integers((3, 30, 4), dtype, 1), integers((3, 4, 4 * line), dtype, 2)
    forms = ("hij,hjk->hik", "hij,hjk->hki", "hij,gjk->higk")
    calls = [
        (form, a[:, :m], b[..., :n])
        for form, m, n in product(forms, (5, 30), (line - 1, 2 * line, 4 * line))
    ]
    for n in (line, line + 3):
        side = integers((6, 9, n), dtype, 3), integers((9, 8, n), dtype, 4)
        calls.append(("ijc,jkc->ikc", *side))
    with packing_all(last_cache=64):
        seen = set()
        for call in calls:
            nest = packed_of(*call, order="C")
            seen.add((nest.direct, nest.past))
            expected = check(*call, order="C")
            for first in (0, 1, line):
                room = np.zeros(expected.size + first + line, dtype)
                out = room[first : first + expected.size].reshape(expected.shape)
                assert einjit.einsum(*call, out=out) is out
                np.testing.assert_array_equal(out, expected)
                out[...] = 0
                assert not room.any()
        assert seen >= {(True, True), (True, False), (False, True)}


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
@pytest.mark.parametrize(
    "numbers", list(product(range(len(GROUPS)), range(5), range(len(MULTIPLIED))))
)
def test_groups_of_indices_in_every_layout(numbers):
    check_groups(*numbers)


def check_groups(group, number, type_number):
    subscripts, *shapes = GROUPS[group]
    layout, dtype = IN_MEMORY[number % 5], MULTIPLIED[type_number % len(MULTIPLIED)]
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


# --- more loops than are nested


@pytest.mark.parametrize("dtype", MULTIPLIED)
def test_many_short_loops(dtype):
    """In boxes of every kind, some whole and some cut."""
    rng, found = Random(MULTIPLIED.index(dtype)), []
    for number in range(6):
        case = random_short_loops(rng, (dtype,))
        operands = case.operands(3)
        expected = np.einsum(case.subscripts, *operands, optimize=False)
        caches = (None, TINY, (TINY[0] * 4, TINY[1] * 2))[number % 3]
        with packing_all(caches=caches):
            found += [step.lowered.nest for step in plan_of(case.subscripts, *operands).steps]
            check(case.subscripts, *operands, expected=expected, order="KCF"[number % 3])
    packed = [nest for nest in found if nest.kind == "packed"]
    assert len(packed) >= 3


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
