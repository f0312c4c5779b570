"""Operands and outputs against unreadable pages, at both ends: nothing beside them is touched."""

import ctypes
import mmap
import sys
from random import Random

import children
import numpy as np
import pytest
from strategies import Case, random_case, random_product
from targets import blocked_for

import einjit
from einjit.registry import registry

PAGE = mmap.PAGESIZE
PROT_NONE = 0

LARGE = (
    # packed: where they lie, in boxes, transposed, in batches, in spans
    ("ij,jk->ik", (67, 301), (301, 83)),
    ("ji,jk->ik", (131, 67), (131, 90)),
    ("aji,jk->aik", (5, 31, 47), (31, 90)),
    ("ij,kj->ik", (61, 259), (77, 259)),
    ("ij,jk->ki", (61, 65), (65, 66)),
    ("bij,bjk->bik", (5, 33, 20), (5, 20, 48)),
    ("ijc,jkc->ikc", (12, 16, 21), (16, 13, 21)),
    ("iajb,cjdi->abcd", (9, 7, 8, 6), (8, 8, 5, 9)),
    ("kab,kcd->acbd", (31, 9, 7), (31, 8, 5)),
    ("ji,jk->ik", (5001, 16), (5001, 9)),
    ("ji,jk->ik", (5001, 7), (5001, 6)),
    ("ij,i->j", (4001, 12), (4001,)),
    ("bij,bij->bj", (3, 301, 5), (3, 301, 5)),
    # tiles that are turned, rows with rows
    ("ij,ji->ij", (203, 301), (301, 203)),
    ("kij,kji->ij", (9, 67, 45), (9, 45, 67)),
    ("ij,ji->i", (45, 301), (301, 45)),
    ("ij,ji->", (67, 81), (81, 67)),
    ("hwc,chw->hwc", (61, 45, 3), (3, 61, 45)),
    ("ij,kj->ik", (3, 333), (77, 333)),
    ("bgd,bsd->bgs", (2, 5, 129), (2, 33, 129)),
    # nests, unrolled and split ones
    ("bij,bjk->bik", (333, 3, 3), (333, 3, 3)),
    ("bij,bjk->bik", (99, 7, 9), (99, 9, 11)),
    ("bji,bjk->bki", (99, 3, 13), (99, 3, 5)),
    ("bij,bkj->bik", (99, 5, 7), (99, 9, 7)),
    ("bij,bj->bi", (333, 5, 4), (333, 4)),
    ("i,i->", (300_001,), (300_001,)),
    ("abcd,dc->ab", (9, 20, 7, 31), (31, 7)),
    ("ij->j", (40_001, 7)),
    ("ijk,ij->ik", (15, 45, 43), (15, 45)),
    ("ij->i", (3, 100_003)),
    ("ij,j->i", (203, 1001), (1001,)),
    ("ij,i->j", (203, 1001), (203,)),
    ("ij,ij->ij", (203, 301), (203, 301)),
    ("i,j->ij", (203,), (301,)),
    ("ij->ji", (203, 301)),
    ("ii->i", (203, 203)),
    # copies in blocks that overlap, smaller ones, rows taken apart
    ("bij->bji", (99, 17, 19)),
    ("abcd->dcba", (9, 9, 9, 9)),
    ("abcd->bdac", (13, 5, 31, 13)),
    ("nhwc->nchw", (7, 9, 8, 6)),
    ("nchw->nhwc", (7, 5, 9, 8)),
    ("bij->bji", (99, 24, 24)),
    ("abcd->dcba", (19, 3, 5, 19)),
)
FAR = (
    # written past the caches, asked for ahead, swept
    ("ij,i->ij", (203, 301), (203,)),
    ("ijk->jik", (7, 5, 150)),
    ("ij->ji", (203, 301)),
    ("bij->bji", (99, 9, 7)),
    ("ijkl->lkji", (5, 7, 31, 9)),
    ("ijk->jik", (71, 35, 5)),
    ("ijk->jik", (35, 71, 39)),
    ("ij,jk->ik", (5, 201), (201, 103)),
    ("ij,jk->ik", (67, 30), (30, 96)),
    ("ij,kj->ki", (67, 30), (77, 30)),
    ("ij,kj->ik", (140, 70), (133, 70)),
    ("ijc,jkc->ikc", (12, 16, 21), (16, 13, 21)),
    ("bij,bjk->bik", (99, 5, 8), (99, 8, 16)),
    ("ji,jk->ik", (21, 2001), (21, 16)),
    ("ij,j->i", (203, 1001), (1001,)),
    ("ij,ij->j", (4001, 7), (4001, 7)),
)
DTYPES = ("float32", "float64", "complex64", "int8", "float16")
EQUATIONS = 100


def in_turn(table):
    """The calls of a table, of each dtype in turn and of float32."""
    for number, (subscripts, *shapes) in enumerate(table):
        dtype = DTYPES[number % len(DTYPES)]
        for kind in {dtype, "float32"}:
            yield Case(subscripts, tuple(shapes), (kind,) * len(shapes), ("C",) * len(shapes))


def cases():
    """A hundred calls: large ones in turn of each dtype, and random ones."""
    rng = Random(53)
    yield from in_turn(LARGE)
    for _ in range(EQUATIONS // 5):
        yield random_product(rng, 20_000)
    for _ in range(EQUATIONS // 2):
        yield random_case(rng, 3000)


def fenced(array, end):
    """The same values and strides, next to an unreadable page before or behind them."""
    low, high = np.lib.array_utils.byte_bounds(array)
    size = -(-(high - low) // PAGE) * PAGE
    memory = mmap.mmap(-1, size + 2 * PAGE)
    room = np.frombuffer(memory, np.uint8)
    for place in (0, PAGE + size):
        assert LIBC.mprotect(ctypes.c_void_p(room.ctypes.data + place), PAGE, PROT_NONE) == 0
    start = PAGE + (size - (high - low) if end == "behind" else 0)
    offset = start + array.__array_interface__["data"][0] - low
    made = np.ndarray(array.shape, array.dtype, memory, offset, array.strides)
    if array.size:
        made[...] = array
    return made


def drill(end):
    """Every case, some of them as if they came from memory."""
    for case in cases():
        if not any("longdouble" in dtype for dtype in case.dtypes):
            check(case, end)
    assert registry.stats()["misses"] > EQUATIONS
    with blocked_for(last_cache=1 << 10):
        for case in in_turn(FAR):
            check(case, end)


def check(case, end):
    """A case, its operands fenced, and once more into a fenced output."""
    operands = case.operands(11)
    expected = np.einsum(case.subscripts, *operands)
    own = [fenced(operand, end) for operand in operands]
    result = np.asarray(einjit.einsum(case.subscripts, *own))
    np.testing.assert_array_equal(result, expected, err_msg=str(case))
    if expected.ndim:
        out = fenced(np.zeros(expected.shape, expected.dtype), end)
        assert einjit.einsum(case.subscripts, *own, out=out) is out
        np.testing.assert_array_equal(out, expected)


@pytest.mark.skipif(sys.platform == "win32", reason="mprotect is not there")
def test_nothing_beside_operands_and_outputs_is_touched():
    code = "import test_guard_pages as t; t.drill('before'); t.drill('behind'); print('done')"
    assert children.run(code, timeout=240, EINJIT_NUM_THREADS=2) == "done"


@pytest.mark.skipif(sys.platform == "win32", reason="mprotect is not there")
@pytest.mark.parametrize("end", ["before", "behind"])
def test_a_fence_is_one(end):
    """The page beside an array is unreadable: a child that reads it ends by a signal."""
    code = """
        import sys, ctypes, numpy as np, test_guard_pages as t
        a = t.fenced(np.arange(9.0), sys.argv[1])
        assert a.sum() == 36
        ctypes.string_at(a.ctypes.data + (-1 if sys.argv[1] == "before" else a.nbytes), 1)
    """
    child = children.start(code, end)
    child.communicate(timeout=children.TIMEOUT)
    assert child.returncode < 0


LIBC = ctypes.CDLL(None) if sys.platform != "win32" else None
