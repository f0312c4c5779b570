"""Below Python: keys, bound calls, references, memory, and the launches that are Python's."""

import gc
import importlib
import inspect
import itertools
import linecache
import subprocess
import sys
import threading
import time
import tracemalloc
import weakref
from pathlib import Path

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided
from strategies import DTYPES, Tagged, lay_out

from einjit.equation.operands import Layout, packed
from einjit.equation.parser import parse
from einjit.kernel.call import Chain, Copy, Zeros, allocate, ready
from einjit.kernel.layout import DRIVER, KEY_WORDS, LONGEST_TEXT, MOST_POINTERS, marked
from einjit.kernel.native import Native
from einjit.plan.nest import Nest
from einjit.plan.plan import CAST_FIRST, make_plan
from einjit.registry import Registry, registry

NATIVE = registry.native
MANY = 100_000


def plan_of(subscripts, *operands, dtype=None, **options):
    equation = parse(subscripts, [operand.ndim for operand in operands])
    dtype = dtype or np.result_type(*operands).name
    return make_plan(equation, list(map(Layout.of, operands)), dtype, **options)


def launch_of(subscripts, *operands, **options):
    return call_of(plan_of(subscripts, *operands, **options))


def call_of(plan):
    return ready(plan, NATIVE, registry.kernel, registry.shared)


def bind_sum(extent, *, release=False, tiles=1, shape=(), strides=(), scalar=True):
    """The sum of `extent` times the same element, as one long loop."""
    nest = Nest(((0,), ()), (False, False), ("float64", "float64"), "float64", 1)
    return NATIVE.bind_run(
        kernel=registry.kernel(nest),
        time=0,
        tiles=tiles,
        chunk=1,
        release=release,
        order=(0,),
        dtype=np.dtype("float64"),
        shape=shape,
        strides=strides,
        sizes=(extent, 0),
        scalar=scalar,
    )


def in_child(code):
    """What a process of its own prints, which must end well and soon."""
    command = [sys.executable, "-X", "faulthandler", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def leaks(call, *objects):
    """How many references and bytes `MANY` calls leave behind, each a figure a call."""

    def run(n):
        for _ in itertools.repeat(None, n):
            call()

    run(1000)
    gc.collect()
    before = [sys.getrefcount(one) for one in objects]
    tracemalloc.start()
    try:
        run(1000)
        held = tracemalloc.get_traced_memory()[0]
        run(MANY)
        held = tracemalloc.get_traced_memory()[0] - held
    finally:
        tracemalloc.stop()
    counts = [sys.getrefcount(one) - old for one, old in zip(objects, before, strict=True)]
    return [round(count / MANY, 2) for count in (held, *counts)]


def none_leaks(call, *objects):
    """What leaks does so each time; what another thread does meanwhile is counted once."""
    return any(leaks(call, *objects) == [0.0] * (1 + len(objects)) for _ in range(3))


# --- the key of a call


def test_a_key_is_the_text_and_each_operands_type_shape_and_strides():
    a, b = np.zeros((3, 5), np.int16)[:, ::2], np.zeros((), np.complex64)
    words = [2 | a.dtype.num << 32, 3, 10, 3, 4, 0 | b.dtype.num << 32]
    wanted = np.int64(3).tobytes() + b"ij," + np.array(words, np.int64).tobytes()
    assert NATIVE.describe("ij,", a, b) == wanted


def test_keys_differ_where_calls_do():
    a = np.zeros((4, 4))
    calls = [
        ("ij",),
        ("ij", a),
        ("ji", a),
        ("ij ", a),
        ("ij\0", a),
        ("\u00e9", a),
        ("ij", a.T),
        ("ij", a[:3]),
        ("ij", a[::2]),
        ("ij", a[::-1]),
        ("ij", a[0]),
        ("ij", a[None]),
        ("ij", a, a),
        ("ij", np.broadcast_to(a[0], (4, 4))),
        *(("ij", a.astype(dtype)) for dtype in DTYPES if dtype != "float64"),
    ]
    keys = [NATIVE.describe(*call) for call in calls]
    assert all(type(key) is bytes for key in keys)
    assert len(set(keys)) == len(calls)


def test_keys_agree_where_calls_do():
    a = np.arange(12.0).reshape(3, 4)
    readonly = a.copy()
    readonly.flags.writeable = False
    for other in (a.copy(), readonly, np.empty((3, 4), "=f8"), np.frombuffer(a).reshape(3, 4)):
        assert NATIVE.describe("i" + "j", other) == NATIVE.describe("ij", a)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        (b"ij", np.ones((2, 2))),
        (None,),
        (3, np.ones(3)),
        (np.str_("i"), np.ones(3)),
        ("\ud800i", np.ones(3)),
        ("i", [1.0, 2.0]),
        ("", 1.0),
        ("", np.float64(1)),
        ("i", None),
        ("i", "i"),
        ("i", np.ones(3).view(Tagged)),
        ("i", np.ma.ones(3)),
        ("i", np.ones(3).astype(">f8" if sys.byteorder == "little" else "<f8")),
        ("i", lay_out(np.ones(3), "misaligned")),
        ("i,i", np.ones(3), lay_out(np.ones(3), "misaligned")),
        ("i" * (LONGEST_TEXT + 1), np.ones(3)),
        ("\u00e9" * (LONGEST_TEXT // 2 + 1), np.ones(3)),
        ("i", *[np.ones(3)] * MOST_POINTERS),
        ("i", *[np.ones(3)] * 1000),
        ("i", *[np.ones((1,) * 64)] * (KEY_WORDS // 129 + 1)),
    ],
    ids=lambda arguments: ascii(arguments)[:40],
)
def test_calls_that_have_no_key(arguments):
    assert NATIVE.describe(*arguments) is None
    assert NATIVE.find(*arguments) is None


def test_a_call_of_nothing_from_c():
    assert next(iter(NATIVE.find, 0)) is None


def test_the_longest_keys():
    assert len(NATIVE.describe("i" * LONGEST_TEXT)) == 8 + LONGEST_TEXT
    assert NATIVE.describe("", *[np.ones(3)] * (MOST_POINTERS - 1)) is not None
    wide = np.ones((1,) * 64)  # 129 words
    most = (KEY_WORDS - 1) // 129
    assert len(NATIVE.describe("", *[wide] * most)) == 8 * (1 + 129 * most)
    rest = KEY_WORDS - 1 - 129 * most
    narrow = np.ones((1,) * (rest // 2 - 1))
    assert NATIVE.describe("", *[wide] * most, narrow) is not None
    assert NATIVE.describe("", *[wide] * most, narrow[None]) is None


def test_a_layout_of_arrays_that_is_not_known(monkeypatch):
    monkeypatch.setattr(Native, "_bind", lambda *args: lambda *operands: b"another layout")
    with pytest.raises(ImportError, match=r"^numpy .* lays out arrays in a way that einjit does"):
        Native({})


# --- find


@pytest.fixture(scope="module")
def small():
    """A native of its own, and the calls it finds."""
    calls = {}
    return Native(calls), calls


def test_find_gives_what_is_under_the_key(small):
    native, calls = small
    a, found = np.zeros((2, 3)), object()
    assert native.find("ij", a) is None
    calls[native.describe("ij", a)] = found
    hits = native.hits
    assert native.find("ij", a) is found
    assert native.find("ij", np.ones((2, 3))) is found
    assert native.find("ij", a.T) is None
    assert native.find("ji", a) is None
    assert native.hits == hits + 2
    native.hits = 0
    assert native.hits == 0
    calls.clear()
    assert native.find("ij", a) is None


def test_find_into_gives_what_is_under_the_marked_key(small):
    native, calls = small
    a, out, found = np.zeros((2, 3)), np.zeros(2), object()
    calls[native.describe(marked("ij->i", "K", written=True), a, out)] = found
    hits = native.hits
    assert native.find_into("ij->i", a, out) is found
    assert native.find_into("ij->i", np.ones((2, 3)), np.ones(2)) is found
    assert native.hits == hits + 2
    assert native.find_into("ij->i", a, np.ones(2, np.float32)) is None
    assert native.find_into("ij->i", a, np.ones(2).view(Tagged)) is None
    assert native.find_into("ij->i", a, None) is None
    assert native.find_into("ij->i", a) is None
    assert native.find_into(None) is None
    assert native.find("ij->i", a, out) is None
    out.flags.writeable = False
    assert native.find_into("ij->i", a, out) is None
    assert none_leaks(lambda: native.find_into("ij->i", a, out), a, out, None)
    fresh = np.zeros(2)
    assert none_leaks(lambda: native.find_into("ij->i", a, fresh), a, fresh, found, a.dtype)


@pytest.mark.parametrize("order", "CFA")
def test_find_ordered_gives_what_is_under_the_marked_key(small, order):
    native, calls = small
    a, found = np.zeros((2, 3)), object()
    calls[native.describe(marked("ij->ji", order), a)] = found
    hits = native.hits
    assert native.find_ordered[order]("ij->ji", a) is found
    assert native.hits == hits + 1
    assert native.find("ij->ji", a) is None
    assert native.find_into("ij->ji", a) is None
    assert none_leaks(lambda: native.find_ordered[order]("ij->ji", a), a, found)
    calls.clear()
    assert native.find_ordered[order]("ij->ji", a) is None


def test_find_into_sees_memory_that_is_shared(small):
    """As far as numpy does by the bounds of arrays: of empty ones it may see some that is not."""
    native, calls = small
    rng, seen = np.random.default_rng(0), set()
    for dtype in ("int8", "float32", "complex128"):
        memory = np.zeros(64, dtype)
        views = [memory[i : i + n : step] for i in (0, 20, 40) for n in (1, 20) for step in (1, 3)]
        views += [view[::-1] for view in views]
        views += [memory[:60].reshape(3, 20)[:, i : i + 4] for i in (0, 4, 15)]
        views += [memory[7:7], np.zeros(20, dtype)]
        for _ in range(400):
            a, b, out = (views[i] for i in rng.integers(len(views), size=3))
            found = object()
            calls[native.describe(marked("i,i", "K", written=True), a, b, out)] = found
            shared = np.may_share_memory(a, out) or np.may_share_memory(b, out)
            if shared or all(x.size for x in (a, b, out)):
                assert native.find_into("i,i", a, b, out) is (None if shared else found)
                seen.add(shared)
    assert seen == {False, True}


def test_keywords_are_refused(small):
    for built_in in (small[0].find, small[0].describe, launch_of("i->", np.ones(3))):
        with pytest.raises(TypeError, match="keyword"):
            built_in("i->", out=None)


def test_looking_up_leaves_nothing_behind(small):
    native, calls = small
    a, found, text = np.zeros((2, 3)), object(), "".join(["i", "j"])
    calls[native.describe(text, a)] = found
    assert none_leaks(lambda: native.find(text, a), a, found, text, a.dtype)
    assert none_leaks(lambda: native.find("ji", a), a, None)
    assert none_leaks(lambda: native.find("ij", [a]), a, None)
    assert none_leaks(lambda: native.find("\ud800", a), a, None)
    assert none_leaks(lambda: native.describe(text, a, a), a, text)


# --- run


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_result_is_numpys_in_type_and_flags(dtype):
    a = np.ones((3, 4), dtype)
    for subscripts, order in (("ij,j->ij", "C"), ("ij,j->ij", "F"), ("ij,j->ji", "K")):
        result = launch_of(subscripts, a, a[0], order=order)(subscripts, a, a[0])
        expected = np.einsum(subscripts, a, a[0], order=order)
        assert type(result) is np.ndarray
        assert result.dtype == expected.dtype
        assert result.dtype.isnative
        assert result.strides == expected.strides
        assert str(result.flags) == str(expected.flags)
        assert result.flags.owndata
        assert result.base is None
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_full_reduction_is_a_scalar(dtype):
    a = np.ones(3, dtype)
    result, expected = launch_of("i->", a)("i->", a), np.einsum("i->", a)
    assert type(result) is type(expected)
    assert result == expected
    out = np.zeros((), dtype)
    layout = Layout.of(out)
    assert launch_of("i->", a, out=layout)("i->", a, out) is out
    assert out == expected


def test_the_output_that_is_given_is_returned():
    a = np.arange(6.0).reshape(2, 3)
    out = np.full((4, 6), 7.0)
    view = out[::2, ::-2]
    call = launch_of("ij,j->ij", a, a[0], out=Layout.of(view))
    assert call("ij,j->ij", a, a[0], view) is view
    np.testing.assert_array_equal(view, a * a[0])
    assert (out[1::2] == 7).all()
    assert (out[:, ::2] == 7).all()


def test_running_leaves_nothing_behind():
    a, b = np.ones((3, 4)), np.ones((4, 2))
    out = np.empty((3, 2))
    dtype, none = a.dtype, None
    call = launch_of("ij,jk->ik", a, b)
    assert none_leaks(lambda: call("ij,jk->ik", a, b), a, b, dtype, none, call)
    call = launch_of("ij,jk->ik", a, b, out=Layout.of(out))
    assert none_leaks(lambda: call("ij,jk->ik", a, b, out), a, b, out, dtype, none)
    call = launch_of("ij,jk->", a, b)
    assert none_leaks(lambda: call("ij,jk->", a, b), a, b, dtype, none, np.float64)
    released = bind_sum(1, release=True)
    assert none_leaks(lambda: released("", a), a, dtype)
    large = bind_sum(1, shape=(10**9, 10**9), strides=(8 * 10**9, 8), scalar=False)

    def fail():
        with pytest.raises(MemoryError):
            large("", a)

    for _ in range(10):
        fail()
    before = sys.getrefcount(dtype), sys.getrefcount(a)
    for _ in range(1000):
        fail()
    assert abs(sys.getrefcount(dtype) - before[0]) < 100
    assert sys.getrefcount(a) == before[1]


def test_a_result_too_large_for_memory():
    said = in_child("""if True:
        import einjit, numpy as np
        for dtype in ("float64", "int8"):
            wide = np.broadcast_to(np.ones((), dtype), (10**9,))
            for terms in ("a,b->ab", "a,b,c->abc", "a,b,c,d->abcd", "a,b,c,d,e->edcba"):
                try:
                    einjit.einsum(terms, *[wide] * (1 + terms.count(",")))
                except (MemoryError, ValueError):
                    print("refused")
                except Exception as error:
                    print(terms, repr(error))
        print(einjit.einsum("i,i->", np.ones(3), np.ones(3)))
        """)
    assert said.splitlines() == ["refused"] * 8 + ["3.0"]


def test_more_operands_than_a_kernel_takes():
    """In one step; numpy refuses as many, with a ValueError."""
    said = in_child("""if True:
        import einjit, numpy as np
        for n in (62, 63, 64, 65, 100, 300):
            subscripts = ",".join("i" * n) + "->i"
            arrays = [np.array([1.0, 2.0, 3.0])] * 2 + [np.ones(3)] * (n - 2)
            for optimize in ("auto", False, ["einsum_path", tuple(range(n))]):
                try:
                    result = einjit.einsum(subscripts, *arrays, optimize=optimize)
                    print("right" if result.tolist() == [1, 4, 9] else "wrong")
                except ValueError:
                    print("right" if n > 63 and optimize != "auto" else "wrong")
        """)
    assert said.split() == ["right"] * 18


def test_a_ready_call_holds_what_it_needs():
    a, own = np.arange(6.0).reshape(2, 3), Registry()
    native = weakref.ref(own.native)
    held = [own.add(None, plan_of(subscripts, a)) for subscripts in ("ij->j", "ij->ji")]
    held.append(own.find)
    del own
    for keep in (2, 1, 0):
        gc.collect()
        assert native() is not None
        del held[keep]
    gc.collect()
    assert native() is None


def beats_inside(release):
    """How often another thread went on in the middle of a call that takes its time."""
    one, beats, done = np.ones(1), [], threading.Event()
    call, extent = bind_sum(1 << 20, release=release), 1 << 20
    while True:
        start = time.perf_counter()
        call("", one)
        if time.perf_counter() - start > 0.15:
            break
        extent *= 2
        call = bind_sum(extent, release=release)

    def beat():
        while not done.is_set():
            beats.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=beat)
    thread.start()
    time.sleep(0.01)
    start = time.perf_counter()
    assert call("", one) == extent
    end = time.perf_counter()
    done.set()
    thread.join()
    tenth = (end - start) / 10
    return sum(start + tenth < now < end - tenth for now in beats)


def test_others_go_on_while_a_call_without_the_gil_runs():
    assert beats_inside(release=True) > 3
    assert beats_inside(release=False) == 0


def test_every_tile_is_run_once():
    """By the parallel loop, whatever the chunk; the bits are those of the serial loop."""
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((65, 300)), rng.standard_normal(300)
    lowered = plan_of("ij,j->i", a, b).steps[0].lowered
    results = []
    registry.fetch_threads()
    assert registry.native.process[DRIVER]
    for weight, chunk in ((0, 1), (1, 1), (1, 7), (1, 65), (1, 99)):
        call = NATIVE.bind_run(
            kernel=registry.kernel(lowered.nest),
            time=weight,
            tiles=lowered.tiles,
            chunk=chunk,
            release=True,
            order=lowered.order,
            dtype=a.dtype,
            shape=(65,),
            strides=(8,),
            sizes=lowered.sizes,
            scalar=False,
        )
        results.append(call("ij,j->i", a, b).tobytes())
        spoiled = np.full(65, np.nan)
        call("ij,j->i", a, b, spoiled)
        results.append(spoiled.tobytes())
    assert len(set(results)) == 1
    np.testing.assert_allclose(np.frombuffer(results[0]), a @ b, atol=1e-12)


# --- view


def test_a_view_is_numpys():
    root = np.arange(24.0).reshape(2, 3, 4)
    for a in (root, root[:, ::-1], root.transpose(2, 0, 1), np.broadcast_to(root, (2, 3, 4))):
        for subscripts in ("abc->cab", "abc->abc"):
            mine = launch_of(subscripts, a)(subscripts, a)
            theirs = np.einsum(subscripts, a)
            assert type(mine) is np.ndarray
            assert str(mine.flags) == str(theirs.flags)
            assert mine.strides == theirs.strides
            assert mine.__array_interface__["data"] == theirs.__array_interface__["data"]
            assert np.shares_memory(mine, root)
    square = np.arange(9.0).reshape(3, 3)
    diagonal = launch_of("ii->i", square)("ii->i", square)
    diagonal[...] = -1
    assert np.trace(square) == -3
    square.flags.writeable = False
    assert not launch_of("ii->i", square)("ii->i", square).flags.writeable


def test_a_view_keeps_its_operand():
    a = np.ones((2, 3))
    call = launch_of("ij->ji", a)
    view = call("ij->ji", a)
    assert view.base is a
    again = call("ij->ji", np.arange(6.0).reshape(2, 3))
    alive = weakref.ref(a)
    del a
    gc.collect()
    assert alive() is not None
    assert again.tolist() == [[0, 3], [1, 4], [2, 5]]
    del view
    gc.collect()
    assert alive() is None


def test_a_view_of_no_axes_is_a_scalar():
    a = np.array(3, np.int8)
    result = launch_of("->", a)("->", a)
    assert type(result) is np.int8
    assert result == 3


def test_viewing_leaves_nothing_behind():
    a, zero = np.ones((3, 4)), np.array(2.0)
    call = launch_of("ij->ji", a)
    assert none_leaks(lambda: call("ij->ji", a), a, a.dtype, None)
    call = launch_of("->", zero)
    assert none_leaks(lambda: call("->", zero), zero, zero.dtype)


# --- the launches that are Python's


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_allocate_in_any_order(order):
    shape = (2, 3, 4)
    made = allocate(Layout(shape, packed(shape, order), "int16"))
    assert (made.shape, made.dtype) == (shape, np.int16)
    assert made.strides == tuple(2 * stride for stride in packed(shape, order))
    assert made.flags.writeable
    assert made.flags.owndata


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1, 1), (1, 5, 1)])
def test_allocate_what_is_special(shape):
    made = allocate(Layout.contiguous(shape, "complex64"))
    assert (made.shape, made.dtype) == (shape, np.complex64)
    assert made.flags.c_contiguous
    assert made.flags.owndata


def test_copy():
    a = np.arange(12, dtype=np.int16).reshape(3, 4)
    copy = Copy(Layout((4, 3), (3, 1), "int16"), (1, 4), False)
    result = copy("ij->ji", a)
    assert result.flags.c_contiguous
    assert not np.shares_memory(result, a)
    assert result.tolist() == a.T.tolist()
    out = np.zeros((4, 3), np.int16)
    assert copy("ij->ji", a, out) is out
    assert out.tolist() == a.T.tolist()
    backwards = a[::-1, ::-1]
    turned = Copy(Layout((4, 3), (1, 4), "float32"), (-1, -4), False)("ij->ji", backwards)
    assert (turned.dtype, turned.flags.f_contiguous) == (np.float32, True)
    assert turned.tolist() == backwards.T.tolist()
    repeated = Copy(Layout((2, 3), (3, 1), "int16"), (0, 4), False)("j->ij", a[:, 0])
    assert repeated.tolist() == [[0, 4, 8]] * 2
    assert type(Copy(Layout((), (), "int16"), (), True)("->", a[0, 1])) is np.int16
    readonly = a.copy()
    readonly.flags.writeable = False
    assert copy("ij->ji", readonly).flags.writeable


def test_copies_of_a_plan():
    rng = np.random.default_rng(2)
    a = rng.integers(-9, 9, (3, 4, 3))
    for subscripts, order in itertools.product(("aba->ab", "abc->cab", "aba->ba"), "CF"):
        result = launch_of(subscripts, a, order=order)(subscripts, a)
        np.testing.assert_array_equal(result, np.einsum(subscripts, a))
        assert result.flags[f"{order}_CONTIGUOUS"]
    result = launch_of("->", a[0, 0, 0], order="C")("->", np.array(a[0, 0, 0]))
    assert type(result) is np.int64


def test_zeros():
    a, b = np.ones((2, 0), np.float32), np.ones((0, 3), np.float32)
    call = launch_of("ij,jk->ik", a, b)
    assert type(call) is Zeros
    result = call("ij,jk->ik", a, b)
    assert result.tolist() == [[0, 0, 0]] * 2
    assert result.flags.owndata
    total = launch_of("ij->", a)("ij->", a)
    assert type(total) is np.float32
    assert total == 0
    for subscripts, operands, shape in (("ij,jk->ik", (a, b), (2, 3)), ("ij->", (a,), ())):
        out = np.ones(shape, np.float32)
        call = launch_of(subscripts, *operands, out=Layout.of(out))
        assert call(subscripts, *operands, out) is out
        assert not out.any()


def test_chain():
    rng = np.random.default_rng(4)
    a, b, c = (rng.integers(-3, 4, (20, 20)).astype(dtype) for dtype in ("i1", "f4", "f8"))
    path = ["einsum_path", (0, 1), (0, 1)]
    plan = plan_of("ij,jk,kl->il", a, b, c, optimize=path)
    assert plan.cast == (True, True, False)
    call = call_of(plan)
    assert type(call) is Chain
    expected = np.einsum("ij,jk,kl->il", a, b, c)
    result = call("ij,jk,kl->il", a, b, c)
    assert result.tobytes() == expected.tobytes()
    assert result.flags.owndata
    out = np.empty((20, 20), order="F")
    plan = plan_of("ij,jk,kl->il", a, b, c, optimize=path, out=Layout.of(out))
    assert call_of(plan)("ij,jk,kl->il", a, b, c, out) is out
    np.testing.assert_array_equal(out, expected)
    assert (a.dtype, b.dtype) == (np.int8, np.float32)


def test_a_chain_of_one_step_converts_first():
    a = np.arange(6, dtype=np.int8).reshape(2, 3)
    for subscripts in ("ij->i", "ij->ji", "ij->ij"):
        for order in "KF":
            call = launch_of(subscripts, a, dtype="float32", order=order)
            result = call(subscripts, a)
            assert result.dtype == np.float32
            np.testing.assert_array_equal(result, np.einsum(subscripts, a))
            assert not np.shares_memory(result, a)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(0.5, "bool"), (256, "bool"), (1.9, "int8"), (1.0009, "float16"), (300, "uint8"), (2, "c8")],
)
def test_large_operands_are_converted_as_numpy_does(value, dtype):
    a = np.full((3, CAST_FIRST // 2), value)
    for subscripts in ("ij->i", "ij->ji"):
        result = launch_of(subscripts, a, dtype=np.dtype(dtype).name)(subscripts, a)
        expected = np.einsum(subscripts, a.astype(dtype))
        assert result.dtype == expected.dtype
        np.testing.assert_array_equal(result, expected)


def test_a_large_complex_operand_loses_its_imaginary_part():
    a = np.full((3, CAST_FIRST // 2), 1 + 2j)
    call = launch_of("ij->i", a, dtype="float64")
    with pytest.warns(np.exceptions.ComplexWarning):
        result = call("ij->i", a)
    assert result.tolist() == [CAST_FIRST // 2] * 3


def test_a_chain_ends_in_a_scalar():
    a = np.ones(1 << 18, np.float32)
    total = launch_of("i->", a)("i->", a)
    assert type(total) is np.float32
    assert total == 1 << 18


def test_chains_leave_nothing_behind():
    a, b = np.ones((2, 2), np.int8), np.ones((2, 2))
    call = launch_of("ij,jk->ik", a, b)
    assert none_leaks(lambda: call("ij,jk->ik", a, b), a, b, a.dtype, b.dtype)


# --- kernels


def test_a_kernel_has_its_source_where_tracebacks_look():
    odd = np.ones((2, 3, 4), "u2")  # no other test's: registries share modules
    kernel = registry.kernel(plan_of("ijk,ikj->j", odd, odd.swapaxes(1, 2)).steps[0].lowered.nest)
    source = kernel.source
    module = importlib.import_module(source.module)
    assert inspect.getsource(module.contract) in source.text
    assert linecache.getline(module.__file__, 1) == source.text.splitlines(keepends=True)[0]
    assert Path(module.__file__).name == f"<{source.module}>"
    assert kernel.address > 0
    assert kernel.seconds > 0


def test_a_diagonal_walked_backwards():
    a = as_strided(np.arange(5.0)[2:], (3, 3), (8, -8))
    for subscripts in ("ii->", "ii->i"):
        result = launch_of(subscripts, a)(subscripts, a)
        np.testing.assert_array_equal(result, np.einsum(subscripts, a))
