"""The registry: what is compiled, which call is ready, what leaves, and many threads at once."""

import gc
import importlib
import linecache
import sys
import threading
import time

import numpy as np
import pytest

from einjit import api
from einjit.equation.operands import Layout
from einjit.equation.parser import parse
from einjit.kernel import build
from einjit.kernel import compile as compiler
from einjit.kernel.cache import Cache
from einjit.plan.plan import make_plan
from einjit.registry import KERNELS, Registry

MODULE = importlib.import_module("einjit.registry")  # the package has the object by that name
SHARED = Registry()  # its native functions take a second to compile


@pytest.fixture
def registry(monkeypatch):
    """An empty registry that `api.einsum` uses."""
    SHARED.clear()
    SHARED.limit = KERNELS
    monkeypatch.setattr(build, "disk", lambda: Cache(None, "off"))
    monkeypatch.setattr(api, "registry", SHARED)
    return SHARED


@pytest.fixture
def compiled(monkeypatch):
    """The nests that were compiled, one item each time."""
    nests = []

    class Counted(build.Kernel):
        def __init__(self, source):
            nests.append(source.nest)
            time.sleep(0.01)  # so that others come meanwhile
            super().__init__(source)

    monkeypatch.setattr(build, "Kernel", Counted)
    return nests


def add(registry, subscripts, *operands):
    """Make a call ready under the key it is found by."""
    equation = parse(subscripts, [operand.ndim for operand in operands])
    dtype = np.result_type(*operands).name
    plan = make_plan(equation, list(map(Layout.of, operands)), dtype)
    return registry.add(registry.native.describe(subscripts, *operands), plan)


def vector(dtype, n=5):
    return np.arange(n, dtype=dtype)


def computes(kernels):
    return [kernel.source.nest.compute for kernel in kernels]


def in_threads(n, work):
    """Run `work(number)` in n threads that start together; the first error is raised here."""
    errors, barrier = [], threading.Barrier(n)

    def run(number):
        barrier.wait()
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


# --- lookups


def test_lookups(registry):
    assert len(registry) == 0
    assert list(registry) == []
    assert "ij,jk->ik" not in registry
    with pytest.raises(KeyError, match="ij,jk->ik"):
        registry["ij,jk->ik"]
    a = np.ones((3, 3))
    api.einsum("ij,jk->ik", a, a)
    api.einsum("ij,jk->ik", np.int8(a), np.int8(a))
    api.einsum("i->", vector("int16"))
    assert len(registry) == 3
    assert computes(registry) == ["float64", "int8", "int16"]  # as they were compiled
    for subscripts in ("ij,jk->ik", "ij,jk", "ab,bc->ac", " Zx , xy -> Zy", "...ij,jk->...ik"):
        assert subscripts in registry
        assert computes(registry[subscripts]) == ["float64", "int8"]
    assert computes(registry["q->"]) == ["int16"]
    for subscripts in ("ij,kj->ik", "ij->", "i->i", "", ","):
        assert subscripts not in registry
    for nonsense in ("i->j", "i%", "->->", "i->ii", "\u00e9", "."):
        assert nonsense not in registry
    assert None not in registry
    assert 1 not in registry


def test_a_kernel_is_listed_under_every_equation_that_uses_it(registry):
    a = np.ones((4, 4))
    api.einsum("i,i->i", a[0], a[0])
    assert "ij,ij->ij" not in registry
    api.einsum("ij,ij->ij", a, a)
    assert len(registry) == 1
    assert registry["i,i->i"] == registry["ij,ij->ij"] == tuple(registry)


def test_an_equation_lists_the_kernels_of_all_its_steps(registry):
    api.einsum("ij,jk->i", np.ones((100, 20)), np.ones((20, 5000)))
    assert sorted(str(kernel.source.nest) for kernel in registry["ab,bc->a"]) == [
        "ab,b->a",
        "ab->a",
    ]


def test_a_view_has_no_kernel(registry):
    api.einsum("ij->ji", np.ones((2, 3)))
    assert "ij->ji" not in registry
    assert registry.stats()["misses"] == 1


def test_iteration_is_over_what_was_there(registry):
    for dtype in ("int8", "int16"):
        api.einsum("i->", vector(dtype))
    for _ in registry:
        registry.clear()
    assert len(registry) == 0


# --- counts


def test_stats(registry, compiled):
    counts = dict.fromkeys(("compiled", "loaded", "evicted", "hits", "misses", "kept_bytes"), 0)
    nothing = {**counts, "seconds": 0, "fallbacks": {}}
    assert registry.stats() == nothing
    a = vector("int32")
    for _ in range(3):
        api.einsum("i->", a)  # found below Python
    for _ in range(3):
        api.einsum("i->", a, order="C")  # found in Python
    api.einsum("i->", vector("int32", 6))
    api.einsum("i->", vector("int64"))
    api.einsum("i->i", vector("longdouble"))
    api.einsum("i->i", vector("longdouble"))
    stats = registry.stats()
    seconds = sum(kernel.seconds for kernel in registry)
    assert stats.pop("seconds") == pytest.approx(seconds)
    assert seconds > 0
    name = np.dtype("longdouble").name
    fallbacks = {f"dtype {name}": 2}
    expected = {**counts, "compiled": 2, "hits": 4, "misses": 4, "fallbacks": fallbacks}
    assert stats == expected
    assert len(compiled) == 2
    registry.clear()
    assert registry.stats() == nothing


def test_a_kernel_counts_its_calls(registry):
    a, b = vector("int8"), vector("int16")
    for array in (a, b, a, a, b):
        api.einsum("i->", array)
    one, two = registry
    assert (one.calls, two.calls) == (3, 2)
    assert one.last_use == two.last_use - 1
    assert repr(one) == "<Kernel a-> int8, 3 calls>"


# --- clear


def test_what_is_cleared_is_compiled_again(registry, compiled):
    a = vector("int8")
    held = add(registry, "i->", a)
    api.einsum("i->", a)
    registry.clear()
    assert len(registry) == 0
    assert "i->" not in registry
    assert registry.find("i->", a) is None
    gc.collect()
    assert held("i->", a) == 10
    assert api.einsum("i->", a) == 10
    assert len(compiled) == 2


def test_clear_while_others_call(registry):
    a, b = vector("int32", 100).reshape(10, 10), np.eye(10, dtype="int32")
    stop = threading.Event()

    def work(number):
        if number == 0:
            for _ in range(3):
                time.sleep(0.1)
                registry.clear()
                gc.collect()
            stop.set()
        calls = 0
        while not stop.is_set() or calls < 20:
            assert (api.einsum("ij,jk->ik", a, b) == a).all()
            assert api.einsum("ij->", a[number:]) == a[number:].sum()
            calls += 1

    in_threads(4, work)
    assert len(registry) == 2


def test_a_call_under_way_survives_clear(registry):
    a, started, results = np.ones((150, 100)), threading.Event(), []
    subscripts = "ij,kl->"  # 150·100·150·100 iterations: they take a while
    call = add(registry, "ij,kl->", a[:1], a[:1])
    assert call(subscripts, a[:1], a[:1]) == 10_000

    def work():
        started.set()
        results.append(api.einsum(subscripts, a, a, optimize=False))

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    time.sleep(0.05)
    registry.clear()
    gc.collect()
    thread.join()
    assert results == [15_000.0**2]


# --- what leaves


def test_the_least_recently_called_kernel_leaves(registry):
    registry.limit = 2
    a, b, c, d = (vector(dtype) for dtype in ("int8", "int16", "int32", "int64"))
    calls = [add(registry, "i->", array) for array in (a, b)]
    again = vector("int16", 7)
    add(registry, "i->", again)
    for array, call in ((b, calls[1]), (a, calls[0])):
        assert registry.find("i->", array) is call
        assert call("i->", array) == 10
    add(registry, "i->", c)
    assert computes(registry) == ["int8", "int32"]
    assert computes(registry["i->"]) == ["int8", "int32"]
    # Every call that was bound to it is forgotten, and nobody else's.
    assert registry.find("i->", b) is None
    assert registry.find("i->", again) is None
    assert registry.find("i->", a) is calls[0]
    assert registry.stats()["evicted"] == 1
    # What was compiled last stays, though it was not called yet.
    registry.find("i->", a)("i->", a)
    registry.find("i->", c)("i->", c)
    add(registry, "i->", d)
    assert computes(registry) == ["int32", "int64"]
    assert registry.stats()["evicted"] == 2
    # One that somebody holds works for as long as it is held.
    gc.collect()
    add(registry, "i->", vector("uint8"))
    gc.collect()
    assert calls[0]("i->", a) == calls[1]("i->", b) == 10
    assert len(registry) == 2


def test_what_left_comes_back(registry, compiled):
    registry.limit = 1
    a, b = vector("int8"), vector("int16")
    for _ in range(2):
        assert api.einsum("i->", a) == 10
        assert api.einsum("i->", b) == 10
        assert api.einsum("i->", b) == 10
    assert computes(registry) == ["int16"]
    assert len(compiled) == 4
    assert registry.stats()["evicted"] == 3
    assert registry.stats()["hits"] == 2


def test_a_call_of_more_kernels_than_there_is_room_for(registry):
    registry.limit = 1
    a, b = np.ones((100, 20)), np.ones((20, 5000))
    for _ in range(2):
        assert (api.einsum("ij,jk->i", a, b) == 100_000).all()
    assert len(registry) == 1
    assert registry.find("ij,jk->i", a, b) is None


def test_the_oldest_calls_leave(registry, monkeypatch):
    monkeypatch.setattr(MODULE, "CALLS", 10)
    arrays = [vector("int8", n) for n in range(2, 42)]
    for array in arrays:
        assert api.einsum("i->", array) == array.sum(dtype="int8")
        assert registry.find("i->", array) is not None
    ready = [registry.find("i->", array) is not None for array in arrays]
    assert ready == sorted(ready)  # the newest ones
    assert 5 <= sum(ready) <= 10
    # No more is known of the calls that left.
    assert len(registry._uses) <= 10
    assert len(registry) == 1


# --- compiled once


def test_each_kernel_is_compiled_once_by_many_threads(registry, compiled):
    calls = [
        ("ij,jk->ik", np.arange(9).reshape(3, 3), np.eye(3, dtype=int)),
        ("ij,kj->ik", np.arange(9).reshape(3, 3), np.eye(3, dtype=int)),
        ("i,j->ij", vector("int8", 4), vector("int8", 6)),
        ("i->", vector("float32")),
        ("ij->ji", np.arange(6).reshape(2, 3)),
    ]
    expected = [np.einsum(*call) for call in calls]

    def work(number):
        for turn in range(25 * len(calls)):
            place = (number + turn) % len(calls)
            np.testing.assert_array_equal(api.einsum(*calls[place]), expected[place])

    in_threads(8, work)
    assert len(compiled) == len(set(compiled)) == len(registry) == 4
    stats = registry.stats()
    assert stats["compiled"] == 4
    assert stats["hits"] + stats["misses"] == 8 * 25 * len(calls)
    assert sum(kernel.calls for kernel in registry) == 8 * 25 * 4


def test_lookups_while_others_call(registry):
    arrays = [vector("int8", n) for n in range(300, 900)]
    api.einsum("i->", arrays[0])
    done = threading.Event()

    def work(number):
        if number:
            while not done.is_set():
                assert "ijk->" not in registry  # looks through all
                assert computes(registry) == ["int8"]
                registry.stats()
        else:
            try:
                for array in arrays:
                    api.einsum("i->", array)
            finally:
                done.set()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        in_threads(3, work)
    finally:
        sys.setswitchinterval(interval)


def test_a_failing_compile_leaves_nothing_behind(registry, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("no compiler today")

    a = vector("uint16")
    assert registry.native  # compiled before the compiler fails
    before = set(sys.modules), set(linecache.cache)
    with monkeypatch.context() as patch:
        patch.setattr(compiler, "compile_loops", fail)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="no compiler today"):
                api.einsum("i->", a)
    assert len(registry) == 0
    assert "i->" not in registry
    assert registry.find("i->", a) is None
    stats = registry.stats()
    assert (stats["compiled"], stats["misses"], stats["seconds"]) == (0, 0, 0)
    left = [name for name in set(sys.modules) - before[0] if "generated" in name]
    left += [name for name in set(linecache.cache) - before[1] if "generated" in name]
    assert left == []
    assert api.einsum("i->", a) == 10


def test_a_failing_compile_does_not_keep_the_lock(registry, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("no compiler today")

    assert registry.native
    with monkeypatch.context() as patch:
        patch.setattr(compiler, "compile_loops", fail)
        with pytest.raises(RuntimeError):
            api.einsum("i->", vector("uint32"))
    in_threads(2, lambda number: api.einsum("i->", vector("uint32")))
    assert len(registry) == 1
