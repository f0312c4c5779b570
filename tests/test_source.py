"""Generated source: golden texts that are compared and run, and what holds for any text.

A changed generator changes the golden files: `pytest --update-golden tests/test_source.py` writes
them anew. Each text is run against the reference all the same.
"""

import ast
import ctypes
import hashlib
import io
import keyword
import os
import re
import subprocess
import sys
import tokenize
from collections import Counter
from itertools import pairwise, product
from pathlib import Path
from random import Random
from types import CodeType

import numpy as np
import pytest
import reference
from meanings import NESTS, Space, contract_of, junk
from numpy.lib.stride_tricks import as_strided
from packing import deepest, in_pages, packing_all
from strategies import (
    MULTIPLIED,
    Case,
    lay_out,
    random_case,
    random_many_loops,
    random_product,
    random_short_loops,
)
from targets import blocked_for, scratch_bytes

from einjit.equation.operands import Layout, as_plain
from einjit.equation.parser import parse
from einjit.kernel.build import Kernel
from einjit.kernel.call import allocate, ready
from einjit.kernel.meanings import MEANINGS
from einjit.names import index_name, operand_name
from einjit.plan import columns as columns_plan
from einjit.plan import dots, lowering, nesting, packing, spans, tiling
from einjit.plan import nest as nest_plan
from einjit.plan import path as paths
from einjit.plan import plan as planning
from einjit.plan import streamed as streamed_plan
from einjit.plan.nest import Nest
from einjit.plan.packed import SPARE_TERMS, Macrokernel, Move, Scatter
from einjit.plan.plan import make_plan
from einjit.plan.tiled import Tiled
from einjit.registry import registry
from einjit.source import columns as columns_writer
from einjit.source import dots as dots_writer
from einjit.source import nest as nest_writer
from einjit.source import tiled as tiled_writer
from einjit.source.elements import ELEMENTS
from einjit.source.module import CALLED, Source
from einjit.source.writer import WIDTH, Writer

FOLDER = Path(__file__).parent / "golden"
LARGE = 50_000  # iterations from which one exact set of operands is enough for the reference

DIFFERENT = ("float32", "float64", "int16")


def case(subscripts, *shapes, dtypes="float64", layouts="C"):
    """Operands of one dtype and layout, or a tuple of them."""
    n = len(shapes)
    dtypes = (dtypes,) * n if isinstance(dtypes, str) else dtypes
    layouts = (layouts,) * n if isinstance(layouts, str) else layouts
    return Case(subscripts, shapes, dtypes, layouts)


GOLDEN = {
    # Nothing contracted.
    "product": case("i,j->ij", (70,), (6,)),
    "product_two_tile_loops": case("i,j,k->ijk", (5,), (4,), (7,), dtypes="float32"),
    "product_strips": case("i,i->i", (5000,), (5000,)),
    "product_tile_and_strips": case("i,j->ij", (3,), (9000,), dtypes="float16"),
    "product_two_tiles_and_strips": case("i,j,k->ijk", (3,), (4,), (34_000,), dtypes="bool"),
    "product_joint": case("abcdefghi,hgfedcbai->abcdefghi", (8, 8, *[2] * 7), (*[2] * 6, 8, 8, 2)),
    "product_scalar": case(",ij->ij", (), (4, 5), dtypes="bool"),
    "product_no_loops": case(",->", (), ()),
    # The sum in a register.
    "register_sum": case("ij,kj->ik", (70, 600), (3, 600), dtypes="float16"),
    "register_sum_two_tile_loops": case("ij,kj->ik", (3, 300), (6, 300), dtypes="float16"),
    "register_sum_exact": case("ij,kj->ik", (5, 7), (6, 7), dtypes="int16"),
    "register_sum_bool": case("ij,j->i", (5, 7), (7,), dtypes="bool"),
    "register_sum_half": case("ij,j->i", (5, 300), (300,), dtypes="float16"),
    "register_sum_stepped": case("ij,ji->i", (5, 40), (40, 5), layouts="stepped"),
    "register_sum_joint": case("abcdefgh,hgfedcba->", (3, *[2] * 7), (*[2] * 7, 3)),
    "register_sum_mixed": case("ij,j->i", (300, 300), (300,), dtypes=("int8", "float32")),
    "register_sum_spans": case("i,i->", (1 << 18,), (1 << 18,)),
    "register_sum_spans_inside": case("ijk,jk->i", (3, 300, 300), (300, 300), layouts=("C", "F")),
    "register_sum_of_bools": case("i,i->", (9000,), (9000,), dtypes="bool"),
    # The sums of a strip in the cache.
    "strip_sum": case("ij,jk->ik", (8, 3), (3, 20), dtypes="float32"),
    "strip_sum_blocks": case("ij,jk->ik", (2, 600), (600, 40), dtypes="float16"),
    "strip_sum_exact": case("ij,jk->ik", (5, 7), (7, 6), dtypes="uint8"),
    "strip_sum_bool": case("ij,jk->ik", (5, 7), (7, 6), dtypes="bool"),
    "strip_sum_complex": case("ij,jk->ik", (5, 7), (7, 6), dtypes="complex64"),
    "strip_sum_strips": case("ij,i->j", (20, 9000), (20,), dtypes="float16"),
    "strip_sum_tile_and_strips": case("ij,jk->ik", (3, 20), (20, 4200)),
    "strip_sum_spans": case("ij->j", (1 << 15, 8), dtypes="float16"),
    "strip_sum_hoisted": case("ij,jk,kl,->il", (5, 6), (6, 7), (7, 8), ()),
    "strip_sum_joint": case("abcdefgh,hgfedcbi->ai", (2,) * 8, (*[2] * 7, 9), dtypes="float16"),
    "strip_sum_short_rows": case("ijk->ik", (70, 30, 24), dtypes="float32"),
    "strip_sum_of_rows": case("ijk->j", (20, 30, 200)),
    "strip_sum_of_rows_exact": case("ijk,ik->j", (20, 4100, 7), (20, 7), dtypes="int16"),
    "strip_sum_of_rows_bool": case("ijk->j", (20, 41, 7), dtypes="bool"),
    "strip_sum_of_rows_spans": case("ijk,ik->j", (20, 4, 4000), (20, 4000), dtypes="float32"),
    "strip_sum_of_vectors": case("ij,i->j", (30, 150), (30,), dtypes="complex128"),
    "strip_sum_of_ending_rows": case("ijk->ik", (9, 70, 43), dtypes="float32"),
    # Rows taken together.
    "strip_sum_together": case("ij,i->j", (9, 4200), (9,)),
    "strip_sum_together_blocks": case("ij,i->j", (600, 4100), (600,)),
    "strip_sum_together_near": case("ij,i->j", (24, 150), (24,)),
    "strip_sum_together_strips": case("ij,i->j", (17, 264_000), (17,)),
    "register_sum_together": case("ij,j,->i", (67, 4100), (4100,), ()),
    "register_sum_together_exact": case("ij,j,i->i", (66, 8200), (8200,), (66,), dtypes="int32"),
    # A few rows with many.
    "dots": case("ij,kj->ik", (3, 300), (41, 300), dtypes="float32"),
    "dots_of_one": case("ij,j->i", (30, 1100), (1100,)),
    "dots_blocks": case("ij,kj->ki", (9, 2200), (2, 2200)),
    "dots_exact": case("btkgd,bskd->bkgts", (2, 1, 3, 4, 70), (2, 9, 3, 70), dtypes="int16"),
    # Rows of few columns that follow each other.
    "columns": case("bij->bj", (9, 70, 3), dtypes="float32"),
    "columns_spans": case("ij,i->j", (1 << 17, 5), (1 << 17,), dtypes="complex64"),
    "columns_alike": case("bij,ij->j", (3, 300, 7), (300, 7), dtypes="uint32"),
    "columns_products": case("ij,ik->jk", (900, 7), (900, 6)),
    # Tiles in the cache.
    "tiled": case("ij,ji->ij", (70, 40), (40, 70), dtypes="float32"),
    "tiled_mixed": case("ijk,kji,j->ijk", (3, 30, 20), (20, 30, 3), (30,), dtypes=DIFFERENT),
    "tiled_sum": case("kij,kji->ij", (300, 20, 30), (300, 30, 20)),
    "tiled_sum_across": case("ij,ji->i", (30, 300), (300, 30), dtypes="complex64"),
    "tiled_streams": case("ij,ji->ij", (70, 64), (64, 70)),
    # Larger than the caches.
    "streamed": case("ij,i,->ij", (70, 300), (70,), (), dtypes="complex64"),
    "multiplied": case("ij,j,->ij", (30, 70), (70,), (), dtypes="complex128"),
    "streamed_strips": case("i,i->i", (20_000,), (20_000,)),
    "streamed_exact": case("i,j,k->ijk", (30,), (40,), (50,), dtypes="int32"),
    "copy": case("ij->ji", (70, 40), dtypes="float32"),
    "copy_past": case("ij->ji", (128, 70), dtypes="float32"),
    "copy_streamed": case("ijk->jik", (7, 60, 80), dtypes="complex128"),
    "collected": case("ijk->ikj", (200, 9, 10), dtypes="float32"),
    "collected_rows": case("ijkl->lkji", (9, 7, 50, 9)),
    "collected_long": case("ij->ji", (250, 190), dtypes="uint8"),
    "collected_as_they_are": case("ijkl->kjil", (9, 4, 40, 5), dtypes="float32"),
    "copy_of_rows": case("ijk->jik", (7, 6, 40), dtypes="int8"),
    # Tiny sums.
    "unrolled": case("bij,bjk->bik", (70, 3, 3), (70, 3, 3), dtypes="float32"),
    "unrolled_held": case("ij,bj->bi", (3, 3), (90, 3)),
    # A long batch of small products.
    "batched": case("bij,bjk->bik", (70, 3, 3), (70, 3, 3), dtypes="complex64"),
    "batched_turned": case("bij,kbj->bki", (70, 5, 4), (6, 70, 4), dtypes="float32"),
    "batched_boxes": case("ek,jk->ej", (600, 5), (4, 5)),
    "batched_past": case("bij,bjk->bik", (300, 4, 5), (300, 5, 8)),
    "batched_tiles": case(
        "bijmc,bkijcn->bkmn", (64, 2, 3, 30, 4), (64, 2, 2, 3, 4, 9), dtypes="int32"
    ),
    # Packed boxes.
    "packed": case("ji,jk->ik", (24, 30), (24, 40)),
    "packed_by_a_box": case("hklab,lhkcd->hacbd", (2, 3, 5, 7, 6), (5, 2, 3, 4, 5)),
    "packed_rows_of_panels": case("ab,cbd->acd", (20, 30), (5, 30, 22)),
    "packed_where_it_lies": case("bij,bjk->bik", (3, 20, 8), (3, 8, 16), dtypes="float32"),
    "packed_strips": case("ji,jk->ik", (64, 90), (64, 90)),
    "packed_strips_of_runs": case("aji,jk->aik", (12, 40, 50), (40, 60)),
    "packed_kept": case("ij,jk->ik", (90, 64), (64, 90)),
    "packed_kept_short_rows": case("iab,jba->ij", (30, 20, 8), (400, 8, 20)),
    "packed_exact": case("ij,jk->ki", (20, 30), (30, 20), dtypes="int32", layouts=("F", "C")),
    "packed_side_by_side": case("ijc,jkc->ikc", (12, 16, 20), (16, 14, 20), dtypes="float32"),
    "packed_scattered": case(
        "aibjckdl,eifjgkhlmn->anbmchgfed",
        (3, 2, 2, 2, 2, 2, 2, 3),
        (2, 2, 3, 2, 2, 2, 2, 3, 2, 2),
    ),
    "packed_past": case("ij,jk->ik", (70, 20), (20, 72)),
    "packed_side_by_side_past": case("ijc,jkc->ikc", (12, 16, 30), (16, 16, 30)),
    "packed_spans": case("ji,jk->ik", (5000, 16), (5000, 9)),
    # More operands than a line holds.
    "many_operands": case("ab,bc,cd,de,ef,fa,ad->", *[(2, 3), (3, 2)] * 3, (2, 3)),
}


PARTS = {
    "macrokernel": Macrokernel("float64", 4, 3),
    "macrokernel_exact": Macrokernel("uint32", 8, 2),
    "macrokernel_far": Macrokernel("float32", 8, 2, far=True),
    "macrokernel_past": Macrokernel("int16", 16, 3, past=True),
    "macrokernel_pairs": Macrokernel("int64", 4, 3, terms=2),
    "macrokernel_fours": Macrokernel("uint8", 16, 3, terms=4),
    "move": Move(8, 4),
    "move_far": Move(8, 4, far=True),
    "move_past": Move(8, 8, past=True),
    "move_strips": Move(8, 8, strips=True),
    "scatter": Scatter(8, 4),
}
"""What packed contractions share, for a CPU that this one need not be."""

SMALL = {
    "caches": (2 << 10, 16 << 10),
    "last_cache": 64 << 10,
    "vector_bytes": 32,
    "vector_registers": 16,
    "cores": 2,
    "page": 128,
}
"""A CPU whose caches hold little: small operands are packed, in several boxes."""


def plan_of(case, optimize=False):
    with blocked_for(**SMALL):
        return _plan_of(case, optimize)


def _plan_of(case, optimize):
    operands = [as_plain(operand) for operand in case.operands(1)]
    equation = parse(case.subscripts, [operand.ndim for operand in operands])
    dtype = np.result_type(*operands).name
    order = "C" if len(operands) == 1 else "K"  # else the result may be a view
    return make_plan(
        equation, list(map(Layout.of, operands)), dtype, order=order, optimize=optimize
    )


def nests(plan):
    return [step.lowered.nest for step in plan.steps if step.lowered.nest]


def tool(*arguments):
    """What ruff says, by its own rules and not the project's."""
    command = [sys.executable, "-m", "ruff", *arguments, "--isolated", "--no-cache"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def random_sources():
    """The sources of a few hundred structures of random equations, by their module's name."""
    rng, found = Random(23), {}

    def add(structures):
        for source in map(Source, structures):
            found[source.module] = source

    while len(found) < 400:
        drawn = random_case(rng, 3000)
        if all("longdouble" not in dtype for dtype in drawn.dtypes):
            for optimize in (False, "auto"):
                add(nests(plan_of(drawn, optimize)))
    while len(found) < 700:
        add(nests(plan_of(random_product(rng, 30_000))))
    add([packed for packed in deepest() if packed.k < 9][::7])  # of 9 a sum is too long for a line
    either = (False, True)
    add(Macrokernel(*facts) for facts in product(MULTIPLIED, (4, 16), (2, 12), either, either))
    for dtype, terms in (("int8", 4), ("int16", 2), ("uint64", 2)):
        add(Macrokernel(dtype, 16, 3, *facts, terms) for facts in product(either, either))
    add(Move(*facts) for facts in product((1, 8, 16), (2, 4, 16), either, either))
    add(Scatter(*facts) for facts in product((1, 8, 16), (2, 4, 16)))
    while len(found) < 800:
        add(nests(plan_of(random_short_loops(rng))))
    return found


# --- golden texts


def golden_kernel(name, structure, request):
    """The kernel of a golden text, which is what is written today."""
    written = Source(structure).text
    path = FOLDER / f"{name}.py"
    if request.config.getoption("--update-golden"):
        path.write_text(written)
    text = path.read_text()
    assert text == written
    return Kernel(Source(structure))


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name, request):
    plan = plan_of(GOLDEN[name])
    nest = plan.steps[0].lowered.nest
    kernels = {nest: golden_kernel(name, nest, request)}

    def kernel(other):
        return kernels.get(other) or registry.kernel(other)

    call = ready(plan, registry.native, kernel, registry.shared)
    large = plan.steps[0].lowered.loops.iterations > LARGE
    for kind in ("integers",) if large else ("integers", "real"):
        operands = GOLDEN[name].operands(7, kind)
        _check(call(GOLDEN[name].subscripts, *map(as_plain, operands)), kind, name, operands)
    assert kernels[nest].calls == (1 if large else 2)


def _check(result, kind, name, operands):
    subscripts = GOLDEN[name].subscripts
    expected = reference.einsum(subscripts, *operands)
    assert result.dtype == expected.dtype
    assert result.shape == expected.shape
    if kind == "integers":
        assert np.asarray(result).tobytes() == expected.tobytes()
    else:
        error = abs(np.subtract(result, expected, dtype=np.result_type(expected, np.float64)))
        assert (error <= reference.error_bound(subscripts, *operands)).all()


def test_golden_files_are_those_of_the_table():
    assert sorted(path.stem for path in FOLDER.glob("*.py")) == sorted([*GOLDEN, *PARTS])


@pytest.mark.parametrize("name", [*GOLDEN, *PARTS])
def test_no_range_checks_its_step(name):
    """What is raised for a step of 0 needs numba to be loaded."""
    text = (FOLDER / f"{name}.py").read_text()
    assert not re.search(r"range\([^()]*(\([^()]*\))?[^()]*, [^()]*, [a-z]\w*\)", text)


def test_golden_nests_cover_every_part():
    found = {name: plan_of(case).steps[0].lowered.nest for name, case in GOLDEN.items()}
    assert len(set(found.values())) == len(found)
    found = {name: nest for name, nest in found.items() if isinstance(nest, Nest)}
    seen = {(nest.kind, min(nest.tile, 2), nest.strip) for nest in found.values()}
    assert seen >= {
        ("product", 0, False),
        ("product", 1, False),
        ("product", 2, False),
        ("product", 0, True),
        ("product", 1, True),
        ("product", 2, True),
        ("register_sum", 0, False),
        ("register_sum", 1, False),
        ("register_sum", 2, False),
        ("strip_sum", 0, True),
        ("strip_sum", 1, False),
        ("strip_sum", 1, True),
    }
    spans = {
        (nest.kind, nest.span == nest.loops - 1) for nest in found.values() if nest.span is not None
    }
    assert spans == {
        ("register_sum", True),
        ("register_sum", False),
        ("strip_sum", False),
        ("columns", False),
    }
    together = [n for n in found.values() if n.together and n.kind == "strip_sum"]
    assert {(nest.far > 0, nest.strip) for nest in together} == {
        (False, False),
        (False, True),
        (True, False),
        (True, True),
    }
    tiled = [nest for nest in found.values() if isinstance(nest, Tiled)]
    assert {nest.streams for nest in tiled} == {True, False}
    assert {(bool(nest.contracted), nest.across in nest.contracted) for nest in tiled} == {
        (False, False),
        (True, False),
        (True, True),
    }
    joint = {nest.kind for nest in found.values() if "jointly" in Source(nest).text}
    assert len(joint) == 3
    exact = {(nest.kind, ELEMENTS[nest.compute].exact) for nest in found.values()}
    assert len(exact) == 18
    assert {nest.compute for nest in found.values()} >= {"bool", "float32", "complex64", "int16"}


def test_golden_packed_contractions_cover_every_part():
    found = [plan_of(case).steps[0].lowered for case in GOLDEN.values()]
    packed = [lowered.nest for lowered in found if lowered.name == "packed"]
    ways = {(nest.pack_a, nest.pack_b, nest.direct) for nest in packed}
    assert ways >= {(True, True, True), (True, True, False), (False, False, True)}
    assert {nest.rows for nest in packed} == {True, False}
    assert {bool(nest.batch) for nest in packed} == {True, False}
    assert {bool(nest.boxed) for nest in packed} == {True, False}
    assert {nest.span is None for nest in packed} == {True, False}
    assert {nest.kept for nest in packed} == {True, False}
    assert {(nest.past, nest.direct) for nest in packed} == set(product((True, False), repeat=2))
    assert {any(nest.far) for nest in packed} == {True, False}
    assert {nest.scattered for nest in packed} >= {(False,) * 3, (True,) * 3}
    assert any(min(nest.m, nest.n, nest.k) > 1 for nest in packed)
    assert max(lowered.tiles for lowered in found if lowered.name == "packed") > 2


@pytest.mark.parametrize("name", [name for name in PARTS if name.startswith("macrokernel")])
def test_golden_macrokernel(name, request):
    """Each height and width of a register tile, A in either order, with its rows in pages of their
    own and in strips, C overwritten and added to."""
    kernel = function_of(golden_kernel(name, PARTS[name], request))
    dtype, lanes = PARTS[name].dtype, PARTS[name].lanes
    rng = np.random.default_rng(2)
    adds = (0,) if PARTS[name].past else (0, 1)
    sizes = product(range(1, 9), range(1, 5 * lanes + 2), "CFPS", adds, (False, True))
    for m, n, order, add, panels in sizes:
        depth = rng.integers(1, 9)
        a = np.array(rng.integers(0, 9, (m, depth)), dtype, order="F" if order == "F" else "C")
        if order == "P":
            a = in_pages(a)
        b = np.array(rng.integers(0, 9, (depth, n + 3)), dtype)
        line = 64 // np.dtype(dtype).itemsize
        left, wide = (2, n + 5) if n % 2 else (line, -(-n // line) * line + 2 * line)
        room = in_lines(np.full((m + 2, wide), 101, dtype))
        expected = room.copy()
        c = room[1:-1, left : left + n]
        expected[1:-1, left : left + n] = a @ b[:, :n] + (c if add else 0)
        if not add:
            junk(c)
        strides = [stride // a.itemsize for stride in (*a.strides, b.strides[0], c.strides[0])]
        a_m, a_k, b_k, c_m = strides
        a_i, b_j, packed_a = a_m, 1, a
        if order == "S":
            packed_a, a_k = in_strips(a, PARTS[name])
            a_i, a_m = depth + SPARE_TERMS, 1
        if panels:
            b = in_panels(b[:, :n], 2 * lanes)
            b_j, b_k = depth, 2 * lanes
        at = [array.ctypes.data for array in (packed_a, b, c)]
        kernel(m, n, depth, at[0], a_i, a_m, a_k, at[1], b_j, b_k, at[2], c_m, add)
        np.testing.assert_array_equal(room, expected)


def in_strips(matrix, kernel):
    """Strips of a few rows, the columns of each side by side, and how many those are; as many as
    the macrokernel has, room behind each."""
    m, depth = matrix.shape
    height = -(-m // -(-m // kernel.rows))
    whole = np.zeros((kernel.stripped(m), depth + SPARE_TERMS), matrix.dtype)
    whole[:m, :depth] = matrix
    strips = [whole[i : i + height].T.ravel() for i in range(0, m, height)]
    return np.concatenate([*strips, np.zeros(kernel.high, matrix.dtype)]), height


def test_golden_move_into_strips(request):
    """Strips of every height, of whole vectors and less; nothing is written behind their room."""
    kernel = function_of(golden_kernel("move_strips", PARTS["move_strips"], request))
    rng, of = np.random.default_rng(3), Macrokernel("float64", 4, 6)
    for terms, rows in product((1, 2, 3, 4, 5, 9), range(1, 29)):
        a = np.array(rng.standard_normal((rows, terms)), order="F")
        expected, height = in_strips(a, of)
        found = np.zeros(expected.size + 3)
        long = terms + SPARE_TERMS
        at = found.ctypes.data, a.ctypes.data
        kernel(terms, rows, at[0], height, 1, long, at[1], a.strides[1] // 8, 1)
        for i in range(0, rows, height):
            strip, wanted = (
                whole[i * long : i * long + terms * height].reshape(terms, height)[:, : rows - i]
                for whole in (found, expected)
            )
            np.testing.assert_array_equal(strip, wanted)
        assert not found[-3:].any()


def in_lines(array):
    """The same array, as it lies, from where a cache line begins."""
    room = np.zeros(array.nbytes + 64, np.uint8)
    first = -room.ctypes.data % 64
    made = np.ndarray(array.shape, array.dtype, room, first, array.strides)
    made[...] = array
    return made


@pytest.mark.parametrize("name", ["move", "move_far", "move_past"])
def test_golden_move(name, request):
    """To and from any strides, and nothing but what was asked for is written."""
    kernel = function_of(golden_kernel(name, PARTS[name], request))
    rng = np.random.default_rng(3)
    layouts = ("C", "F", "negative", "stepped", "tangled", "broadcast")
    sizes = ((1, 1), (1, 9), (9, 1), (4, 4), (3, 5), (5, 3), (8, 12), (9, 14), (16, 24), (17, 32))
    for shape, to, source in product(sizes, layouts[:-1], layouts):
        values = np.broadcast_to(rng.standard_normal(shape[1]), shape)
        values = values if source == "broadcast" else values + np.arange(shape[0])[:, None]
        y = lay_out(values, source, rng)
        x = lay_out(np.zeros(shape), to, rng)
        if to in "CF":
            x = in_lines(x)
        room = x
        while room.base is not None:
            room = room.base
        before = room.copy()
        strides = [[stride // 8 for stride in array.strides] for array in (x, y)]
        kernel(*shape, x.ctypes.data, *strides[0], 1, y.ctypes.data, *strides[1])
        np.testing.assert_array_equal(x, values)
        x[...] = 0
        np.testing.assert_array_equal(room, before)


@pytest.mark.parametrize("number", range(3))
def test_golden_scatter(request, number):
    """Loops in any order, of one place to more than the table has, elements and blocks of them, and
    nothing else is written."""
    kernel = function_of(golden_kernel("scatter", PARTS["scatter"], request))
    rng = np.random.default_rng(number)
    shapes = [
        (),
        (1,),
        (7,),
        (2,) * 8,
        (3, 5, 7, 2),
        (300,),
        (2, 257, 2),
        (16, 31),
        (2, 3, 2, 3, 2),
    ]
    shapes += [(4, 3, 4), (4, 5, 8), (2,) * 7, (8, 40, 12), (6, 4, 2, 2)]
    layouts = ("C", "F", "negative", "stepped", "tangled")
    for shape, to, source in product(shapes, layouts, layouts):
        values = rng.standard_normal(shape)
        y, x = lay_out(values, source, rng), lay_out(np.zeros(shape), to, rng)
        room = x
        while room.base is not None:
            room = room.base
        before = room.copy()
        loops = np.array([shape, x.strides, y.strides], np.int64).T // [1, 8, 8]
        loops = rng.permutation(loops)
        kernel(loops.ctypes.data, len(loops), x.ctypes.data, y.ctypes.data)
        np.testing.assert_array_equal(x, values)
        x[...] = 0
        np.testing.assert_array_equal(room, before)


@pytest.mark.parametrize("layout", ["C", "F", "negative", "stepped", "tangled", "broadcast"])
def test_golden_move_into_panels(request, layout):
    kernel = function_of(golden_kernel("move", PARTS["move"], request))
    rng, wide = np.random.default_rng(3), 2 * PARTS["move"].lanes
    for rows, columns in product((1, 2, 4, 5, 9), (1, 3, 4, 7, 8, 9, 12, 14, 16, 17, 29)):
        values = np.broadcast_to(rng.standard_normal(columns), (rows, columns))
        values = values if layout == "broadcast" else values + np.arange(rows)[:, None]
        y = lay_out(values, layout, rng)
        expected = in_panels(values, wide)
        found = np.zeros(expected.size + 3)
        row, column = (stride // 8 for stride in y.strides)
        kernel(rows, columns, found.ctypes.data, wide, 1, rows, y.ctypes.data, row, column)
        np.testing.assert_array_equal(found[:-3], expected)
        assert not found[-3:].any()


def in_panels(matrix, wide):
    """The columns of a matrix, so many at a time, each panel by itself; what is left of the last
    one is 0."""
    room = np.zeros((matrix.shape[0], -(-matrix.shape[1] // wide) * wide), matrix.dtype)
    room[:, : matrix.shape[1]] = matrix
    return np.concatenate([room[:, j : j + wide].ravel() for j in range(0, room.shape[1], wide)])


def function_of(kernel):
    words = [ctypes.c_ssize_t] * len(kernel.source.nest.arguments)
    function = ctypes.CFUNCTYPE(None, *words)(kernel.address)
    function.kernel = kernel  # lives as long
    return function


def test_golden_texts_are_formatted_and_use_every_name():
    width = str(WIDTH)
    assert tool("format", "--check", "--line-length", width, str(FOLDER))[0] == 0
    assert tool("check", "--select", "F", str(FOLDER)) == (0, "All checks passed!\n")


# --- what holds for any text


def test_any_text_is_formatted_and_uses_every_name(random_sources, tmp_path):
    for source in random_sources.values():
        (tmp_path / f"{source.module.rpartition('.')[2]}.py").write_text(source.text)
    code, said = tool("format", "--diff", "--line-length", str(WIDTH), str(tmp_path))
    assert code == 0, said
    assert tool("check", "--select", "F", str(tmp_path)) == (0, "All checks passed!\n")


def test_any_text_is_python(random_sources):
    for source in random_sources.values():
        code = compile(source.text, source.module, "exec")
        functions = [c.co_name for c in code.co_consts if isinstance(c, CodeType)]
        assert functions == ["contract"]


NAMES = re.compile(
    r"""n_[a-z]\d* | [A-Z]\d*_([a-z]\d*|tile|held|turned) | at_[A-Z]\d*(_\d)? | hoisted_\d+(_\d)?
    | [a-z]\d*(_\d)? | [A-Z]\d* | (box|boxes|block|e|flat|part|parts)_[a-z]""",
    re.VERBOSE,
)
WORDS = {
    *("contract", "first", "last", "operands", "sizes", "range", "CODEGEN", "_"),
    *("tile", "rest", "joint", "strips", "low", "high", "start", "stop", "span"),
    *("total", "totals", "group", "C_part", "C_span", "part", "run", "terms", "block", "end"),
    *("box", "element", "length", "made", "sums", "turned", "factor", "begin", "vectors"),
    *("scatter", "loops", "loop", "count", "extent", "done", "times", "other", "together", "whole"),
    *("given", "word", "taken", "far", "nearest", "next_", "rows_x", "rows_y", "side_x", "side_y"),
    *("abs", "step", "in_x", "in_y", "to_x", "to_y", "places", "place"),
    *("macrokernel", "move", "move_far", "move_past", "move_strips", "row_ahead", "lines"),
    *("product", "arena"),
    *("m_boxes", "n_boxes", "blocks", "tiles_m", "per_tile", "panels"),
    *("m_first", "m_last", "m_box", "n_box", "a_box", "b_box", "c_box", "c_first", "to_b"),
    *("to_c", "held", "piece"),
    *("width", "depth", "height", "b_k", "c_m", "a_i", "a_m", "a_k", "at_a", "at_b", "at_c"),
    *("accumulate", "rows", "row", "columns", "column", "source", "to", "to_panel", "most"),
    *("copy", "strip", "at", "s_m", "ahead", "from_row", "b_j", "wide", "from_"),
    *("asked", "ask_c", "nothing", "next_strip", "further", "run", "again", "below", "above"),
    *("pairs_a", "pairs_b", "kept", "summed"),
    *("to_row", "to_column", "whole_rows", "whole_columns", "row_a", "row_b", "row_c"),
    *("numba", "types", "einjit", "kernel", *CALLED, *sum(CALLED.values(), ())),
    *(element.carrier for element in ELEMENTS.values()),
}


def test_no_text_of_the_users_gets_in(random_sources):
    """Every name is one of the generator's, and there is no string but the docstring."""
    for source in random_sources.values():
        strings = []
        for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
            if token.type == tokenize.NAME and not keyword.iskeyword(token.string):
                assert token.string in WORDS or NAMES.fullmatch(token.string), token.string
            if token.type == tokenize.STRING:
                strings.append(token.string)
        assert len(strings) == 1
        assert source.text.translate(dict.fromkeys(map(ord, "Σ×"))).isascii()


def test_a_letter_is_a_loop(random_sources):
    """The writers' own names are words: a nest of many loops would have their letters too."""
    for source in random_sources.values():
        if hasattr(source.nest, "loops"):
            loops = set(map(index_name, range(source.nest.loops)))
            names = {node.id for node in ast.walk(ast.parse(source.text)) if is_set(node)}
            assert {name for name in names if re.fullmatch(r"[a-z]([1-9]\d*)?", name)} <= loops


def is_set(node):
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def test_letters_do_not_matter():
    texts = set()
    for subscripts in ("ij,jk->ik", "Zq,qX->ZX", " b a , a c -> b c ", "...y,yz->...z"):
        (nest,) = nests(plan_of(case(subscripts, (3, 4), (4, 5))))
        texts.add(Source(nest).text)
    assert len(texts) == 1


def test_same_nest_same_bytes():
    """In this process and in others, whatever the seed of their hashes."""
    digests = {_digest()}
    code = "import sys; sys.path[:0] = [sys.argv[1]]; import test_source as t; print(t._digest())"
    for seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", code, str(Path(__file__).parent)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        digests.add(done.stdout.strip())
    assert len(digests) == 1


def _digest():
    structures = [nest for case in GOLDEN.values() for nest in nests(plan_of(case))]
    texts = [Source(structure).text for structure in (*structures, *PARTS.values())]
    return hashlib.sha256("".join(texts).encode()).hexdigest()


def test_other_nest_other_module(random_sources):
    assert len({source.nest for source in random_sources.values()}) == len(random_sources)
    for module, source in random_sources.items():
        assert re.fullmatch(rf"einjit\.generated\.{source.nest.kind}_[0-9a-f]{{16}}", module)
        assert str(source) == source.text


def test_the_header_is_the_print_of_the_step():
    (nest,) = nests(plan_of(case("ij,jk->ik", (70, 20), (20, 30), dtypes="float16")))
    header = Source(nest).text.split('"""')[1]
    assert header == (
        "ab,bc->ac\n\n"
        "A[a, b]: float16\n"
        "B[b, c]: float16\n"
        "C[a, c]: float16, summed in float32\n"
        "a: free, runs in parallel\n"
        "b: contracted\n"
        "c: free, innermost, unit stride in B, C\n"
    )


# --- texts as plain Python


def carry_out(plan, operands, out, rng):
    """The result of a plan, its texts run as they stand, the tiles in pieces and any order."""
    pairs = zip(operands, plan.cast, strict=True)
    slots = [np.array(o, plan.result.dtype, order="C") if cast else o for o, cast in pairs]
    for step in plan.steps:
        lowered, inputs = step.lowered, [slots[i] for i in step.inputs]
        given = out if step is plan.steps[-1] else None
        if lowered.name == "empty":
            made = np.zeros(step.result.shape, step.result.dtype)
        elif lowered.nest is None:  # a view or a copy
            pairs = zip(lowered.loops.indices, lowered.loops.strides[0], strict=True)
            along = {index: stride * inputs[0].itemsize for (index,), stride in pairs}
            made = as_strided(inputs[0], step.result.shape, [along[i] for i in step.kept])
            made = made.astype(step.result.dtype)
        else:
            made = junk(allocate(step.result)) if given is None else given
            arrays = [*(inputs[i] for i in lowered.order), made]
            contract, given = bound(lowered, arrays)
            cuts = sorted({0, lowered.tiles, *(rng.randint(0, lowered.tiles) for _ in range(2))})
            for first, past in rng.sample(pieces := list(pairwise(cuts)), len(pieces)):
                contract(first, past, *given)
        slots.append(made)
    return slots[-1]


def bound(lowered, arrays):
    """The function of a nest's or packed contraction's text, its operands and its sizes."""
    nest, text = lowered.nest, Source(lowered.nest).text
    if isinstance(nest, Nest):
        return contract_of(text, NESTS), (arrays, lowered.sizes)
    scratch = junk(np.empty(scratch_bytes(nest, lowered.sizes) // 8))
    parts = [Source(part).text for part in nest.needs]
    space = Space([*arrays, scratch], *parts)
    addresses = [array.ctypes.data for array in arrays]
    functions = range(1, len(parts) + 1)
    return space.contract(text), (addresses, (*functions, scratch.ctypes.data, *lowered.sizes))


def test_texts_mean_what_the_reference_says(monkeypatch):
    """Also with limits so low that small operands reach every part."""
    rng, kinds = Random(31), Counter()
    for _ in range(800):
        with monkeypatch.context() as patch:
            if rng.random() < 0.8:
                low = {"LONG_SUM": 9, "TILES": 4, "FEW_TILES": 5, "SPANS": 3}
                for name, limit in low.items():
                    for module in (lowering, nesting, spans, columns_plan):
                        if hasattr(module, name):
                            patch.setattr(module, name, limit)
                patch.setattr(tiling, "LEAST", 0)
                patch.setattr(tiling, "last_cache", lambda: 0)
                patch.setattr(dots, "LONG_ROW", rng.choice((0, 4)))
                patch.setattr(columns_plan, "ROWS", rng.choice((1, 16)))
                patch.setattr(streamed_plan, "ROW_VECTORS", rng.choice((0, 6)))
                patch.setattr(nest_plan, "STRIP", 48)
                patch.setattr(nest_plan, "FAR_STRIP", 72)
                patch.setattr(nesting, "FEWER_TOGETHER", rng.choice((2, 3)))
                patch.setattr(nesting, "FAR_TOGETHER", rng.choice((2, 3)))
                for module in (nesting, nest_writer):
                    patch.setattr(module, "STRIPS", 2)
                patch.setattr(nesting, "LONG_ROW", rng.choice((0, 1 << 10)))
                patch.setattr(nesting, "SHORT_STRIP", rng.choice((4, 1 << 10)))
                patch.setattr(nesting, "STREAMED_ROW", rng.choice((0, 0, 0, 40)))
                patch.setattr(nesting, "FEW_TERMS", 3)
                far = rng.random() < 0.7
                patch.setattr(nesting, "is_far", lambda _, far=far: far)
                for writer in (nest_writer, tiled_writer, dots_writer, columns_writer):
                    patch.setattr(writer, "BLOCK", rng.choice((2, 3)))
                patch.setattr(planning, "EARLY", 6)
                patch.setattr(planning, "CAST_FIRST", rng.choice((0, 5)))
                patch.setattr(paths, "STEP", rng.choice((0, 50)))
            drawn = random_case(rng, 400)
            given = drawn.operands(1)
            expected = reference.einsum(drawn.subscripts, *given)
            operands = list(map(as_plain, given))
            out = junk(np.empty([2 * n for n in expected.shape], expected.dtype))
            out = out[(*[slice(None, None, -2)] * out.ndim, ...)] if rng.random() < 0.3 else None
            plan = make_plan(
                parse(drawn.subscripts, [operand.ndim for operand in operands]),
                list(map(Layout.of, operands)),
                expected.dtype.name,
                out=None if out is None else Layout.of(out),
                order=rng.choice("KCFA"),
                optimize=rng.choice(("auto", False, "greedy")),
            )
            with np.errstate(over="ignore"):  # integers wrap
                result = carry_out(plan, operands, out, rng)
            assert result.dtype == expected.dtype, drawn
            assert result.shape == expected.shape, drawn
            assert result.tobytes() == expected.tobytes(), drawn
            for nest in nests(plan):
                kinds.update([nest.kind, nest.strip * "strip", "span" * (nest.span is not None)])
                kinds["far strips"] += nest.kind == "strip_sum" and nest.far > 0
    seldom = {"tiled", "dots", "columns", "multiplied"}  # asked for below
    assert min(number for kind, number in kinds.items() if kind not in seldom) > 40, kinds


ASKED_FOR = {
    "tiled": ("ij,ji->ij", "kij,kji->ij", "ij,ji->i", "kij,ji,k->ij", "ij,kji->k", "abc,cba->ba"),
    "columns": ("ij->j", "ij,i->j", "ij,ij->j", "ij,ik->kj", "bij,bik->bjk", "gbij,gi->bj"),
    "dots": ("ij,kj->ik", "ij,kj->ki", "bgd,bsd->bgs", "bsd,bgd->bgs", "gd,sbd->bgs"),
    "copy": ("ij->ji", "ijk->kji", "ijk->jik", "abcd->dbca", "iij->ji"),
    "multiplied": ("ij,j->ij", "i,j->ij", "ijk,ik->ijk", "ij,ij,j,->ij", ",ij->ij"),
}


@pytest.mark.parametrize("kind", ASKED_FOR)
def test_texts_of_tiles_and_rows_mean_what_the_reference_says(kind, monkeypatch):
    """Of every extent up to some more than a block's or a vector's, in all types, few in a tile."""
    monkeypatch.setattr(tiling, "LEAST", 0)
    monkeypatch.setattr(dots, "LONG_ROW", 1)
    for limit in ("ROWS", "ROWS_OF_BATCH", "VECTORS_OF_BATCH"):
        monkeypatch.setattr(columns_plan, limit, 1)
    monkeypatch.setattr(columns_plan, "LONG_SUM", 300)
    monkeypatch.setattr(streamed_plan, "ROW_VECTORS", 1)
    rng, seen = Random(37), 0
    for number in range(90):
        monkeypatch.setattr(tiling, "last_cache", lambda large=number % 2: large << 40)
        for writer in (tiled_writer, dots_writer, columns_writer):
            monkeypatch.setattr(writer, "BLOCK", rng.choice((1, 2, 256)))
        subscripts = rng.choice(ASKED_FOR[kind])
        extents = {letter: rng.choice((1, 2, 3, 5, 16, 17, 21, 32)) for letter in "abcdghijks"}
        terms = subscripts.split("->")[0].split(",")
        shapes = [tuple(extents[letter] for letter in term) for term in terms]
        types = [name for name in ELEMENTS if name != "float16"]
        if kind == "multiplied":
            types = ["complex64", "complex128"]
        drawn = case(subscripts, *shapes, dtypes=rng.choice(types))
        operands = list(map(as_plain, drawn.operands(1)))
        expected = reference.einsum(subscripts, *operands)
        with blocked_for(vector_bytes=rng.choice((16, 32, 64))):
            plan = _plan_of(drawn, False)
            with np.errstate(over="ignore"):  # integers wrap
                result = carry_out(plan, operands, None, rng)
        assert result.tobytes() == expected.tobytes(), drawn
        seen += sum(nest.kind == kind for nest in nests(plan))
    assert seen > 10


def test_texts_of_many_loops_mean_what_the_reference_says(monkeypatch):
    """No name of the writers' is that of a loop."""
    rng, kinds = Random(41), Counter()
    types = [name for name in ELEMENTS if name != "float16"]
    monkeypatch.setattr(tiling, "LEAST", 0)
    monkeypatch.setattr(columns_plan, "ROWS", 1)
    for number in range(160):
        monkeypatch.setattr(tiling, "last_cache", lambda large=number % 2: large << 40)
        for writer in (tiled_writer, columns_writer):
            monkeypatch.setattr(writer, "BLOCK", rng.choice((2, 256)))
        drawn = random_many_loops(rng, types)
        given = drawn.operands(1)
        expected = np.einsum(drawn.subscripts, *given)
        operands = list(map(as_plain, given))
        with blocked_for(vector_bytes=rng.choice((16, 32, 64))):
            plan = make_plan(
                parse(drawn.subscripts, [operand.ndim for operand in operands]),
                list(map(Layout.of, operands)),
                expected.dtype.name,
                order="C",
            )
            with np.errstate(over="ignore"):  # integers wrap
                result = carry_out(plan, operands, None, rng)
        np.testing.assert_array_equal(result, expected, drawn.subscripts)
        kinds.update(nest.kind for nest in nests(plan) if nest.loops > 8)
    assert kinds.keys() >= {"product", "strip_sum", "register_sum", "copy", "tiled"}


def random_batch(rng):
    """Matrices whose rows are whole vectors: such as need no packing."""
    m, n, k = rng.randint(2, 9), rng.choice((16, 32, 64)), rng.randint(2, 9)
    dtypes = (rng.choice(MULTIPLIED),) * 2
    return Case("hij,hjk->hik", ((2, m, k), (2, k, n)), dtypes, ("C", "C"))


FACTS = ("direct", "past", "pack_a", "pack_b", "rows", "strips", "boxed", "span")


def test_packed_texts_mean_what_the_reference_says(monkeypatch):
    """With caches so small that every group is cut into boxes, on CPUs of all kinds."""
    rng, kinds = Random(37), Counter()
    for name, limit in {
        "LONG": 12,
        "LONG_TOGETHER": 12,
        "FEWEST_SPANS": 2,
        "SPANS_OF_PRODUCT": 3,
    }.items():
        monkeypatch.setattr(lowering, name, limit)
    for number in range(250):
        facts = {
            "caches": rng.choice(((256, 1024), (512, 2048), (2048, 1 << 14), (1 << 15, 1 << 18))),
            "vector_bytes": rng.choice((16, 32, 64)),
            "vector_registers": rng.choice((16, 32)),
            "cores": rng.choice((1, 4)),
            "last_cache": 1 << (8 if number % 3 else 25),
        }
        monkeypatch.setattr(packing, "SHORT_BLOCK", 64 * (number % 2))
        monkeypatch.setattr(packing, "TURNED_COLUMNS", 4 * (number % 3))
        drawn = random_product(rng, 2500) if number % 10 else random_batch(rng)
        if number % 4 == 3:
            drawn = random_short_loops(rng)
        given = drawn.operands(1)
        expected = reference.einsum(drawn.subscripts, *given)
        operands = list(map(as_plain, given))
        out = junk(np.empty([2 * n for n in expected.shape], expected.dtype))
        out = out[(*[slice(None, None, -2)] * out.ndim, ...)] if rng.random() < 0.3 else None
        with packing_all(**facts):
            plan = make_plan(
                parse(drawn.subscripts, [operand.ndim for operand in operands]),
                list(map(Layout.of, operands)),
                expected.dtype.name,
                out=None if out is None else Layout.of(out),
                order=rng.choice("KCFA"),
            )
        with np.errstate(over="ignore"):  # integers wrap
            result = carry_out(plan, operands, out, rng)
        assert result.tobytes() == expected.tobytes(), (drawn, facts)
        for nest in nests(plan):
            if nest.kind == "packed":
                for part in FACTS:
                    kinds[part, getattr(nest, part) not in (None, 0)] += 1
                kinds["scattered", any(nest.scattered)] += 1
                kinds["far", any(nest.far)] += 1
                kinds["boxed together", nest.boxed > 1] += 1
        for step in plan.steps:
            if step.lowered.name == "packed":
                sizes = dict(zip(step.lowered.nest.sizes(), step.lowered.sizes, strict=True))
                kinds["held", bool(sizes["held"] and sizes["per_tile"] > 1)] += 1
    assert len(kinds) == 24
    assert min(kinds.values()) >= 4, kinds


# --- names and lines


def test_names_go_on_behind_z():
    numbers = (0, 25, 26, 51, 52, 77)
    assert [index_name(n) for n in numbers] == ["a", "z", "a1", "z1", "a2", "z2"]
    assert [operand_name(n) for n in numbers] == ["A", "Z", "A1", "Z1", "A2", "Z2"]
    assert len({index_name(n) for n in range(500)}) == 500


def test_writer():
    w = Writer()
    w.line("n = 3", "a size")
    with w.block("for i in range(n):", "rows"):
        w.line("x = i")
        w.line()
        with w.block("if x:"):
            w.line("y = " + "x" * (WIDTH - 12), "no room behind it")
    w.line("done = n")
    assert w.text().splitlines() == [
        "n = 3  # a size",
        "for i in range(n):  # rows",
        "    x = i",
        "",
        "    if x:",
        "        # no room behind it",
        "        y = " + "x" * (WIDTH - 12),
        "done = n",
    ]


def test_a_comment_stands_behind_as_long_as_it_fits():
    for n, n_lines in ((WIDTH - 8, 1), (WIDTH - 7, 2)):
        w = Writer()
        w.line("x" * n, "1234")
        assert len(w.lines) == n_lines
        assert max(map(len, w.lines)) <= WIDTH


def test_each_called_name_has_a_meaning():
    carriers = {element.carrier for element in ELEMENTS.values()}
    assert {*sum(CALLED.values(), ()), *carriers} == MEANINGS.keys()
