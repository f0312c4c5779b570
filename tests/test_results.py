"""Memory of large results: owned by the arrays, kept when they are dropped, bounded, given back."""

import ctypes
import sys
import tracemalloc

import numpy as np
import pytest
from numpy._core.multiarray import get_handler_name

import einjit
from einjit.kernel.layout import BLOCK_HEADER, IDLE, KEPT, LIMIT, MOST_IDLE, SETTLE
from einjit.kernel.native import _numpy_api
from einjit.kernel.pool import FIRM
from einjit.kernel.results import LARGE, Results, can_keep, results
from einjit.settings import Settings, _memory, settings
from tests.children import run

pytestmark = pytest.mark.skipif(
    not (can_keep() and settings.compiles), reason="numpy has all memory here"
)


set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(_numpy_api()[304])


@pytest.fixture(autouse=True)
def nothing_kept():
    einjit.registry.clear()
    yield
    einjit.registry.clear()


def outer(n, m=1 << 20):
    """A result of n x m float32: 4 n MB for the usual m."""
    i, j = np.arange(n, dtype=np.float32), np.arange(m, dtype=np.float32)
    return einjit.einsum("i,j->ij", i, j)


def kept():
    return einjit.registry.stats()["kept_bytes"]


def test_large_results_own_aligned_memory():
    made = outer(2)
    assert made.flags.owndata
    assert made.base is None
    assert made.ctypes.data % 64 == 0
    assert get_handler_name(made) == "einjit"
    np.testing.assert_array_equal(made, np.outer(np.arange(2.0), np.arange(1 << 20)))


def test_small_results_and_those_of_others_are_numpys():
    outer(2)
    assert get_handler_name(outer(2, 1000)) == "default_allocator"
    assert get_handler_name() == "default_allocator"
    assert get_handler_name(np.empty(LARGE)) == "default_allocator"


def test_a_dropped_result_leaves_its_memory_to_the_next():
    made = outer(4)
    address = made.ctypes.data
    del made
    assert kept() == (16 << 20) + SETTLE
    made = outer(4)
    assert made.ctypes.data == address
    assert kept() == 0
    assert (made[3] == 3 * np.arange(1 << 20, dtype=np.float32)).all()
    second = outer(4)
    assert second.ctypes.data != address
    assert (made[3] == second[3]).all()


def test_memory_goes_to_results_of_nearly_its_size():
    made = outer(16)
    del made
    small = outer(2)
    assert kept() == (64 << 20) + SETTLE
    made = outer(15)
    assert kept() == 0
    del small, made
    assert kept() == (64 << 20) + SETTLE + (8 << 20) + SETTLE


def test_the_smallest_block_that_fits_is_taken():
    sizes = 20, 18, 19
    made = [outer(n) for n in sizes]
    addresses = dict(zip(sizes, [x.ctypes.data for x in made], strict=True))
    del made
    assert outer(18).ctypes.data == addresses[18]
    held = outer(18), outer(18)
    assert [x.ctypes.data for x in held] == [addresses[18], addresses[19]]


def made_by(pool, make, *sizes):
    """Arrays of so many bytes, made while the pool is numpy's allocator."""
    before = set_handler(pool.handler)
    try:
        return [make(size, np.uint8) for size in sizes]
    finally:
        set_handler(before)


def idle(pool):
    """The addresses of what lies idle, and how much that is."""
    blocks = pool._pool[KEPT:].reshape(-1, 2)[: pool._pool[IDLE]]
    assert pool.kept == blocks[:, 1].sum()
    return [address + BLOCK_HEADER for address in blocks[:, 0].tolist()]


def drop(arrays):
    """Let arrays go, the first one first; where they were."""
    addresses = [array.ctypes.data for array in arrays]
    while arrays:
        arrays.pop(0)
    return addresses


def test_what_was_left_first_goes_first():
    pool = Results()
    pool._pool[LIMIT] = 40 << 20
    first, second, third, _ = drop(made_by(pool, np.empty, 8 << 20, 16 << 20, 8 << 20, 48 << 20))
    assert idle(pool) == [first, second, third]  # alone the last is beyond the limit
    (fourth,) = drop(made_by(pool, np.empty, 12 << 20))
    assert idle(pool) == [third, fourth]
    many = drop(made_by(pool, np.empty, *[1 << 20] * (MOST_IDLE + 3)))
    assert idle(pool) == many[3:]
    pool.let_go()
    assert idle(pool) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell")
def test_what_lies_idle_is_lent_to_the_system():
    """All but the last block, and that one too where it is large."""

    def lent():
        """Bytes that the system may take."""
        with open("/proc/self/smaps") as lines:
            return sum(int(line.split()[1]) << 10 for line in lines if "LazyFree:" in line)

    pool = Results()
    for size, bytes_ in ((5, 0), (6, 5), (FIRM >> 20, 11), (5, 11 + (FIRM >> 20))):
        made = made_by(pool, np.empty, size << 20)
        made[0].fill(1)
        drop(made)
        assert lent() >= (bytes_ << 20) * 7 // 8  # not pages that others share
        assert bytes_ or not lent()
    pool.let_go()


def test_an_eighth_of_the_memory_is_kept_unless_told():
    assert Settings.read({}).keep == max(512, _memory() // 8) << 20


def test_zeros_are_zeros_in_memory_that_was_used():
    pool = Results()
    made = made_by(pool, np.empty, 5 << 20)
    made[0].fill(7)
    (address,) = drop(made)
    (made,) = made_by(pool, np.zeros, 5 << 20)
    assert made.ctypes.data == address
    assert not made.any()


@pytest.mark.parametrize("n", [1, 2 << 20, 40 << 20])
def test_arrays_can_be_resized(n):
    made = outer(4)
    expected = np.resize(np.append(made, np.zeros(n, np.float32)), n)
    made.resize(n)
    np.testing.assert_array_equal(made, expected)
    del made
    assert kept() > 0


def test_memory_is_traced():
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        made = outer(8)
        assert tracemalloc.get_traced_memory()[0] - before >= made.nbytes
        del made
        assert tracemalloc.get_traced_memory()[0] - before < 1 << 20
    finally:
        tracemalloc.stop()


def test_an_allocator_of_the_programs_own_stays():
    pool = Results()
    outer(2)
    assert idle(results()) != []
    before = set_handler(pool.handler)
    try:
        made = [outer(2)]
        assert get_handler_name() == get_handler_name(np.empty(3)) == "einjit"
    finally:
        set_handler(before)
    assert set(drop(made)) < set(idle(pool))  # beside those of its operands
    assert len(idle(results())) == 1


def test_no_memory_is_an_error_and_idle_memory_is_given_up_first():
    code = """
    import resource
    import numpy as np, einjit
    i, j = np.ones(1 << 10, np.float32), np.ones(1 << 16, np.float32)
    einjit.einsum("i,j->ij", i, j)
    room = int(open("/proc/self/statm").read().split()[0]) * 4096
    resource.setrlimit(resource.RLIMIT_AS, (room + (100 << 20), -1))
    made = einjit.einsum("i,j->ij", np.ones(1300, np.float32), j)
    assert made.sum(dtype=float) == 1300 << 16
    assert einjit.registry.stats()["kept_bytes"] == 0
    try:
        einjit.einsum("i,j->ij", np.ones(1 << 14, np.float32), j)
    except MemoryError as problem:
        print(problem)
    """
    assert "Unable to allocate" in run(code)


def test_nothing_is_kept_where_none_is_asked_for():
    code = """
    import numpy as np, einjit
    from numpy._core.multiarray import get_handler_name
    print(get_handler_name(einjit.einsum("i,j->ij", np.ones(3000), np.ones(3000))))
    """
    assert run(code, EINJIT_KEEP_MB=0) == "default_allocator"
    assert run(code, EINJIT_KEEP_MB=8) == "einjit"


def test_results_outlive_the_interpreters_end():
    code = """
    import numpy as np, einjit
    class Holder: pass
    holder = Holder()
    holder.itself, holder.result = holder, einjit.einsum("i,j->ij", np.ones(3000), np.ones(3000))
    np.kept = einjit.einsum("i,j->ij", np.ones(3000), np.ones(3000))
    print("ends")
    """
    assert run(code) == "ends"
