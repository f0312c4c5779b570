"""Threads: the bits do not depend on their number, and any number of callers may come at once."""

import os
import subprocess
import sys
import threading

import children
import numba
import numpy as np
import pytest

import einjit
from einjit.equation.operands import Layout
from einjit.equation.parser import parse
from einjit.errors import ArgumentError, OptionError
from einjit.kernel.layout import DRIVER
from einjit.plan.lowering import LOWERINGS
from einjit.plan.plan import make_plan
from einjit.registry import registry
from einjit.settings import Settings
from einjit.target import last_cache

MOST = numba.config.NUMBA_NUM_THREADS


def operand(*shape, dtype="f8", order="C"):
    rng = np.random.default_rng(sum(shape))
    values = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        values = values + 1j * rng.standard_normal(shape)
    elif np.dtype(dtype).kind != "f":
        values = values * 50
    return np.asarray(values.astype(dtype), order=order)


def both(*shape, dtype="f8"):
    return operand(*shape, dtype=dtype), operand(*shape, dtype=dtype)


EQUATIONS = [
    # sums in a register
    ("ij->i", operand(1500, 1900)),
    ("ij->i", operand(1900, 2900, dtype="f4")),
    ("ij->i", operand(600, 900, dtype="c16")),
    ("ij->i", operand(1900, 2900, dtype="i4")),
    ("ji->i", operand(1900, 1500, order="F")),
    ("ij,ij->i", *both(600, 900)),
    ("ij,j->i", operand(600, 900), operand(900)),
    ("ij,kj->ik", operand(60, 900, dtype="c16"), operand(70, 900, dtype="c16")),
    ("ij,kj->ik", operand(60, 900, dtype="c8"), operand(70, 900, dtype="c8")),
    ("bij,bij->b", *both(90, 40, 160)),
    ("ijk->i", operand(160, 150, 150)),
    ("ij,ij,ij->i", *both(600, 900), operand(600, 900)),
    # sums on a strip
    ("ij->j", operand(300, 4500, dtype="f4")),
    ("ij,jk->ik", operand(90, 80, dtype="c16"), operand(80, 300, dtype="c16")),
    ("ij,jk->ik", operand(90, 80, dtype="c8"), operand(80, 300, dtype="c8")),
    ("ij,jk->ik", operand(90, 80, dtype="f2"), operand(80, 300, dtype="f2")),
    ("ij,jk->ik", operand(190, 180, dtype="i2"), operand(180, 700, dtype="i2")),
    ("ji,jk->ik", operand(80, 90), operand(80, 300)),
    ("bij,bjk->bik", operand(90, 40, 40), operand(90, 40, 40)),
    ("bij,bjk->bik", operand(50, 40, 60, dtype="f2"), operand(50, 60, 90, dtype="f2")),
    ("ijk->ik", operand(60, 90, 100)),
    ("ij,i->j", operand(200, 4500), operand(200)),
    ("ij,i->j", operand(40, 70_000), operand(40)),
    ("ij,jk->ik", operand(3, 80, dtype="f2"), operand(80, 60_000, dtype="f2")),
    ("ij,jk->ik", operand(3, 80), operand(80, 60_000)),
    ("ijk,jk->ij", operand(9, 40, 3000), operand(40, 3000)),
    ("ij,i->j", operand(200, 4500, dtype="i8"), operand(200, dtype="i8")),
    ("ij,i->j", operand(200, 4500, dtype="c8"), operand(200, dtype="c8")),
    ("ijk,jk->ik", operand(60, 90, 100), operand(90, 100)),
    ("ij,jk->ik", operand(30, 80, dtype="c8"), operand(80, 700, dtype="c8")),
    ("ij,ik,il->jkl", operand(50, 20), operand(50, 30), operand(50, 40)),
    # products
    ("ij,j->ij", operand(600, 900, dtype="c16"), operand(900, dtype="c16")),
    # packed boxes
    ("ij,jk->ik", operand(300, 700), operand(700, 300)),
    ("ji,jk->ik", operand(700, 300), operand(700, 310)),
    ("ij,kj->ik", operand(300, 200, dtype="f4"), operand(400, 200, dtype="f4")),
    ("ij,jk->ki", operand(300, 200, dtype="i8"), operand(200, 300, dtype="i8")),
    ("bij,bjk->bik", operand(40, 50, 60), operand(40, 60, 70)),
    ("jbi,kbj->ikb", operand(60, 9, 80, dtype="f4"), operand(90, 9, 60, dtype="f4")),
    ("kab,kcd->acbd", operand(60, 30, 40), operand(60, 40, 5)),
    ("ijb,jkb->ikb", operand(70, 60, 9), operand(60, 80, 9)),
    ("bgfd,caeg->fedcba", operand(9, 12, 11, 9), operand(10, 11, 12, 12)),
    # past the caches
    ("i,j->ij", operand(last_cache() // 512 + 1), operand(64)),
    ("ij,jk->ik", operand(last_cache() // 1024 + 1, 20), operand(20, 64)),
    # a few rows with many
    ("ij,kj->ik", operand(4, 900), operand(3000, 900)),
    ("btkgd,bskd->bkgts", operand(2, 1, 3, 4, 64, dtype="f4"), operand(2, 3000, 3, 64, dtype="f4")),
    # tiles
    ("kij,kji->ij", operand(40, 200, 150), operand(40, 150, 200)),
    ("ij,ji->i", operand(600, 900, dtype="c8"), operand(900, 600, dtype="c8")),
    # tiny sums, long batches
    ("bij,bjk->bik", operand(90_000, 3, 3), operand(90_000, 3, 3)),
    ("bij,bj->bi", operand(90_000, 4, 4, dtype="f4"), operand(90_000, 4, dtype="f4")),
    # products
    ("ij,ij->ij", *both(600, 900)),
    ("ij,ij->ij", *both(600, 900, dtype="f4")),
    ("ij,ij->ij", *both(2400, 1900, dtype="i1")),
    ("ij,ij->ij", *both(2400, 1900, dtype="?")),
    ("ij,ji->ij", operand(600, 900), operand(900, 600)),
    ("ij,j->ij", operand(600, 900), operand(900)),
    ("i,j->ij", operand(600), operand(900)),
    ("i,j->ij", operand(3), operand(200_000)),
    ("i,i->i", operand(600_000)[::2], operand(300_000)),
    ("ij,->ij", operand(600, 900), operand()),
    ("ii,j->ij", operand(600, 600), operand(900)),
    ("ij,jk->ijk", operand(60, 70), operand(70, 80)),
    ("i,j,k->ijk", operand(60), operand(70), operand(80)),
    # long sums that are split
    ("i->", operand(1_000_000)),
    ("i->", operand(5_000_000, dtype="f4")),
    ("i->", operand(1_000_000, dtype="c16")),
    ("i->", operand(9_000_000, dtype="f2")),
    ("i,i->", *both(1_000_000)),
    ("ij,ij->", *both(600, 900)),
    ("ij->j", operand(300_000, 3)),
    ("ij,ik->jk", operand(60_000, 7), operand(60_000, 6)),
    ("ij->j", operand(1500, 600)),
    ("ij->i", operand(3, 700_000)),
    ("i->", operand(4_000_000, dtype="c8")),
    ("ij,jk,ik->", operand(90, 90), operand(90, 90), operand(90, 90)),
    ("ijk,kl->ijl", operand(30, 40, 60), operand(60, 200)),
    # several steps; a copy, a view, an extent of 0
    ("ij,jk,kl->il", operand(200, 210), operand(210, 220), operand(220, 230)),
    ("ij,jk,kl,lm->im", *(operand(120, 120) for _ in range(4))),
    ("ij,kl->ik", operand(600, 1000), operand(600, 1000)),
    ("ij->ji", operand(600, 900)),
    ("ij,ij->ji", *both(600, 900)),
    ("ji", operand(600, 900)),
    ("ij->i", operand(600, 0)),
]


def order_of(subscripts):
    return "C" if subscripts == "ij->ji" else "K"


def plan_of(subscripts, *operands):
    equation = parse(subscripts, [x.ndim for x in operands])
    layouts = [Layout.of(x) for x in operands]
    dtype = np.result_type(*operands).name
    return make_plan(equation, layouts, dtype, order=order_of(subscripts))


def test_the_equations_have_every_kind_of_lowering():
    plans = [plan_of(*call) for call in EQUATIONS]
    lowered = [step.lowered for plan in plans for step in plan.steps]
    assert {one.name for one in lowered} == {row.name for row in LOWERINGS} - {"cast"}
    parallel = [one for one in lowered if one.is_parallel]
    packed = {one.nest.direct for one in parallel if one.name == "packed"}
    assert packed == {True, False}  # C in place, and by way of a box
    nests = {(one.name, one.nest) for one in parallel if one.name != "packed"}
    assert {(name, nest.kind, nest.tile, nest.strip) for name, nest in nests} >= {
        ("nest", "register_sum", 1, False),
        ("nest", "register_sum", 2, False),
        ("nest", "strip_sum", 0, True),
        ("nest", "strip_sum", 1, False),
        ("nest", "strip_sum", 1, True),
        ("nest", "strip_sum", 2, False),
        ("nest", "product", 0, True),
        ("nest", "product", 1, False),
        ("nest", "product", 1, True),
        ("nest", "product", 2, False),
        ("split", "register_sum", 0, False),
        ("split", "strip_sum", 0, False),
    }
    assert max(len(plan.steps) for plan in plans) >= 3
    assert sum(any(step.lowered.is_parallel for step in plan.steps) for plan in plans) >= 50


@pytest.fixture
def launching():
    """Large calls are launched from the first on, not once they have waited for threads."""
    native = registry.native
    registry.fetch_threads()
    assert native.process[DRIVER]


@pytest.mark.skipif(MOST < 2, reason="two threads need two cores")
@pytest.mark.parametrize("call", EQUATIONS, ids=[call[0] for call in EQUATIONS])
def test_one_thread_and_two_give_the_same_bits(call, launching):
    order = order_of(call[0])
    with einjit.threads(1):
        expected = einjit.einsum(*call, order=order).tobytes()
    with einjit.threads(2):
        for _ in range(3):
            assert einjit.einsum(*call, order=order).tobytes() == expected


# --- many callers


def hammer(n_threads, n_calls):
    """Many threads make the same calls, each beginning elsewhere, on a registry that is empty."""
    integers = [operand(*shape, dtype="i8") for shape in [(7, 7), (300, 700), (700,), (160, 160)]]
    small, large, row, square = integers
    calls = [
        ("ij,jk->ik", small, small),
        ("ij,kj->ik", small, small),
        ("ii->i", small),
        ("ij->", small),
        ("ij,jk->ik", small.astype("f4"), small.astype("f4")),
        ("ij,j->i", large, row),
        ("ij,ij->ij", large, large),
        ("ij,ij->", large.astype("f8"), large.astype("f8")),
        ("ij,jk->ik", square, square),
        ("ij,jk,kl->il", square, square, square),
        ("ij->", small.astype(object)),
    ]
    expected = [np.einsum(*call) for call in calls]
    einjit.registry.clear()
    barrier, errors = threading.Barrier(n_threads), []

    def work(number):
        barrier.wait()
        try:
            for turn in range(n_calls):
                place = (number + turn) % len(calls)
                np.testing.assert_array_equal(einjit.einsum(*calls[place]), expected[place])
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(n_threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if errors:
        raise errors[0]
    return calls


def test_8_threads_of_200_calls_compile_each_kernel_once():
    calls = hammer(8, 200)
    stats = einjit.registry.stats()
    plans = [plan_of(*call) for call in calls[:-1]]
    nests = {step.lowered.nest for plan in plans for step in plan.steps} - {None}
    assert stats["compiled"] + stats["loaded"] == len(einjit.registry) == len(nests)
    assert {kernel.source.nest for kernel in einjit.registry} == nests
    assert stats["hits"] + stats["misses"] + sum(stats["fallbacks"].values()) == 8 * 200
    assert any(step.lowered.is_parallel for plan in plans for step in plan.steps)


@pytest.mark.parametrize("layer", ["workqueue"])  # omp, where it is there, is the default
def test_many_callers_in_a_new_process(layer):
    """numba's workqueue ends the process where two threads launch at once."""
    code = "import test_threads; test_threads.hammer(8, 60)"
    environment = os.environ | {"NUMBA_THREADING_LAYER": layer}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=os.path.dirname(__file__),
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


# --- the number of threads


def test_set_and_get():
    before = einjit.get_num_threads()
    try:
        for n in {1, MOST}:
            einjit.set_num_threads(n)
            assert einjit.get_num_threads() == n
            assert numba.get_num_threads() == MOST  # the user's own
    finally:
        einjit.set_num_threads(before)


def test_a_with_block_gives_back_what_was():
    before = einjit.get_num_threads()
    with einjit.threads(1):
        assert einjit.get_num_threads() == 1
        with einjit.threads(MOST):
            assert einjit.get_num_threads() == MOST
        assert einjit.get_num_threads() == 1
    assert einjit.get_num_threads() == before
    with pytest.raises(KeyError), einjit.threads(1):
        raise KeyError
    assert einjit.get_num_threads() == before


def test_the_number_belongs_to_the_python_thread():
    seen = []
    with einjit.threads(1):
        other = threading.Thread(target=lambda: seen.append(einjit.get_num_threads()))
        other.start()
        other.join()
    assert seen == [MOST]


NUMBERS = """
    import sys, threading
    import einjit

    def apart(*steps):
        '''What a new Python thread gets, after some steps of its own.'''
        found = []
        def work():
            for step in steps:
                step()
            found.append(einjit.get_num_threads())
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return found[0]

    asked, bounded = map(int, sys.argv[1:])
    assert einjit.get_num_threads() == apart() == bounded
    assert apart(lambda: einjit.set_num_threads(4)) == 4
    with einjit.threads(2):
        assert (einjit.get_num_threads(), apart()) == (2, bounded)
    assert "numba" not in sys.modules
    import numba
    assert einjit.get_num_threads() == apart() == bounded
    assert apart(lambda: numba.set_num_threads(1)) == 1
    assert apart(lambda: numba.set_num_threads(1), lambda: einjit.set_num_threads(3)) == 3
    from watched import Watched
    call = Watched()
    assert call() == bounded
    for n in (1, 2, 3, 4):
        with einjit.threads(n):
            assert call() == n
        assert numba.get_num_threads() == 4
    numba.set_num_threads(2)
    assert call() == min(2, asked) == einjit.get_num_threads()
    einjit.set_num_threads(3)
    assert call() == 3
    assert numba.get_num_threads() == 2
"""


@pytest.mark.parametrize(("asked", "bounded"), [(2, 2), (3, 3), (9, 4)])
def test_the_environments_number(asked, bounded):
    """What a thread sets beats it; NUMBA_NUM_THREADS bounds it; numba keeps its own."""
    settings = {"EINJIT_NUM_THREADS": asked, "NUMBA_NUM_THREADS": 4}
    assert children.run(NUMBERS, asked, bounded, **settings) == ""


def test_without_a_number_in_the_environment():
    assert children.run(NUMBERS, 4, 4, NUMBA_NUM_THREADS=4, EINJIT_NUM_THREADS="") == ""


@pytest.mark.parametrize("asked", ["0", "-1", "two", "1.5", "2 3"])
def test_a_number_that_is_none(asked):
    with pytest.raises(OptionError, match=f"EINJIT_NUM_THREADS='{asked}' is no number of threads"):
        Settings.read({"EINJIT_NUM_THREADS": asked})


@pytest.mark.parametrize(
    "one", [{"EINJIT_NUM_THREADS": 1, "NUMBA_NUM_THREADS": 2}, {"NUMBA_NUM_THREADS": 1}]
)
def test_one_thread_never_needs_numbas(tmp_path, one):
    code = """
        import sys
        import numpy as np, einjit
        from einjit.kernel.layout import DRIVER
        a = np.ones((300, 300))
        einjit.einsum("ij,kj->ik", a, a)
        run = einjit.registry.get(einjit.registry.native.describe("ij,kj->ik", a, a))
        assert run is not None
        for _ in range(100):
            run("", a, a)
        alone = "numba" not in sys.modules
        with einjit.threads(int(sys.argv[1])):
            while not einjit.registry.native.process[DRIVER] and int(sys.argv[1]) > 1:
                run("", a, a)
        print(alone, "numba" in sys.modules)
    """
    folder = children.stock(tmp_path / "kernels")
    most = one["NUMBA_NUM_THREADS"]
    children.run(code, most, EINJIT_CACHE_DIR=folder, **one)  # compiles
    out = children.run(code, most, EINJIT_CACHE_DIR=folder, **one)
    assert out == f"True {most > 1}"


@pytest.mark.parametrize(
    ("n", "error", "text"),
    [
        (0, OptionError, f"the number of threads must be from 1 to {MOST}, not 0"),
        (-1, OptionError, f"the number of threads must be from 1 to {MOST}, not -1"),
        (MOST + 1, OptionError, f"the number of threads must be from 1 to {MOST}, not {MOST + 1}"),
        (1.0, ArgumentError, "the number of threads must be an int, not float"),
        ("1", ArgumentError, "the number of threads must be an int, not str"),
        (True, ArgumentError, "the number of threads must be an int, not bool"),
        (None, ArgumentError, "the number of threads must be an int, not NoneType"),
    ],
)
def test_numbers_that_cannot_be_set(n, error, text):
    before = einjit.get_num_threads()
    with pytest.raises(error) as caught:
        einjit.set_num_threads(n)
    assert str(caught.value) == text
    with pytest.raises(error), einjit.threads(n):
        pytest.fail("the block is not entered")
    assert einjit.get_num_threads() == before
