"""Plans: their print, the loops of a step, the table of lowerings, paths, conversions, counts."""

import math
from collections import Counter
from itertools import permutations, product
from random import Random
from textwrap import dedent

import numpy as np
import pytest
from strategies import random_case
from targets import blocked_for

import einjit
from einjit.equation.operands import Layout, as_plain, packed
from einjit.equation.parser import parse
from einjit.kernel.layout import MOST_POINTERS
from einjit.plan.batched import LONG_BATCH
from einjit.plan.blocking import SHORT_SUM
from einjit.plan.collected import Collected
from einjit.plan.columns import ROWS, ROWS_OF_BATCH, VECTORS_OF_BATCH
from einjit.plan.dots import FEW, FEW_COMPLEX, FEW_WIDE, FEWEST_TILES, TURNED
from einjit.plan.indices import Loops, arrange, inner_cost, simplify
from einjit.plan.lowering import (
    LONG_SUM,
    LOWERINGS,
    SHORTEST_OF_MANY,
    SHORTEST_SIDE,
    SHORTEST_SUM,
    SMALL_PRODUCT,
    SPANS,
)
from einjit.plan.nest import STRIPS, strip_length
from einjit.plan.nesting import FEW_TERMS, FEW_TILES, SHORT_STRIP, TILES, TINY
from einjit.plan.packing import WAYS
from einjit.plan.path import MOST_TOGETHER, STEP
from einjit.plan.plan import CAST_FIRST, EARLY, make_plan
from einjit.plan.streamed import ROW_VECTORS
from einjit.plan.tiled import LANES, TILE, TILE_OF_SUMS
from einjit.plan.tiling import side_of_blocks, tile, tile_of_sums
from einjit.plan.unrolled import REAL_ROW
from einjit.target import caches, last_cache, vector_bytes, vector_registers

LENGTH = strip_length("float64")
FEWEST = STRIPS * SHORT_STRIP // 8
"""Columns of float64 whose strips are tiles however few rows there are."""


def plan_of(subscripts, *shapes, dtypes=None, dtype="float64", layouts="", **options):
    """The plan for operands in C order, or as `layouts` has it, a letter an operand."""
    layouts = layouts or "C" * len(shapes)
    operands = [
        Layout(shape, packed(shape, range(len(shape))[:: 1 if order == "C" else -1]), own)
        for shape, order, own in zip(shapes, layouts, dtypes or [dtype] * len(shapes), strict=True)
    ]
    return make_plan(parse(subscripts, list(map(len, shapes))), operands, dtype, **options)


def steps_of(*args, **options):
    return [str(step) for step in plan_of(*args, **options).steps]


def only(plan):
    (step,) = plan.steps
    return step.lowered


# --- the print


PACKED = """\
packed: each element is used often: boxes packed for the cache, sums in register tiles"""

PRINTS = {
    "product of matrices": (
        plan_of("ij,jk", (100, 200), (200, 50)),
        """\
        ab,bc->ac
        path: one or two operands: one contraction
          a = 100: free, in A
          b = 200: contracted, in A, B
          c = 50: free, in B
        A, B -> result: ab,bc->ac | PACKED
        2,000,000 FLOPs, 280,000 bytes""",
    ),
    "product of small matrices": (
        plan_of("ij,jk", (10, 8), (8, 5)),
        """\
        ab,bc->ac
        path: one or two operands: one contraction
          a = 10: free, in A
          b = 8: contracted, in A, B
          c = 5: free, in B
        A, B -> result: ab,bc->ac | nest: loops ordered by stride
        800 FLOPs, 1,360 bytes""",
    ),
    "view": (
        plan_of("ji", (3, 2)),
        """\
        ab->ba
        path: one or two operands: one contraction
          a = 3: free, in A
          b = 2: free, in A
        A -> result: ab->ba | view: one operand, nothing summed: strides only
        0 FLOPs, 0 bytes""",
    ),
    "diagonal": (
        plan_of("kk->k", (4, 4), dtype="complex64", order="F"),
        """\
        aa->a
        path: one or two operands: one contraction
          a = 4: free, in A, a diagonal
        A -> result: aa->a | copy: one operand, nothing summed, into other memory
        0 FLOPs, 160 bytes""",
    ),
    "empty": (
        plan_of("ij,jk->ik", (2, 0), (0, 3), dtype="int8"),
        """\
        ab,bc->ac
        path: one or two operands: one contraction
          a = 2: free, in A
          b = 0: contracted, in A, B
          c = 3: free, in B
        A, B -> result: ab,bc->ac | empty: an extent is 0: zeros
        0 FLOPs, 6 bytes""",
    ),
    "long sum": (
        plan_of("ij->", (2000, 3000)),
        """\
        ab->
        path: one or two operands: one contraction
          a = 2000: summed, in A alone
          b = 3000: summed, in A alone
        A -> t0: ab-> | split: a long sum, few results: summed in fixed spans
        t0 -> result: (spans)-> | nest: adds what the spans gave
        6,000,064 FLOPs, 48,000,008 bytes""",
    ),
    "long sum into few": (
        plan_of("ij->j", (1 << 16, 8)),
        """\
        ab->b
        path: one or two operands: one contraction
          a = 65536: summed, in A alone
          b = 8: free, in A
        A -> t0: ab->b | columns: few columns: rows that follow each other, a vector at a time
        t0 -> result: (spans)b->b | nest: adds what the spans gave
        524,800 FLOPs, 4,194,368 bytes""",
    ),
    "batch": (
        plan_of("...ij,...jk->...ik", (4, 5, 6), (4, 6, 7)),
        """\
        abc,acd->abd
        path: one or two operands: one contraction
          a = 4: batch
          b = 5: free, in A
          c = 6: contracted, in A, B
          d = 7: free, in B
        A, B -> result: abc,acd->abd | nest: loops ordered by stride
        1,680 FLOPs, 3,424 bytes""",
    ),
    "three operands in pairs": (
        plan_of("ij,jk,kl->il", (30, 40), (40, 50), (50, 60)),
        """\
        ab,bc,cd->ad
        path: opt_einsum's order: fewer FLOPs than one pass
          a = 30: free, in A
          b = 40: contracted, in A, B
          c = 50: contracted, in B, C
          d = 60: free, in C
        A, B -> t0: ab,bc->ac | PACKED
        C, t0 -> result: cd,ac->ad | PACKED
        300,000 FLOPs, 64,000 bytes""",
    ),
    "three operands in one pass": (
        plan_of("ij,jk,kl->il", (3, 4), (4, 5), (5, 6)),
        """\
        ab,bc,cd->ad
        path: small: one pass costs less than the intermediates
          a = 3: free, in A
          b = 4: contracted, in A, B
          c = 5: contracted, in B, C
          d = 6: free, in C
        A, B, C -> result: ab,bc,cd->ad | nest: loops ordered by stride
        1,080 FLOPs, 640 bytes""",
    ),
    "summed early": (
        plan_of("ij,jk->i", (100, 20), (20, 5000)),
        """\
        ab,bc->a
        path: one or two operands: one contraction
          a = 100: free, in A
          b = 20: contracted, in A, B
          c = 5000: summed, in B alone
        B -> t0: bc->b | nest: loops ordered by stride
        A, t0 -> result: ab,b->a | nest: loops ordered by stride
        104,000 FLOPs, 816,800 bytes""",
    ),
    "scalar": (
        plan_of(",ij->ji", (), (2, 3)),
        """\
        ,ab->ba
        path: one or two operands: one contraction
          a = 2: free, in B
          b = 3: free, in B
        A, B -> result: ,ab->ba | nest: loops ordered by stride
        6 FLOPs, 104 bytes""",
    ),
    "no index": (
        plan_of(",,->", (), (), (), dtype="bool"),
        """\
        ,,->
        path: small: one pass costs less than the intermediates
        A, B, C -> result: ,,-> | nest: loops ordered by stride
        2 FLOPs, 4 bytes""",
    ),
}


@pytest.mark.parametrize("name", PRINTS)
def test_print(name):
    plan, text = PRINTS[name]
    assert str(plan) == dedent(text).replace("PACKED", PACKED)


# --- loops: fusing and nesting


def loops_of(extents, *strides):
    return Loops(tuple((i,) for i in range(len(extents))), tuple(extents), tuple(strides))


def visited(loops):
    """How often each combination of places, one an operand, is visited."""
    steps = product(*map(range, loops.extents))
    return Counter(
        tuple(sum(map(int.__mul__, row, step)) for row in loops.strides) for step in steps
    )


@pytest.mark.parametrize(
    ("loops", "indices", "extents", "strides"),
    [
        (loops_of((2, 3), (3, 1), (3, 1)), ((0, 1),), (6,), ((1,), (1,))),
        (loops_of((2, 3), (1, 2), (1, 2)), ((1, 0),), (6,), ((1,), (1,))),
        (loops_of((2, 3, 4), (12, 4, 1), (24, 8, 2)), ((0, 1, 2),), (24,), ((1,), (2,))),
        (loops_of((2, 3, 4), (12, 1, 3), (12, 1, 3)), ((0, 2, 1),), (24,), ((1,), (1,))),
        (loops_of((2, 3), (-3, -1), (3, 1)), ((0, 1),), (6,), ((-1,), (1,))),
        (loops_of((2, 3), (3, 1), (0, 0), (3, 1)), ((0, 1),), (6,), ((1,), (0,), (1,))),
        (loops_of((2, 3), (3, 1), (0, 0)), ((0, 1),), (6,), ((1,), (0,))),
        # Neighbours in one operand, not in the other; a sum and its neighbour; the wrong way round.
        (loops_of((2, 3), (3, 1), (1, 2)), ((0,), (1,)), (2, 3), ((3, 1), (1, 2))),
        (loops_of((2, 3), (3, 1), (0, 1)), ((0,), (1,)), (2, 3), ((3, 1), (0, 1))),
        (loops_of((2, 3), (3, 1), (1, 0)), ((0,), (1,)), (2, 3), ((3, 1), (1, 0))),
        (loops_of((2, 3), (3, -1), (3, 1)), ((0,), (1,)), (2, 3), ((3, -1), (3, 1))),
        (loops_of((2, 3), (4, 1), (3, 1)), ((0,), (1,)), (2, 3), ((4, 1), (3, 1))),
        # One iteration is no loop, and parts nobody.
        (loops_of((1, 3), (7, 1), (9, 1)), ((1,),), (3,), ((1,), (1,))),
        (loops_of((2, 1, 3), (3, 50, 1), (3, 0, 1)), ((0, 2),), (6,), ((1,), (1,))),
        (loops_of((1, 1), (7, 1), (9, 1)), (), (), ((), ())),
        # (a, c) and (b, d) are two pairs.
        (
            loops_of((2, 3, 4, 5), (4, 40, 1, 8), (60, 5, 15, 1)),
            ((0, 2), (1, 3)),
            (8, 15),
            ((1, 8), (15, 1)),
        ),
    ],
)
def test_neighbours_are_fused(loops, indices, extents, strides):
    assert simplify(loops) == Loops(indices, extents, strides)


def test_simpler_loops_visit_the_same_places():
    rng, fused = Random(3), 0
    for _ in range(500):
        extents = [rng.choice((1, 2, 3)) for _ in range(rng.randint(0, 4))]
        order = rng.sample(range(len(extents)), len(extents))
        rows = []
        for _ in range(rng.choice((2, 3))):
            if rng.random() < 0.2:
                order = rng.sample(range(len(extents)), len(extents))
            sign = rng.choice((1, 1, -1))
            rows.append(tuple(s * sign * (rng.random() < 0.9) for s in packed(extents, order)))
        loops = loops_of(extents, *rows)
        simple = simplify(loops)
        assert visited(simple) == visited(loops), loops
        assert simplify(simple) == simple
        kept = sorted(i for fusion in simple.indices for i in fusion)
        assert kept == [i for i, extent in enumerate(extents) if extent > 1]
        fused += len(simple.indices) < len(kept)
        nested = arrange(simple, [8] * len(rows))
        assert visited(nested) == visited(loops)
        roles = [i in nested.contracted for i in range(len(nested.extents))]
        assert roles[:-1] == sorted(roles[:-1]), "free loops outside contracted ones"
    assert fused > 50


@pytest.mark.parametrize(
    ("layouts", "order", "nesting", "unit", "kind"),
    [
        # a is the row of A, b contracted, c the column of B.
        ("CC", "C", "abc", (False, True, True), "strip_sum"),
        ("CC", "F", "cab", (False, True, False), "register_sum"),
        ("CF", "C", "acb", (True, True, False), "register_sum"),
        ("CF", "F", "cab", (True, True, False), "register_sum"),
        ("FC", "C", "abc", (False, True, True), "strip_sum"),
        ("FC", "F", "cba", (False, True, True), "strip_sum"),
        ("FF", "C", "abc", (False, False, True), "strip_sum"),
        ("FF", "F", "cba", (False, True, True), "strip_sum"),
    ],
)
def test_the_innermost_loop_moves_least(layouts, order, nesting, unit, kind):
    shapes = ((), (30, 40), (40, 50))  # what has a scalar more is no product of two
    plan = plan_of(",ab,bc->ac", *shapes, layouts="C" + layouts, order=order, optimize=False)
    lowered = only(plan)
    assert ["abc"[i] for (i,) in lowered.loops.indices] == list(nesting)
    assert (lowered.nest.unit, lowered.nest.kind) == ((False, *unit), kind)


def test_a_long_loop_beats_a_short_one_of_unit_stride():
    for extent, innermost in ((2, 0), (200, 1)):
        loops = arrange(loops_of((1000, extent), (extent, 1), (0, 1)), (8, 8))
        assert loops.indices[-1] == (innermost,)


def test_the_cost_of_an_innermost_loop_is_in_cache_lines():
    loops = loops_of((100, 200, 50), (200, 1, 0), (0, 50, 1), (50, 0, 1))
    # 8 bytes of B and of C an iteration, and C once more for the 200 that are contracted.
    cost = inner_cost(loops, (8, 8, 8), 2)
    assert cost == pytest.approx(4 / 50 + 8 / 64 + 8 / 64 + 8 / 64 / 200)
    # 8 bytes of A and a line of B.
    assert inner_cost(loops, (8, 8, 8), 1) == pytest.approx(4 / 200 + 8 / 64 + 1)


def test_large_strides_of_the_result_are_outside():
    extents = (5, 6, 7, 8)
    rows = [packed(extents, order) for order in permutations(range(4))]
    for one, result in product(rows, rows):
        loops = arrange(loops_of(extents, one, result), (8, 8))
        outer = loops.strides[-1][:-1]
        assert outer == tuple(sorted(outer, reverse=True))


def test_large_strides_of_a_sum_are_outside():
    loops = arrange(loops_of((5, 6, 7, 8), (8, 40, 240, 1), (0, 0, 0, 1)), (8, 8))
    assert loops.indices == ((2,), (1,), (0,), (3,))


# --- lowerings


def table():
    """An example for each row of the table, and just beside it where there is a threshold."""
    reasons = {row.name: row.reason for row in LOWERINGS}
    few, long = FEW_TILES - 1, LONG_SUM
    side, k = SHORTEST_SIDE, SHORTEST_SUM
    large, many = math.isqrt(caches()[1] // 8) + 1, SHORTEST_OF_MANY
    enough = -(-SMALL_PRODUCT // (side * k))
    row = ROW_VECTORS * vector_bytes() // 8
    doubles, most = vector_bytes() // 8, 3 * vector_registers() // 4  # of columns' sums
    for name, plan in [
        ("view", plan_of("ij->ji", (2, 3))),
        ("view", plan_of("ij->ji", (2, 0))),
        ("view", plan_of("ii->i", (3, 3), order="A")),
        ("copy", plan_of("ij->ji", (2, 3), order="C")),
        ("view", plan_of("ij->ji", (2, 3), order="F")),
        ("copy", plan_of("ij->ij", (2, 3), order="F")),
        ("copy", plan_of("ij->ji", (2, 3), out=Layout.contiguous((3, 2), "float64"))),
        ("cast", plan_of("i->i", (CAST_FIRST + 1,), dtypes=["int8"])),
        ("empty", plan_of("ij->ji", (2, 0), out=Layout.contiguous((0, 2), "float64"))),
        ("empty", plan_of("ij->i", (2, 0))),
        ("empty", plan_of("ij,jk->ik", (2, 3), (3, 0))),
        ("empty", plan_of("i,i->i", (0,), (1,))),
        ("nest", plan_of("i->", (1,))),
        ("nest", plan_of("ij,jk->ik", (2, 3), (3, 4))),
        ("nest", plan_of("i->", (long // 8 - 1,))),
        ("nest", plan_of("ij->i", (FEW_TILES, long))),
        ("nest", plan_of("i,i->i", (long,), (long,))),
        ("split", plan_of("i->", (long,))),
        ("split", plan_of("i,i->", (long - 1,), (long - 1,))),
        ("split", plan_of("ij->i", (few, long))),
        ("split", plan_of("ji->i", (long, few), dtype="float16")),
        ("split", plan_of("ij,jk->ik", (3, long), (long, 3), dtype="float16")),
        # M, N and K are long enough, and so is their product; of a type that vectors multiply.
        ("packed", plan_of("ij,jk->ik", (side, k), (k, enough))),
        ("packed", plan_of("ij,jk->ik", (enough, k), (k, side))),
        ("packed", plan_of("ij,jk->ik", (side, enough), (enough, side))),
        ("nest", plan_of("ij,jk->ik", (side, k), (k, enough - 1))),
        ("nest", plan_of("ij,jk->ik", (side - 1, 20), (20, enough))),
        ("nest", plan_of("ij,jk->ik", (enough, 20), (20, side - 1))),
        ("nest", plan_of("ij,jk->ik", (30, k - 1), (k - 1, 30))),
        ("unrolled", plan_of("ij,jk->ik", (large, many - 1), (many - 1, large))),
        ("packed", plan_of("ij,jk->ik", (large, many), (many, large))),
        ("packed", plan_of("ij,jk->ik", (large, k), (k, large), dtype="complex64")),
        ("packed", plan_of("ij,kj->ik", (large, k), (large, k))),
        ("multiplied", plan_of("ij,j->ij", (3, row), (row,), dtype="complex64")),
        ("nest", plan_of("ij,j->ij", (3, row - 1), (row - 1,), dtype="complex64")),
        # A few rows with many, the contracted loop side by side in both.
        ("dots", plan_of("ij,kj->ik", (FEW_WIDE, 200), (50, 200))),
        ("dots", plan_of("ij,kj->ik", (FEW, 600), (50, 600), dtype="float32")),
        ("dots", plan_of("ij,kj->ik", (FEW, 200), (last_cache() // 3000, 200))),
        ("dots", plan_of("ij,j->i", (last_cache() // 2000, 1024), (1024,))),
        ("dots", plan_of("ij,j->i", (50, 200), (200,), dtype="complex64")),
        ("dots", plan_of("ij,kj->ik", (FEW_COMPLEX, 200), (50, 200), dtype="complex64")),
        ("packed", plan_of("ij,kj->ik", (FEW_COMPLEX + 1, 200), (50, 200), dtype="complex64")),
        ("dots", plan_of("ij,j->i", (4 * FEWEST_TILES, long), (long,), dtype="complex64")),
        ("split", plan_of("ij,j->i", (4 * FEWEST_TILES - 4, long), (long,), dtype="complex64")),
        ("nest", plan_of("ij,j->i", (last_cache() // 50_000, 1024), (1024,))),
        ("packed", plan_of("ij,kj->ik", (FEW_WIDE + 1, 200), (50, 200))),
        ("packed", plan_of("ij,kj->ik", (FEW + 1, 600), (50, 600), dtype="float32")),
        ("dots", plan_of("btkgd,bskd->bkgts", (2, 1, 3, 4, 64), (2, 50, 3, 64), dtype="int32")),
        ("packed", plan_of("ij,jk->ik", (FEW, 200), (200, 50))),
        ("packed", plan_of("ij,jk->ik", (2, 64), (64, 50))),
        ("nest", plan_of("ij,jk->ik", (2, 63), (63, 50))),
        ("packed", plan_of("ij,kj->ik", (FEW, 20), (50, 20))),
        ("packed", plan_of("ij,kj->ik", (FEW, 200), (50, 200), dtype="complex64")),
        ("nest", plan_of("ij,j->i", (50, 200), (200,))),
        # Rows that follow each other, of few columns: as many sums as registers hold.
        ("columns", plan_of("ij->j", (ROWS, 3))),
        ("nest", plan_of("ij->j", (ROWS - 1, 3))),
        ("nest", plan_of("ij->j", (ROWS, 3), dtype="float16")),
        ("columns", plan_of("ij->j", (99, most * doubles))),
        ("nest", plan_of("ij->j", (99, (most + 1) * doubles))),
        ("columns", plan_of("ij,i->j", (99, 3), (99,), dtype="int8")),
        ("columns", plan_of("i,ij->j", (99,), (99, 6 * doubles // 2), dtype="complex128")),
        ("nest", plan_of("i,ij->j", (99,), (99, 7 * doubles // 2), dtype="complex128")),
        ("columns", plan_of("ij,ij->j", (99, 3), (99, 3), dtype="complex64")),
        ("nest", plan_of("ij,i,ij->j", (99, 3), (99,), (99, 3))),
        ("columns", plan_of("ij,ik->jk", (9999, 3), (9999, 5))),
        ("columns", plan_of("ij,ik->jk", (99, doubles + 2), (99, doubles + 2))),
        ("packed", plan_of("ij,ik->jk", (99, 2 * doubles - 1), (99, 2 * doubles - 1))),
        ("packed", plan_of("ij,ik->jk", (9999, doubles), (9999, doubles))),
        ("packed", plan_of("ij,jk->ik", (6, 99), (99, 6))),
        ("columns", plan_of("bij->bj", (9, 2 * VECTORS_OF_BATCH, doubles // 2))),
        ("nest", plan_of("bij->bj", (9, 2 * VECTORS_OF_BATCH - 1, doubles // 2))),
        ("columns", plan_of("bij,bij->bj", (9, ROWS_OF_BATCH, 4), (9, ROWS_OF_BATCH, 4))),
        ("nest", plan_of("bij,bij->bj", (9, ROWS_OF_BATCH - 1, 4), (9, ROWS_OF_BATCH - 1, 4))),
        # Operands of a size disagree about what lies side by side.
        ("tiled", plan_of("ij,ji->ij", (16, 16), (16, 16))),
        ("nest", plan_of("ij,ji->ij", (15, 17), (17, 15))),
        ("tiled", plan_of("kij,kji->ij", (20, 16, 16), (20, 16, 16))),
        ("tiled", plan_of("kij,kji->ij", (3, 99, 99), (3, 99, 99))),
        ("unrolled", plan_of("kij,kji->ij", (3, 99, TINY), (3, TINY, 99))),
        ("tiled", plan_of("ij,ji->i", (16, 100), (100, 16))),
        ("tiled", plan_of("ij,ji,i->i", (16, 100), (100, 16), (16,))),
        ("nest", plan_of("ij,i->i", (16, 100), (16,))),
        ("nest", plan_of("kij->ji", (20, 16, 16))),
        # The result outgrows the caches.
        ("streamed", plan_of("i,j->ij", (last_cache() // 512 + 1,), (64,))),
        ("streamed", plan_of("ij,j->ij", (last_cache() // 500, 63), (63,))),
        ("streamed", plan_of("ij,ij,->ij", *[(last_cache() // 500, 63)] * 2, ())),
        ("nest", plan_of("i,j->ij", (last_cache() // 512,), (64,))),
        ("nest", plan_of("ij,ij->ij", *[(last_cache() // 100, 63)] * 2, dtype="float16")),
        ("nest", plan_of("ij,i->i", (last_cache() // 512 + 1, 64), (last_cache() // 512 + 1,))),
        # A long batch of small products whose rows fill vectors.
        ("batched", plan_of("bij,bjk->bik", (LONG_BATCH, 5, 5), (LONG_BATCH, 5, 5))),
        ("batched", plan_of("bij,bkj->bik", (LONG_BATCH, 5, 5), (LONG_BATCH, 5, 5))),
        ("batched", plan_of("bji,bjk->bki", (99, 5, 5), (99, 5, 5), dtype="complex64")),
        ("batched", plan_of("bij,bjk->bik", (99, 2, 2), (99, 2, 2), dtype="complex128")),
        ("batched", plan_of("bij,bjk->bik", (99, 32, 32), (99, 32, 32), dtype="int8")),
        ("packed", plan_of("bij,bjk->bik", (63, 9, 9), (63, 9, 9))),
        ("packed", plan_of("bij,bjk->bik", (99, 33, 32), (99, 32, 32))),
        ("packed", plan_of("bij,bkj->bik", (99, 16, 16), (99, 16, 16))),
        ("packed", plan_of("ijb,jkb->ikb", (9, 9, 99), (9, 9, 99))),
        ("packed", plan_of("bij,bjk->bik", (99, 3, 257), (99, 257, 9))),
        ("packed", plan_of("bij,bkj->bik", (99, 4, 257), (99, 16, 257), dtype="complex64")),
        ("nest", plan_of("bij,bjk->bik", (99, 3, 60), (99, 60, 9), dtype="float16")),
        ("unrolled", plan_of("bij,bjk->bik", (99, 4, 4), (99, 4, 4), dtype="float32")),
        # Rows of a batch's products lie apart, and their sums are tiny.
        ("unrolled", plan_of("abc,bec->abe", (50, 8, 3), (8, 20, 3))),
        ("packed", plan_of("bac,bec->bae", (8, 50, 3), (8, 20, 3))),
        # The sum is over tiny loops, and the others are long.
        ("unrolled", plan_of("bij,bj->bi", (LONG_BATCH, 3, 3), (LONG_BATCH, 3))),
        ("nest", plan_of("bij,bj->bi", (LONG_BATCH - 1, 3, 3), (LONG_BATCH - 1, 3))),
        ("unrolled", plan_of("ij->i", (LONG_BATCH, TINY))),
        ("nest", plan_of("ij->i", (LONG_BATCH, TINY + 1))),
        ("unrolled", plan_of("bij,bji->b", (LONG_BATCH, 8, 8), (LONG_BATCH, 8, 8))),
        ("nest", plan_of("bij,bji->b", (LONG_BATCH, 7, 10), (LONG_BATCH, 10, 7))),
        ("nest", plan_of("bi,bi->bi", (LONG_BATCH, 3), (LONG_BATCH, 3))),
        ("packed", plan_of("hiajl,ljhbk->abhik", (9, 2, 2, 2, 2), (2, 2, 9, 2, 64))),
        ("nest", plan_of("hij,hik->hijk", (9, 30, 30), (9, 30, 30))),
        *(
            ("packed", plan_of("ij,jk->ik", (30, 30), (30, 30), dtype=dtype))
            for dtype in ("float32", "complex64", "complex128", "int8", "uint16", "int32", "uint64")
        ),
        *(
            ("nest", plan_of("ij,jk->ik", (30, 30), (30, 30), dtype=dtype))
            for dtype in ("float16", "bool")
        ),
        ("nest", plan_of(",ij,jk->ik", (), (30, 30), (30, 30), optimize=False)),
    ]:
        yield name, reasons[name], plan.steps[0].lowered


@pytest.mark.parametrize("dtype", ["float64", "float32", "complex64", "int8"])
def test_two_rules_that_turn_an_operand_do_not_take_turns(dtype):
    """One wants a small matrix with its rows side by side, the other with its columns."""
    for m, n, k in product((5, 8, 600, 2000), (5, 8, 12), (20, 100, 256, 400)):
        for one, two, result in product(("ij", "ji"), ("jk", "kj"), ("ik", "ki")):
            extents = {"i": m, "j": k, "k": n}
            shapes = (tuple(extents[i] for i in term) for term in (one, two))
            assert len(plan_of(f"{one},{two}->{result}", *shapes, dtype=dtype).steps) <= 2


def test_the_smaller_of_a_few_rows_with_many_is_turned_first():
    """It alone, and where the other is so much larger that a step more pays."""
    many = TURNED // (64 * 3) + 1
    for subscripts, *shapes in (
        ("bij,bjf->bif", (2, many, 64), (2, 64, 3)),
        ("jf,ij->if", (64, 3), (many, 64)),
        ("ijk,jkf->fi", (many, 8, 8), (8, 8, 3)),  # j and k fuse in both
    ):
        first, second = plan_of(subscripts, *shapes).steps
        assert (first.lowered.name, second.lowered.name) == ("copy", "dots")
        assert first.inputs == (int(subscripts.index("f") > 2),)
        assert all(row[-1] == 1 for row in second.lowered.loops.strides[:2])
    for options, subscripts, *shapes in (
        ({"optimize": False}, "ij,jf->if", (many, 64), (64, 3)),
        ({"dtype": "complex64"}, "ij,jf->if", (many, 64), (64, 3)),
        ({}, "ij,jf->if", (many - 2, 64), (64, 3)),
        ({}, "bij,bjf->bif", (99, 8, 64), (99, 64, 8)),  # as large as the other
        ({}, "ij,fj->if", (many, 64), (3, 64)),
        ({}, "ji,jf->if", (64, many), (64, 3)),
    ):
        assert len(plan_of(subscripts, *shapes, **options).steps) == 1


def test_tiles_fit_their_room():
    rng = np.random.default_rng(1)
    for itemsize, turned in product((1, 2, 4, 8, 16), (False, True)):
        room = TILE // itemsize
        for _ in range(2000):
            extents = tuple(rng.integers(1, rng.choice((20, 200, 5000)), 2).tolist())
            high, wide = tile(extents, itemsize, turned, room)
            assert 1 <= high <= extents[0]
            assert 1 <= wide <= extents[1]
            assert high * wide <= room
            if turned:  # whole blocks are written of what is turned
                assert -(-high // LANES) * LANES * (-(-wide // LANES) * LANES) <= room


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32", "float64", "complex128"])
def test_collected_tiles_fit_their_room(dtype):
    """And what is written in one run is one."""
    rng, seen = np.random.default_rng(2), set()
    for _ in range(600):
        n = int(rng.integers(2, 5))
        extents = tuple(rng.choice((2, 7, 20, 90, 300, 3000), n).tolist())
        out = "".join(rng.permutation(list("abcd"[:n])))
        with blocked_for(last_cache=1 << 10):
            lowered = only(plan_of(f"{'abcd'[:n]}->{out}", extents, dtype=dtype, order="C"))
        nest = lowered.nest
        if not isinstance(nest, Collected):
            continue
        *_, ahead = lowered.sizes
        *deep, high, wide = lowered.sizes[-1 - nest.tiled : -1]
        *_, z, y, x = (1, *lowered.loops.extents[: nest.inner + 1])
        row = lowered.loops.extents[-1] if nest.rows else 1
        assert ahead > 0
        assert 0 < high <= y
        assert 0 < wide <= x
        assert math.prod((*deep, high, wide, row)) + nest.rows * nest.lanes <= nest.room
        if deep:
            follows = lowered.loops.strides[1][-3]
            assert 0 < deep[0] <= z
            assert wide == x
            assert follows == (x * y if nest.whole else x)
            assert high == y or not nest.whole
        seen.add((nest.tiled, nest.whole, nest.rows))
    assert seen == {(2, False, False), (3, False, False), (3, True, False), (2, False, True)}


def test_tiles_of_sums_fit_their_room():
    rng = np.random.default_rng(1)
    for itemsize in (1, 2, 4, 8, 16):
        room = TILE_OF_SUMS // itemsize
        for _ in range(2000):
            extents = tuple(rng.integers(1, rng.choice((20, 200, 5000)), 2).tolist())
            high, wide = tile_of_sums(extents, itemsize, room)
            assert 1 <= high <= extents[0]
            assert 1 <= wide <= extents[1]
            assert -(-high // LANES) * LANES * (-(-wide // LANES) * LANES) <= room


@pytest.mark.parametrize("n_cores", [1, 2, 4, 7])
def test_cores_write_rows_of_their_own_where_sums_are_short(n_cores):
    facts = {"caches": (32 << 10, 1 << 20), "last_cache": 32 << 20, "cores": n_cores}
    for m, n, k in ((1000, 1000, 4), (100, 1000, 8), (700, 700, 30), (300, 3000, 16)):
        with blocked_for(vector_bytes=64, vector_registers=32, **facts):
            lowered = only(plan_of("ij,jk->ik", (m, k), (k, n)))
        named = dict(zip(lowered.nest.sizes(), lowered.sizes, strict=True))
        assert named["box_b"] == n  # a row is one core's
        assert -(-m // named["box_a"]) % n_cores == 0  # as many boxes for each
        assert lowered.tiles % n_cores == 0


def test_strips_are_low_where_rows_of_the_result_share_the_ways_of_a_cache():
    with blocked_for(vector_bytes=64, vector_registers=32):
        for n, terms, low in ((512, 4, True), (520, 4, False), (512, SHORT_SUM + 1, False)):
            lowered = only(plan_of("ij,jk->ik", (500, terms), (terms, n)))
            named = dict(zip(lowered.nest.sizes(), lowered.sizes, strict=True))
            assert (named["box_a"] <= WAYS) == low


def test_every_lowering_is_reached_with_its_reason():
    for name, reason, lowered in table():
        assert (lowered.name, lowered.reason) == (name, reason)
        assert (lowered.nest is None) == (name in ("view", "cast", "empty"))
    assert {name for name, _, _ in table()} == {row.name for row in LOWERINGS}
    assert len({row.reason for row in LOWERINGS}) == len(LOWERINGS)


def test_a_split_sum_is_added_up_in_a_second_step():
    first, second = plan_of("ij,ij->", (1000, 1000), (1000, 1000), dtype="float16").steps
    assert (first.lowered.name, second.lowered.name) == ("split", "nest")
    assert second.lowered.reason == "adds what the spans gave"
    assert first.result == Layout((SPANS,), (1,), "float32")
    assert second.result == Layout((), (), "float16")
    assert second.inputs == (2,)


def test_vectors_run_along_long_rows_where_there_are_many():
    """What lies outside of them is not unrolled inside."""
    (step,) = plan_of("bxj,yx->byj", (99, 4, 100), (2, 4)).steps
    assert step.lowered.name == "unrolled"
    assert step.lowered.loops.extents == (99, 2, 100, 4)
    (step,) = plan_of("xj,yx->yj", (4, 100), (2, 4)).steps  # there is one
    assert step.lowered.loops.extents == (100, 2, 4)


@pytest.mark.parametrize(
    ("subscripts", "shapes", "tiles"),
    [
        ("kcld,klad->ac", ((24, 20, 8, 16), (24, 8, 20, 16)), 12),  # two of 24 are a span
        ("kcld,klad->ac", ((4, 20, 48, 16), (4, 48, 20, 16)), 16),  # the outermost one is short
        ("ki,kj->ij", ((4096, 20), (4096, 20)), 16),
    ],
)
def test_long_sums_with_few_results_are_cut(subscripts, shapes, tiles):
    first, second = plan_of(subscripts, *shapes).steps
    assert (first.lowered.name, second.lowered.name) == ("packed", "nest")
    assert first.lowered.nest.span is not None
    assert first.lowered.tiles % tiles == 0


def test_sums_that_are_short_or_whose_results_are_many_are_not():
    for subscripts, *shapes in (
        ("kcld,klad->ac", (24, 20, 5, 16), (24, 5, 20, 16)),
        ("kcld,klad->ac", (24, 300, 8, 16), (24, 8, 300, 16)),
        ("kcld,klad->ac", (7, 20, 7, 200), (7, 7, 20, 200)),
    ):
        (step,) = plan_of(subscripts, *shapes).steps
        assert step.lowered.nest.span is None


def test_short_loops_are_turned_in_boxes():
    """The innermost ones of boxes are not those within the lines of the operands; batches that lie
    within pages are in them."""
    subscripts = "tcAzhgydarfwqvxbues,mAtnpuqoiwslxryjvzk->cAzhgydafbemnpoiljk"
    (step,) = plan_of(subscripts, (2,) * 19, (2,) * 19).steps
    nest, extents = step.lowered.nest, step.lowered.loops.extents
    assert nest.scattered == (True, True, True)
    assert nest.boxed > 0
    lanes = nest.macrokernel.lanes
    strides = step.lowered.loops.strides
    inner, volume = [], 1
    for i in reversed(nest.group_n):
        if volume < lanes:
            inner.append(i)
            volume *= extents[i]
    for row in strides[1:]:
        assert all(row[i] == 0 or abs(row[i]) >= lanes for i in inner)


@pytest.mark.parametrize("extent", [LONG_SUM, LONG_SUM + 1, 1_000_003, 12_345_678])
def test_spans_cover_a_sum_once(extent):
    lowered = plan_of("i->", (extent,)).steps[0].lowered
    sizes = dict(zip([name for name, _, _ in lowered.nest.sizes()], lowered.sizes, strict=True))
    assert sizes["n_a"] == extent
    assert lowered.nest.span == 0
    assert lowered.tiles <= SPANS
    assert (lowered.tiles - 1) * sizes["span"] < extent <= lowered.tiles * sizes["span"]


@pytest.mark.parametrize(
    ("subscripts", "shapes", "tile", "strip", "tiles"),
    [
        ("ij,j->i", [(TILES, 5), (5,)], 1, False, TILES),
        ("ij,j->i", [(2, 5), (5,)], 1, False, 2),
        ("ij,kj->ik", [(TILES - 1, 5), (3, 5)], 2, False, 3 * (TILES - 1)),
        ("ij,kj->ik", [(TILES, 5), (3, 5)], 1, False, TILES),
        ("i,j->ij", [(5,), (LENGTH,)], 1, False, 5),
        ("i,j->ij", [(5,), (LENGTH + 1,)], 1, True, 10),
        ("i,j->ij", [(TILES,), (1000,)], 1, False, TILES),
        ("ij,jk->ik", [(3, 20), (20, LENGTH + 1)], 1, True, 3 * STRIPS),
        ("i,i->i", [(LENGTH,), (LENGTH,)], 0, False, 1),
        ("i,i->i", [(LENGTH + 1,), (LENGTH + 1,)], 0, True, 2),
        ("ji->i", [(40, LENGTH + 1)], 0, True, STRIPS),
        ("ji->i", [(40, FEWEST)], 0, True, STRIPS),
        ("ji->i", [(40, FEWEST - 1)], 0, False, 1),
        ("kji->ki", [(3, 40, FEWEST)], 1, True, 3 * STRIPS),
        ("kji->ki", [(FEW_TILES, 40, FEWEST)], 1, False, FEW_TILES),
        ("i->", [(1000,)], 0, False, 1),
        (",->", [(), ()], 0, False, 1),
    ],
)
def test_tiles(subscripts, shapes, tile, strip, tiles):
    lowered = only(plan_of(subscripts, *shapes))
    assert (lowered.nest.tile, lowered.nest.strip, lowered.tiles) == (tile, strip, tiles)


def test_long_rows_of_few_terms_are_not_summed_in_spans():
    """From memory; in the caches they never are."""
    with blocked_for(last_cache=1 << 20):
        assert len(plan_of("ij->j", (FEW_TERMS - 1, FEWEST)).steps) == 1
        assert len(plan_of("ij->j", (FEW_TERMS, FEWEST)).steps) == 2
        assert len(plan_of("ij->j", (FEW_TERMS, FEWEST - 1)).steps) == 2
    with blocked_for(last_cache=1 << 30):
        assert len(plan_of("ij->j", (FEW_TERMS, FEWEST)).steps) == 1


def test_plans_do_not_know_of_threads():
    def plans():
        return [
            plan_of("ij,jk->ik", (500, 500), (500, 500)),
            plan_of("i,i->", (1 << 20,), (1 << 20,)),
            plan_of("ij,jk,kl->il", (300, 40), (40, 50), (50, 60)),
        ]

    before = einjit.get_num_threads()
    with einjit.threads(1):
        one = plans()
    assert einjit.get_num_threads() == before
    assert plans() == one


def test_shapes_share_a_nest_and_differ_in_sizes():
    one, two = (only(plan_of("ij,jk->ik", (n, 5), (5, 7))) for n in (10, 11))
    assert one.nest == two.nest
    assert one.sizes == two.sizes  # the outermost tile loop is run as first..last
    assert (one.tiles, two.tiles) == (10, 11)
    wide = only(plan_of("ij,jk->ik", (10, 5), (5, 8)))
    assert wide.nest == one.nest
    assert wide.sizes != one.sizes


def test_sizes_are_named_in_the_order_they_are_given():
    lowered = only(plan_of("ij,jk->ik", (10, 5), (5, 7)))
    assert lowered.name == "nest"
    names = [name for name, _, _ in lowered.nest.sizes()]
    assert dict(zip(names, lowered.sizes, strict=True)) == {
        "n_b": 5,
        "n_c": 7,
        "A_a": 5,
        "A_b": 1,
        "B_b": 7,
        "C_a": 7,
    }


def test_operands_in_any_order_share_a_nest():
    shapes = {"ij": (30, 40), "jk": (40, 50), "": (), "k": (50,)}
    for terms in (("ij", "jk"), ("", "ij", "jk"), ("ij", "jk", "k")):
        nests = set()
        for turn in range(len(terms)):
            turned = terms[turn:] + terms[:turn]
            subscripts = ",".join(turned) + "->ik"
            plan = plan_of(subscripts, *(shapes[term] for term in turned), optimize=False)
            lowered = only(plan)
            assert sorted(lowered.order) == list(range(len(terms)))
            nests.add(lowered.nest)
        assert len(nests) == 1


def test_rows_of_columns_go_forwards():
    """Those of the other operand are a number of elements."""
    for stride, name in ((1, "columns"), (-1, "nest")):
        operands = Layout((90, 5), (5, 1), "float64"), Layout((90,), (stride,), "float64")
        plan = make_plan(parse("ij,i->j", [2, 1]), operands, "float64")
        assert plan.steps[0].lowered.name == name


def test_complex_sums_are_those_of_real_parts():
    """Where their loops are one with that of the numbers, or rows are long."""
    for subscripts, shape, real in (
        ("ij->j", (300, 40), True),
        ("ij->i", (300, 300), True),
        ("ij->i", (300, 7), False),
        ("ij,ij->i", (300, 300), False),
        ("ij->ji", (300, 300), False),
    ):
        plan = plan_of(subscripts, *[shape] * (1 + subscripts.count(",")), dtype="complex128")
        nest = plan.steps[0].lowered.nest
        assert nest is None or nest.compute == ("float64" if real else "complex128"), subscripts


# --- the path


def test_small_calls_are_one_pass():
    small, larger = (plan_of("i,i,i->i", *[(n,)] * 3) for n in (STEP, STEP + 1))
    assert small.reason == "small: one pass costs less than the intermediates"
    assert larger.reason == "one pass costs no more than contracting in pairs"
    assert len(small.steps) == len(larger.steps) == 1


def test_large_bilinear_forms_are_contracted_in_pairs():
    def path(n, dtype):
        return plan_of("i,ij,j->", (n,), (n, n), (n,), dtype=dtype).reason

    one_pass = "one pass costs no more than contracting in pairs"
    pairs = "opt_einsum's order: sums are taken before all factors meet"
    assert path(500, "float64") == path(250, "complex64") == one_pass
    assert path(520, "float64") == path(260, "complex64") == pairs


@pytest.mark.parametrize(
    ("optimize", "reason", "steps"),
    [
        ("auto", "opt_einsum's order: fewer FLOPs than one pass", ["bc,cd->bd", "ab,bd->ad"]),
        (False, "optimize=False: one pass over all indices, no intermediate", ["ab,bc,cd->ad"]),
        (True, "optimize=True, as in numpy", ["bc,cd->bd", "ab,bd->ad"]),
        ("greedy", "optimize='greedy', as in numpy", ["bc,cd->bd", "ab,bd->ad"]),
        ("optimal", "optimize='optimal', as in numpy", ["bc,cd->bd", "ab,bd->ad"]),
        (("greedy", 10), "optimize=('greedy', 10), as in numpy", ["ab,bc,cd->ad"]),
        (
            ["einsum_path", (0, 1), (0, 1)],
            "optimize=['einsum_path', (0, 1), (0, 1)], as in numpy",
            ["ab,bc->ac", "cd,ac->ad"],
        ),
        (
            ["einsum_path", (0, 1, 2)],
            "optimize=['einsum_path', (0, 1, 2)], as in numpy",
            ["ab,bc,cd->ad"],
        ),
    ],
)
def test_path(optimize, reason, steps):
    plan = plan_of("ij,jk,kl->il", (30, 40), (40, 50), (50, 8), optimize=optimize)
    assert plan.reason == reason
    assert [step.equation for step in plan.steps] == steps


def test_one_path_for_one_or_two_operands():
    for optimize in (True, "auto", "greedy", "optimal"):
        plan = plan_of("ij,jk->ik", (30, 40), (40, 50), optimize=optimize)
        assert plan.reason == "one or two operands: one contraction"


def test_a_result_has_its_dtype_whatever_the_path():
    for path in ([(0, 1), (0,)], [(0,), (0, 1)], [(0, 1)]):
        for dtype in ("float16", "float32"):
            shapes = (3, 4), (4, 5)
            plan = plan_of("ij,jk->ik", *shapes, dtype=dtype, optimize=["einsum_path", *path])
            assert plan.result.dtype == dtype, path
            assert plan.result.shape == (3, 5)


def test_steps_follow_one_another():
    """Each step takes slots that are filled, each slot is taken once."""
    rng, many = Random(17), 0
    for _ in range(300):
        case = random_case(rng, 3000)
        operands = [Layout.of(as_plain(operand)) for operand in case.operands(1)]
        equation = parse(case.subscripts, [len(operand.shape) for operand in operands])
        for optimize in ("auto", False, "greedy"):
            plan = make_plan(equation, operands, "float64", optimize=optimize)
            taken = [slot for step in plan.steps for slot in step.inputs]
            assert sorted(taken) == list(range(len(operands) + len(plan.steps) - 1))
            for number, step in enumerate(plan.steps):
                assert all(slot < len(operands) + number for slot in step.inputs)
            extents = equation.extents([operand.shape for operand in operands])
            assert plan.result.shape == tuple(extents[i] for i in equation.output)
            assert plan.result.dtype == "float64"
            assert optimize is not False or len(plan.steps) <= 2  # a split sum
            many += len(plan.steps) > 2
    assert many > 20


@pytest.mark.parametrize("optimize", ["auto", False, "greedy"])
def test_no_step_takes_more_operands_than_a_call_has_room_for(optimize):
    for n in (MOST_TOGETHER, MOST_TOGETHER + 1, 150):
        plan = plan_of(",".join("i" * n) + "->i", *[(3,)] * n, optimize=optimize)
        assert max(len(step.inputs) for step in plan.steps) <= MOST_TOGETHER < MOST_POINTERS
        assert (len(plan.steps) == 1) == (n == MOST_TOGETHER)
        taken = [slot for step in plan.steps for slot in step.inputs]
        assert sorted(taken) == list(range(n + len(plan.steps) - 1))


# --- sums that are worth a step of their own


@pytest.mark.parametrize(
    ("shapes", "early"),
    [
        # EARLY iterations in all, and four times as many as with the step.
        (((16, 16), (16, EARLY >> 8)), True),
        (((16, 16), (16, (EARLY >> 8) - 1)), False),
        (((5, 1000), (1000, 20)), True),  # 5·1000·20 and 4·(5·1000 + 1000·20)
        (((5, 1000), (1000, 19)), False),
    ],
)
def test_what_one_operand_has_alone_is_summed_early(shapes, early):
    expected = ["ab,bc->a"] if not early else ["bc->b", "ab,b->a"]
    plan = plan_of("ij,jk->i", *shapes)
    assert [step.equation for step in plan.steps] == expected
    mirrored = plan_of("jk,ij->i", *shapes[::-1])
    assert len(mirrored.steps) == len(plan.steps)
    unoptimized = plan_of("ij,jk->i", *shapes, optimize=False)
    assert [step.equation for step in unoptimized.steps] == ["ab,bc->a"]


def test_both_operands_may_be_summed_early():
    plan = plan_of("ij,jk->j", (200, 100), (100, 200))
    assert [step.equation for step in plan.steps] == ["ab->b", "bc->b", "b,b->b"]
    assert [step.inputs for step in plan.steps] == [(0,), (1,), (2, 3)]


def test_a_single_operand_has_nothing_to_meet():
    assert [step.equation for step in plan_of("ij->i", (300, 300)).steps] == ["ab->a"]


def equations(subscripts, *shapes, **options):
    return [step.equation for step in plan_of(subscripts, *shapes, **options).steps]


@pytest.mark.parametrize(
    ("subscripts", "shapes", "copied"),
    [
        ("abcd,dc->ab", ((8, 20, 9, 30), (30, 9)), True),
        ("dc,abcd->ab", ((30, 9), (8, 20, 9, 30)), True),
        ("abcd,dc->ab", ((8, 900, 3, 5), (5, 3)), False),  # few terms
        ("abcd,ced->abe", ((1, 3, 90, 80), (90, 4, 80)), False),  # the other is not much larger
        ("ijk,kjl->il", ((400, 9, 8), (8, 9, 20)), True),
        ("ijk,lkj->il", ((400, 9, 8), (20, 8, 9)), True),
        ("ijk,kjl->il", ((50, 9, 8), (8, 9, 40)), False),
        ("kija,ja->ki", ((40, 30, 20, 10), (20, 10)), False),  # they fuse as they are
        ("jkia,ja->ki", ((30, 40, 20, 10), (30, 10)), False),  # they fuse in neither
    ],
)
def test_small_operands_are_copied_as_the_large_one_lies(subscripts, shapes, copied):
    """Their contracted loops are one with its."""
    first, *_ = plan_of(subscripts, *shapes).steps
    assert (first.lowered.name == "copy") == copied
    if copied:
        assert first.inputs == (int(subscripts[0] != "d"),)
        meeting = plan_of(subscripts, *shapes).steps[1].lowered
        assert len(meeting.loops.contracted) == 1
    first, *_ = plan_of(subscripts, *shapes, optimize=False).steps
    assert first.lowered.name != "copy"


@pytest.mark.parametrize(
    ("subscripts", "shapes", "expected"),
    [
        ("ij,ji->", ((64, 80), (80, 64)), ["ab,ba->b", "b->"]),
        ("ij,ji->", ((80, 64), (64, 80)), ["ab,ba->a", "a->"]),
        ("bij,bji->b", ((9, 20, 30), (9, 30, 20)), ["abc,acb->ac", "ac->a"]),
        ("ij,ji->", ((50, 80), (80, 50)), ["ab,ba->"]),  # few iterations
        ("ij,ji->", ((7, 900), (900, 7)), ["ab,ba->"]),  # short rows
        ("ij,ji->i", ((80, 64), (64, 80)), ["ab,ba->a"]),
        ("ij,ij->", ((64, 80), (64, 80)), ["ab,ab->"]),
        ("kij,lji->kl", ((9, 20, 30), (9, 30, 20)), ["abc,dcb->ad"]),
    ],
)
def test_sums_of_what_lies_crosswise_are_taken_in_two_steps(subscripts, shapes, expected):
    """Rows of the longer loop first, for which tiles are turned; then those."""
    assert equations(subscripts, *shapes) == expected
    assert len(equations(subscripts, *shapes, dtype="bool")) == 1
    assert len(equations(subscripts, *shapes, optimize=False)) == 1


def test_complex_rows_are_added_in_vectors():
    """However few they are; LLVM makes vectors of real ones."""
    shapes = (300, 8, 100), (300, 8)
    assert only(plan_of("bij,bi->bj", *shapes, dtype="complex64")).name == "nest"
    assert only(plan_of("bij,bi->bj", *shapes, dtype="float32")).name == "unrolled"


def test_real_rows_times_rows_are_vectors_from_some_length_on():
    for n, dtype, kind in (
        (REAL_ROW, "float32", "nest"),
        (REAL_ROW - 1, "float64", "unrolled"),
        (REAL_ROW, "int32", "unrolled"),
    ):
        assert only(plan_of("ij,j->i", (900, n), (n,), dtype=dtype)).name == kind
        assert only(plan_of("ij->i", (900, n), dtype=dtype)).name == "unrolled"


def test_a_cut_loop_lies_in_boxes_as_in_the_operands():
    """Rows along it are copied as they lie, as long as a span is."""
    first, _ = plan_of("aij,ajk->ik", (4, 109, 590), (4, 590, 11), dtype="float32").steps
    nest = first.lowered.nest
    named = dict(zip(nest.sizes(), first.lowered.sizes, strict=True))
    assert nest.span == nest.group_k[-1]
    assert named["A_" + "abcd"[nest.span]] == 1
    assert named["box_" + "abcd"[nest.span]] == named["span"]


# --- conversions


def test_small_operands_of_another_dtype_are_converted_first():
    n = CAST_FIRST
    plan = plan_of("i,i,j->", (n,), (n,), (n + 1,), dtypes=["float32", "float64", "int8"])
    assert plan.cast == (True, False, False)
    assert plan_of("i->", (n,), dtypes=["int8"]).cast == (True,)
    assert plan_of("i->", (n + 1,), dtypes=["int8"]).cast == (False,)
    assert plan_of("i->", (0,), dtypes=["int8"]).cast == (False,)
    assert plan_of("i->", (n,)).cast == (False,)


@pytest.mark.parametrize(
    ("own", "dtype"),
    [("complex128", "float64"), ("float64", "bool"), ("float64", "float16"), ("int64", "bool")],
)
def test_what_loses_values_is_numpys_to_convert(own, dtype):
    """numba converts otherwise, or not at all, what numpy calls unsafe."""
    plan = plan_of("i->", (CAST_FIRST + 1,), dtypes=[own], dtype=dtype)
    assert plan.cast == (True,)


def test_kernels_see_the_dtypes_that_are_left():
    n = CAST_FIRST
    small = plan_of("i,i->", (n,), (n,), dtypes=["float32", "float64"])
    assert only(small).nest.dtypes == ("float64", "float64", "float64")
    large = plan_of("i,i->", (n + 1,), (n + 1,), dtypes=["float32", "float64"])
    assert only(large).nest.dtypes == ("float32", "float64", "float64")
    assert only(large).nest.compute == "float64"


def test_float16_is_summed_in_float32():
    nest = only(plan_of("ij,jk->ik", (2, 3), (3, 4), dtype="float16")).nest
    assert (nest.compute, nest.dtypes) == ("float32", ("float16", "float16", "float16"))


def test_a_converted_operand_is_read_in_c_order():
    plan = plan_of("ij->j", (30, 40), dtypes=["int8"], layouts="F")
    assert only(plan).loops.strides[0] == (40, 1)


# --- counts


@pytest.mark.parametrize(
    ("subscripts", "shapes", "flops", "n_bytes"),
    [
        ("ij,jk->ik", [(10, 20), (20, 30)], 2 * 6000, 8 * (200 + 600 + 300)),
        ("ij,ij->ij", [(10, 20), (10, 20)], 200, 8 * 600),
        ("ij->i", [(10, 20)], 200, 8 * 210),
        ("ij->ji", [(10, 20)], 0, 0),
        ("i,i,i,i->", [(7,)] * 4, 4 * 7, 8 * 29),
        ("i,i->", [(0,)] * 2, 0, 8),
        (",->", [(), ()], 1, 24),
        ("i,j->ij", [(2**28,), (2**29,)], 2**57, 8 * (2**28 + 2**29 + 2**57)),
    ],
)
def test_flops_and_bytes(subscripts, shapes, flops, n_bytes):
    plan = plan_of(subscripts, *shapes)
    assert (plan.flops, plan.bytes) == (flops, n_bytes)


def test_flops_of_a_path_are_those_of_its_steps():
    plan = plan_of("ij,jk,kl->il", (30, 40), (40, 50), (50, 60))
    assert [step.lowered.flops for step in plan.steps] == [120_000, 180_000]
    assert plan.flops == 300_000


def test_bytes_are_in_the_dtypes_of_the_arrays():
    plan = plan_of("i,i->i", (100,), (100,), dtypes=["int8", "float32"])
    assert plan.bytes == 100 * (1 + 4 + 8)


def test_a_rough_time_grows_with_the_work():
    for dtype, sizes in (("complex64", (10, 20, 40)), ("float64", (20, 40, 80))):  # nest, packed
        times = [only(plan_of("ij,jk->ik", (n, n), (n, n), dtype=dtype)).time for n in sizes]
        assert times == sorted(times)
        assert 4 < times[2] / times[1] < 10
        assert np.isfinite(times).all()


# --- rows that are taken apart, blocks that overlap


@pytest.mark.parametrize(("row", "dtype", "known"), [(3, "int8", 1), (4, "int8", 0), (3, "c8", 0)])
def test_places_of_the_shortest_rows_are_numbers(row, dtype, known):
    """Without them, LLVM gathers the elements one by one."""
    dtype = np.dtype(dtype).name
    plan = plan_of("ij,ij->i", (1000, row), (1000, row), dtypes=[dtype] * 2, dtype=dtype)
    assert (("A_a", row) in only(plan).nest.constants) == known


@pytest.mark.parametrize(
    ("row", "dtype", "kind"),
    [
        (4, "float64", "product"),
        (7, "float64", "product"),
        (8, "float64", "copy"),
        (8, "bool", "product"),
        (9, "bool", "copy"),
    ],
)
def test_pixels_are_taken_apart(row, dtype, kind):
    """But those that fill blocks of vectors, as they do of 32 bytes here."""
    with blocked_for(vector_bytes=32, vector_registers=16):
        plan = plan_of("nhwc->nchw", (9, 10, 10, row), dtypes=[dtype], dtype=dtype, order="C")
        assert only(plan).nest.kind == kind


@pytest.mark.parametrize(
    ("extents", "box", "vector", "side"),
    [
        ((40, 17), (), 32, (8, True)),
        ((40, 7), (), 32, (4, True)),
        ((40, 1), (), 32, (1, True)),
        ((40, 7), (), 64, (8, False)),
        ((40, 17), (16, 17), 32, (8, True)),
        ((41, 17), (20, 17), 32, (8, False)),
    ],
)
def test_blocks_are_whole(extents, box, vector, side):
    """Smaller ones in place of parts of vectors; within a tile, where its end has room for one."""
    with blocked_for(vector_bytes=vector):
        assert side_of_blocks(8, extents, box) == side
