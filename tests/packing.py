"""Contractions that are packed however small they are, in scratch memory full of NaN."""

from contextlib import contextmanager
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from targets import blocked_for

import einjit
from einjit.equation.operands import Layout, as_plain
from einjit.equation.parser import parse
from einjit.kernel.arena import ROOM, arena
from einjit.plan import columns, early, lowering, packed
from einjit.plan.blocking import block
from einjit.plan.groups import MOST_LOOPS
from einjit.plan.indices import Loops
from einjit.plan.plan import make_plan
from einjit.target import vector_bytes

TINY = (8 * vector_bytes(), 64 * vector_bytes())
"""Caches for boxes of some 8 along K, some 8 vectors along N and some 2 along M."""

POISON = 1 << 16
"""Bytes of scratch memory that are made NaN before a call: more than such boxes need."""


@contextmanager
def packing_all(caches=TINY, by_pairs=False, **facts):
    """Small caches, pages of a line, and products packed however small they are, as they lie; of
    integers multiplied by pairs however seldom a sum is used."""
    low = {"SHORTEST_SIDE": 2, "SHORTEST_SUM": 2, "SMALL_PRODUCT": 1}
    with pytest.MonkeyPatch.context() as patch, blocked_for(caches=caches, page=64, **facts):
        for name, limit in low.items():
            patch.setattr(lowering, name, limit)
        patch.setattr(columns, "ROWS", 1 << 60)
        patch.setattr(early, "COPIED", 1 << 60)
        for name in ("PAIRED_STRIPS", "PAIRED_PANELS", "PAIRED_TERMS") if by_pairs else ():
            patch.setattr(packed, name, 0)
        yield


def poison(n=POISON):
    """Make every slot of scratch memory NaN, or -1, from its lock's cache line on."""
    slots = np.frombuffer(arena()._memory, np.uint8)
    slots = slots[: arena().words[0] * ROOM].reshape(-1, ROOM)
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


def in_pages(matrix):
    """The same matrix, a page from one row to the next: rows that are copied for the L1 cache."""
    wide = np.zeros((len(matrix), -(-matrix.shape[1] * matrix.itemsize // 4096) * 4096), np.uint8)
    wide = wide.view(matrix.dtype)[:, : matrix.shape[1]]
    wide[:] = matrix
    return wide


def integers(shape, dtype, seed=0):
    """Small ones; of complex numbers both parts are."""
    rng, low = np.random.default_rng(seed), 0 if np.dtype(dtype).kind == "u" else -9
    values = rng.integers(low, 10, shape).astype(dtype)
    if values.dtype.kind == "c":
        values.imag = rng.integers(low, 10, shape)
    return values


def real(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(shape).astype(dtype)
    if values.dtype.kind == "c":
        values.imag = rng.standard_normal(shape)
    return values


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


def deepest():
    """Structures of as many loops as are nested, however these are batch or shared out among M, N
    and K."""
    most = MOST_LOOPS
    for batch, m, n in product((0, 1, 3), range(1, most), range(1, most)):
        if batch + m + n < most:
            h, i, j = batch, batch + m, batch + m + n
            terms = ({*range(i), *range(j, most)}, {*range(h), *range(i, most)}, {*range(j)})
            rows = (tuple(7 ** (most - i) * (i in term) for i in range(most)) for term in terms)
            packed = block(Loops(tuple((i,) for i in range(most)), (3,) * most, tuple(rows)), "f8")
            for direct, spans in product((True, False), repeat=2):
                boxed = min(batch, 1 + direct)
                span = packed.packed.group_k[-1] if spans else None
                made = replace(packed.packed, direct=direct, span=span, boxed=boxed)
                yield made
                if direct:
                    yield replace(made, rows=False, strips=True, pack_a=True, boxed=0)
