"""Many processes, threads and forks: one cache, no wrong number, no dead process, no waiting."""

import functools
import importlib.metadata
import os
import random
import textwrap
import time

import children
import numpy as np
import pytest

from einjit.kernel.cache import Cache

pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks and signals are POSIX's")

EQUATIONS = (
    "i,i->", "ij,jk->ik", "ji,jk->ik", "ij,kj->ik", "bij,bjk->bik", "ij,j->i", "ij,i->j",
    "i,j->ij", "ii->", "ij->", "ij->i", "ij->j", "ijk->ik", "ij,ij->ij", "ij,ij->i", "ij,j->ij",
    "i,ij,j->", "abc,cd->abd", "abc,bcd->ad", "abcd,cd->ab", "ab,bc,cd->ad", "abc->b", "abc->bc",
    "abc,abc->", "abc,abc->c", "abc,c->ab", "abc,b->ac", "a,b,c->abc", "aab->b", "aab,b->a",
    "ab,ab,ab->ab", "ab,ba->", "abc,cba->b", "abcd->bd", "abcd,abcd->ad", "abcd,bd->ac", "ab,cd->",
    "ab,cd->abcd", "abc,ad->bcd", "abc,dc->abd", "ab,ac->bc", "ab,ac,ad->bcd", "abb->a", "abb->b",
    "abcd,dcba->", "abcd->abd", "abcd,e->abcde", "ab,b->", "ab,a->", "abc,bc->a",
)  # fmt: skip
DTYPES = ("float64", "float32", "int64", "int16", "complex64", "bool", "uint8", "int8", "uint32",
          "uint64", "complex128", "int32", "uint16")  # fmt: skip
LAYERS = ("omp", "tbb", "workqueue")


def operands(equation, dtype):
    """Small operands whose sums are exact in every dtype, other ones for each equation."""
    terms, source = equation.split("->")[0].split(","), random.Random(equation)
    extents = {letter: source.randrange(2, 6) for letter in "abcdeijk"}
    shapes = [tuple(extents[letter] for letter in term) for term in terms]
    counted = [np.arange(np.prod(shape)).reshape(shape) % 2 for shape in shapes]
    return [array.astype(dtype) for array in counted]


def check(equation, dtype):
    """Contract, and compare with numpy to the bit."""
    import einjit

    given = operands(equation, dtype)
    expected = np.einsum(equation, *given)
    found = einjit.einsum(equation, *given)
    assert found.dtype == expected.dtype, (equation, dtype)
    assert np.array_equal(found, expected), (equation, dtype)


def work(seed, n, shift=0):
    """Contract `n` equations in an order of one's own: what each of many processes does."""
    dtypes = [DTYPES[(i + shift) % len(DTYPES)] for i in range(n)]
    cases = list(zip(EQUATIONS[:n], dtypes, strict=True))
    random.Random(seed).shuffle(cases)
    print("started", flush=True)
    for case in cases:
        check(*case)


@functools.cache
def library_of(layer):
    """Where the dynamic loader has to look for a threading layer."""
    if layer != "tbb":
        return {}
    try:
        files = importlib.metadata.files("tbb") or ()
    except importlib.metadata.PackageNotFoundError:
        return {}
    places = {str(f.locate().resolve().parent) for f in files if f.name.startswith("libtbb.so")}
    return {"LD_LIBRARY_PATH": os.pathsep.join([*places, os.environ.get("LD_LIBRARY_PATH", "")])}


@functools.cache
def selects(layer):
    """Whether a process can have this threading layer."""
    code = (
        "from numba.np.ufunc import parallel as p; p._launch_threads(); print(p._threading_layer)"
    )
    child = children.start(code, NUMBA_THREADING_LAYER=layer, **library_of(layer))
    out, _ = child.communicate(timeout=children.TIMEOUT)
    return child.returncode == 0 and out.strip() == layer


@pytest.fixture(params=LAYERS)
def layer(request):
    """The settings of a child on each threading layer that there is."""
    if not selects(request.param):
        pytest.skip(f"numba has no {request.param} here")
    return {
        "NUMBA_THREADING_LAYER": request.param,
        "NUMBA_NUM_THREADS": 2,
        **library_of(request.param),
    }


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A folder of what all kernels share, for children that do not write."""
    return children.stock(tmp_path_factory.mktemp("shared") / "kernels")


# ---------------------------------------------------------------- one folder, many processes


def crowd(folder, n_equations, n_workers, n_killed, seed):
    """Workers on one cold folder, and others that are killed; all who are left must succeed."""
    source = random.Random(seed)
    code = "import sys, test_processes; test_processes.work(*map(int, sys.argv[1:]))"
    endless = """
        import itertools, sys, test_processes
        for shift in itertools.count(int(sys.argv[1])):  # other dtypes: kernels of their own
            test_processes.work(shift, 50, shift)
    """
    settings = {"EINJIT_CACHE_DIR": folder, "NUMBA_NUM_THREADS": 2}
    workers = [children.start(code, number, n_equations, **settings) for number in range(n_workers)]
    for number in range(n_killed):
        victim = children.start(endless, 1 + number, **settings)
        assert victim.stdout.readline() == "started\n"
        time.sleep(source.uniform(0.1, 3))
        victim.kill()
        victim.communicate(timeout=children.TIMEOUT)
        assert victim.returncode == -9
    for each in workers:
        out, err = children.finish(each, timeout=600)
        assert (out, err) == ("started", "")
    found = list(Cache(folder).entries())
    assert len(found) > n_equations
    assert [path for path, entry in found if entry is None] == []
    assert folder.stat().st_mode & 0o777 == 0o700


def test_many_processes_share_a_cold_folder(tmp_path):
    crowd(tmp_path / "kernels", n_equations=20, n_workers=6, n_killed=3, seed=0)
    code = """
        import sys, test_processes, einjit
        test_processes.work(0, 20)
        stats = einjit.registry.stats()
        print(stats["compiled"], stats["loaded"] >= 15, "numba" in sys.modules)
    """
    out = children.run(code, EINJIT_CACHE_DIR=tmp_path / "kernels")
    assert out.split()[1:] == ["0", "True", "False"]


@pytest.mark.campaign
def test_many_processes_share_a_cold_folder_and_many_are_killed(tmp_path):
    crowd(tmp_path / "kernels", n_equations=50, n_workers=8, n_killed=20, seed=1)


SAVE_AT_ONCE = """
    import os, sys, time
    from pathlib import Path
    here, other = map(Path, sys.argv[1:3])
    replace = os.replace
    def meet(source, target):
        here.touch()
        limit = time.monotonic() + 60
        while not other.exists() and time.monotonic() < limit:
            pass
        assert other.exists()
        replace(source, target)
    os.replace = meet
    import test_processes
    test_processes.check("ij,jk->ik", sys.argv[3])
"""


@pytest.mark.parametrize("dtypes", [("float64", "float64"), ("float64", "int64")])
def test_two_processes_save_at_once(tmp_path, dtypes):
    folder = children.stock(tmp_path / "kernels")
    one, two = tmp_path / "one", tmp_path / "two"
    settings = {"EINJIT_CACHE_DIR": folder}
    started = [
        children.start(SAVE_AT_ONCE, one, two, dtypes[0], **settings),
        children.start(SAVE_AT_ONCE, two, one, dtypes[1], **settings),
    ]
    for child in started:
        assert children.finish(child) == ("", "")
    code = """
        import sys, einjit, test_processes
        for dtype in sys.argv[1:]:
            test_processes.check("ij,jk->ik", dtype)
        stats = einjit.registry.stats()
        print(stats["compiled"], stats["loaded"], "numba" in sys.modules)
    """
    out = children.run(code, *dtypes, **settings)
    assert out == f"0 {len(set(dtypes))} False"
    assert all(entry for _, entry in Cache(folder).entries())


def test_writers_and_readers_of_one_key(tmp_path):
    """A reader sees one of the entries that were saved under its key, whole, or none."""
    code = """
        import sys
        from pathlib import Path
        from einjit.kernel.cache import Cache, Entry
        cache, number = Cache(Path(sys.argv[1])), int(sys.argv[2])
        for n in range(150):
            for key in ({"key": 1}, {"key": 2}):
                cache.save(Entry(key, {"writer": number}, bytes([number, key["key"]]) * 5000))
                found = cache.load(key)
                assert found is not None
                assert found.code == bytes([found.facts["writer"], key["key"]]) * 5000
            if n % 50 == 49:
                cache.prune()
        assert cache.counts.keys() == {"saved"}, cache.counts
    """
    folder = tmp_path / "kernels"
    for child in [children.start(code, folder, number) for number in range(3)]:
        assert children.finish(child) == ("", "")
    assert len(list(folder.iterdir())) == 2


# ---------------------------------------------------------------- forks


FORK = """
    import os, random, signal, sys, threading, time
    import numpy as np, einjit
    moment, n = sys.argv[1], int(sys.argv[2])
    source = random.Random(n)
    big = np.arange(250_000.0).reshape(500, 500) % 7
    expected = einjit.einsum("ij,ij->ij", big, big)
    assert (expected == big * big).all()

    def large():
        return (einjit.einsum("ij,ij->ij", big, big) == expected).all()

    def with_threads():
        return bool(einjit.registry._native.process[9])

    def new(number):
        '''A kernel that nobody has: it is compiled, as the cache is not written.'''
        shape = [2] * (3 + number % 4)
        letters = "abcdef"[: len(shape)]
        output = "".join(letter for bit, letter in enumerate(letters) if number >> bit & 1)
        a = np.ones(shape, ("int8", "int16", "uint16", "uint32")[number // 16 % 4])
        return (einjit.einsum(f"{letters}->{output}", a) == 2 ** (len(shape) - len(output))).all()

    if moment in ("used", "launching"):
        for _ in range(20_000):
            if with_threads():
                break
            large()
        assert with_threads()

    stop, failed = threading.Event(), []

    def background():
        number = 100
        while not stop.is_set():
            number += 1
            if not (new(number) if moment == "compiling" else large()):
                failed.append(number)

    thread = threading.Thread(target=background, daemon=True)
    if moment in ("compiling", "launching"):
        thread.start()
        time.sleep(0.5)
    for number in range(n):
        time.sleep(source.uniform(0, 0.05))
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            try:
                right = all([large() for _ in range(5)])
                right = right and (moment == "launching" or new(number))
                if moment == "used" and number == 0:
                    for _ in range(300):  # long enough to want threads
                        right = right and large()
                os._exit(0 if right else 1)
            except BaseException as problem:
                print(repr(problem), flush=True)
                os._exit(2)
        status = os.waitpid(child, 0)[1]
        if status:
            print("status", status, flush=True)
            os._exit(1)
        assert large()
    stop.set()
    if moment in ("compiling", "launching"):
        thread.join()
    assert not failed
    print("done")
"""


def fork(moment, n, folder, layer):
    settings = {"EINJIT_CACHE_DIR": folder, "EINJIT_CACHE": "ro", **layer}
    out, err = children.finish(children.start(FORK, moment, n, **settings), timeout=60 + 10 * n)
    told = [line for line in (out + "\n" + err).splitlines() if line]
    # tbb says, on one or the other, that it could not wait for another thread's launch.
    assert [line for line in told if "Unable to join threads" not in line] == ["done"]


@pytest.mark.parametrize("moment", ["used", "compiling", "launching"])
def test_forks(moment, shared, layer):
    fork(moment, {"used": 3, "compiling": 3, "launching": 10}[moment], shared, layer)


@pytest.mark.campaign
@pytest.mark.parametrize("moment", ["used", "compiling", "launching"])
def test_fifty_forks(moment, shared, layer):
    fork(moment, 50, shared, layer)


FORK_EARLY = """
    import os, signal, sys, threading, time
    import numpy as np, einjit
    a = np.ones((400, 400))
    thread = threading.Thread(target=lambda: [einjit.einsum("ij,kj->ik", a, a) for _ in range(8)])
    thread.start()
    time.sleep(float(sys.argv[1]))
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        right = (einjit.einsum("ij,kj->ik", a, a) == 400).all()
        right = right and einjit.einsum("i,i->", np.ones(5, "int16"), np.ones(5, "int16")) == 5
        os._exit(0 if right else 1)
    status = os.waitpid(child, 0)[1]
    thread.join()
    assert status == 0, status
"""


@pytest.mark.parametrize("moment", [0.0, 0.02, 0.06, 0.15, 0.3, 0.5])
def test_a_fork_during_the_first_call(moment, shared):
    """Modules are being imported, kernels loaded and compiled, threads launched meanwhile."""
    settings = {"EINJIT_CACHE_DIR": shared, "EINJIT_CACHE": "ro", "NUMBA_NUM_THREADS": 2}
    assert children.run(FORK_EARLY, moment, **settings) == ""


@pytest.mark.campaign
@pytest.mark.parametrize("moment", np.linspace(0, 1, 50).round(3).tolist())
def test_fifty_forks_during_the_first_call(moment, shared):
    test_a_fork_during_the_first_call(moment, shared)


@pytest.mark.parametrize("who", ["einjit", "the user"])
def test_a_fork_after_threads_were_launched_by_others(who, shared, layer):
    """Compiling parallel code launches numba's threads, a user's own function too."""
    code = """
        import os, signal, sys
        import numpy as np, einjit, numba
        a = np.ones((400, 400))
        if sys.argv[1] == "the user":
            @numba.njit(parallel=True)
            def f(x):
                for i in numba.prange(x.size):
                    x[i] += 1
            f(np.ones(100))
        else:
            from einjit.kernel.compile import compile_builtin
            compile_builtin("drive", "hot")  # as the first process on a machine does
        assert (einjit.einsum("ij,kj->ik", a[:9], a[:9]) == 400).all()
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            right = all([(einjit.einsum("ij,kj->ik", a, a) == 400).all() for _ in range(60)])
            os._exit(0 if right else 1)
        status = os.waitpid(child, 0)[1]
        assert status == 0, status
    """
    settings = {"EINJIT_CACHE_DIR": shared, "EINJIT_CACHE": "ro", **layer}
    assert children.run(code, who, **settings) == ""


def test_threads_that_fork_at_once(shared):
    code = """
        import os, sys, threading
        import numpy as np, einjit
        sys.setswitchinterval(1e-6)
        a = np.ones((30, 30))
        einjit.einsum("ij,jk->ik", a, a)

        def work():
            for _ in range(100):
                child = os.fork()
                if child == 0:
                    os._exit(0)
                os.waitpid(child, 0)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        f = a.astype("float32")
        last = threading.Thread(target=lambda: einjit.einsum("ij,jk->ik", f, f))
        last.start()
        last.join()
        assert (einjit.einsum("ij,jk->ik", f, f) == 30).all()
    """
    assert children.run(code, timeout=60, EINJIT_CACHE_DIR=shared, EINJIT_CACHE="ro") == ""


# ---------------------------------------------------------------- threads


LAUNCHES = """
    import sys, threading
    import numpy as np, einjit, numba
    n = int(sys.argv[1])
    a = np.arange(90_000.0).reshape(300, 300) % 5
    expected = {"ij,kj->ik": a @ a.T, "ij,ij->ij": a * a}
    while not einjit.registry.stats()["misses"] or not einjit.registry._native.process[9]:
        einjit.einsum("ij,kj->ik", a, a)
    wrong, barrier = [], threading.Barrier(8)

    def work(number):
        barrier.wait()
        try:
            for turn in range(n):
                subscripts = sorted(expected)[(number + turn) % 2]
                if not (einjit.einsum(subscripts, a, a) == expected[subscripts]).all():
                    wrong.append((number, turn))
        except BaseException as problem:
            wrong.append(problem)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong
    print(numba.threading_layer())
"""


@pytest.mark.parametrize("n", [40, pytest.param(500, marks=pytest.mark.campaign)])
def test_threads_launch_at_once(shared, layer, n):
    settings = {"EINJIT_CACHE_DIR": shared, "EINJIT_CACHE": "ro", **layer}
    out = children.run(LAUNCHES, n, **settings, timeout=300)
    assert out == layer["NUMBA_THREADING_LAYER"]


def test_threads_call_while_numba_is_imported(shared, layer):
    """Several threads make the large calls that lead to the import of numba and the launch."""
    code = """
        import sys, threading, time
        import numpy as np, einjit
        from einjit.kernel.layout import DRIVER
        a = np.ones((400, 400))
        wrong = []
        patience = time.monotonic() + 60

        def work():
            while time.monotonic() < patience:
                launched = einjit.registry.native.process[DRIVER]
                if not (einjit.einsum("ij,kj->ik", a, a) == 400).all():
                    wrong.append(1)
                if launched:
                    break

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert einjit.registry.native.process[DRIVER]
    """
    settings = {"EINJIT_CACHE_DIR": shared, "EINJIT_CACHE": "ro", **layer}
    assert children.run(code, **settings) == ""


def test_a_child_forked_while_numba_is_imported_fetches_threads_itself(shared):
    """The thread that would import is not in the child."""
    code = """
        import os, sys, time
        import numpy as np, einjit
        from einjit.kernel import parallel
        from einjit.kernel.layout import DRIVER, PATIENCE
        a = np.ones((400, 400))
        native = einjit.registry.native

        def call_until_launched():
            patience = time.monotonic() + 60
            while not native.process[DRIVER] and time.monotonic() < patience:
                assert (einjit.einsum("ij,kj->ik", a, a) == 400).all()
            return native.process[DRIVER] != 0

        with einjit.registry._lock:  # what imports waits for it
            while native.process[PATIENCE] == parallel.PATIENCE:
                einjit.einsum("ij,kj->ik", a, a)
            child = os.fork()
        if child == 0:
            os._exit(0 if call_until_launched() else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert call_until_launched()
    """
    settings = {"EINJIT_CACHE_DIR": shared, "EINJIT_CACHE": "ro"}
    assert children.run(code, **settings) == ""


def test_large_calls_at_exit_need_no_thread(shared):
    """A process that ends imports nothing more, and its last calls compute."""
    code = """
        import atexit
        import numpy as np, einjit
        a = np.ones((400, 400))

        @atexit.register
        def last():
            for _ in range(300):
                assert (einjit.einsum("ij,kj->ik", a, a) == 400).all()
            print("done")
    """
    settings = {"EINJIT_CACHE_DIR": shared, "EINJIT_CACHE": "ro"}
    assert children.run(code, **settings) == "done"


@pytest.mark.parametrize("before", ["nothing", "a call", "a launch"])
def test_a_call_within_a_users_parallel_loop_is_serial(shared, layer, before):
    """numba's workqueue ends the process where one launch comes within another."""
    code = """
        import sys
        import numba, numpy as np, einjit
        from einjit.kernel.layout import DRIVER
        from watched import Watched

        a = np.arange(90_000.0).reshape(300, 300) % 5
        expected = {"ij,kj->ik": a @ a.T, "ij,ij->ij": a * a, "ij->": a.sum()}
        right, launched = [], []

        def check(i):
            for subscripts, result in expected.items():
                given = [a] * (subscripts.count(",") + 1)
                right.append(np.array_equal(einjit.einsum(subscripts, *given), result))

        def watch(i):
            launched.append(calls[i]())

        @numba.njit(parallel=True)
        def loop(n, watching):
            for i in numba.prange(n):
                with numba.objmode():
                    (watch if watching else check)(i)

        native = einjit.registry.native
        if sys.argv[1] == "a call":
            check(0)
            native.share_threads(0, patience=0, lock=0)  # the next large call asks for threads
        elif sys.argv[1] == "a launch":
            assert Watched()() == 2
        loop(8, False)
        assert (native.process[DRIVER] != 0) == (sys.argv[1] == "a launch")
        calls = [Watched() for _ in range(8)]  # threads are there, whatever there was before
        assert calls[0]() == 2
        loop(8, True)
        check(0)
        assert launched == [1] * 8, launched
        assert all(right) and len(right) >= 27, right
        assert [call() for call in calls] == [2] * 8
        print(numba.threading_layer())
    """
    settings = {"EINJIT_CACHE_DIR": shared, "EINJIT_CACHE": "ro", **layer}
    assert children.run(code, before, **settings) == layer["NUMBA_THREADING_LAYER"]


@pytest.mark.parametrize("first", ["einjit", "threadpoolctl"])
def test_threadpoolctl_limits_launches(layer, first):
    code = """
        import importlib, sys, threading
        importlib.import_module(sys.argv[1])
        import einjit
        from threadpoolctl import threadpool_info, threadpool_limits

        with threadpool_limits(1):
            assert einjit.get_num_threads() == 1
            assert "numba" not in sys.modules
        assert einjit.get_num_threads() == 3
        from watched import Watched
        call = Watched()
        assert call() == 3
        for limit, n in ((1, 1), (2, 2), (3, 3), (99, 3), ({"einjit": 2}, 2), ({"blas": 1}, 3)):
            with threadpool_limits(limit):
                assert call() == n == einjit.get_num_threads(), (limit, n)
                with einjit.threads(2):
                    assert call() == 2
                apart = []
                thread = threading.Thread(target=lambda: apart.append(call()))
                thread.start()
                thread.join()
                assert apart == [3]
            assert call() == 3
        with threadpool_limits(1, user_api="blas"):
            assert call() == 3
        import numba
        numba.set_num_threads(2)  # a limit that is over left nothing behind that would beat this
        assert call() == 2
        (mine,) = [facts for facts in threadpool_info() if facts["user_api"] == "einjit"]
        assert (mine["num_threads"], mine["version"]) == (2, einjit.__version__)
        print(numba.threading_layer())
    """
    out = children.run(code, first, **{**layer, "NUMBA_NUM_THREADS": 3})
    assert out == layer["NUMBA_THREADING_LAYER"]


def test_einjit_works_with_and_without_any_threadpoolctl():
    code = """
        import sys, types
        old = types.ModuleType("threadpoolctl")  # as before 3.2
        sys.modules["threadpoolctl"] = None if sys.argv[1] == "none" else old
        import einjit
        print(einjit.get_num_threads())
    """
    for which in ("none", "old"):
        assert children.run(code, which, NUMBA_NUM_THREADS=5) == "5"


# ---------------------------------------------------------------- the same bits


BITS = """
    import hashlib, sys
    import numpy as np, einjit
    rng, digest = np.random.default_rng(5), hashlib.sha256()
    a = rng.standard_normal((300, 300))
    v = rng.standard_normal(300_000).astype("float32")
    z = (a[:40, :50] + 1j * a[:40, 50:100]).astype("complex64")
    calls = [("ij,jk->ik", a, a), ("ij->", a), ("i,i->", v, v), ("ij,kj->ik", z, z)]
    calls += [("ij,ij->ij", a.astype("float16"), a.astype("float16"))]
    first = []
    for call in calls:
        first.append(einjit.einsum(*call).tobytes())
        digest.update(first[-1])
    if "wake" in sys.argv:
        for _ in range(2000):
            if einjit.registry._native.process[9]:
                break
            einjit.einsum(*calls[0])
        assert einjit.registry._native.process[9]
        for call, before in zip(calls, first, strict=True):
            assert einjit.einsum(*call).tobytes() == before, call[0]
            with einjit.threads(1):
                assert einjit.einsum(*call).tobytes() == before, call[0]
            with einjit.threads(2):
                assert einjit.einsum(*call).tobytes() == before, call[0]
    stats = einjit.registry.stats()
    print(digest.hexdigest(), stats["compiled"], stats["loaded"], "numba" in sys.modules)
"""


def test_the_same_bits_with_the_cache_on_off_and_read_only(tmp_path):
    folder = children.stock(tmp_path / "kernels")
    settings = {"EINJIT_CACHE_DIR": folder, "NUMBA_NUM_THREADS": 2}
    digest, compiled, loaded, _ = children.run(BITS, **settings).split()
    n = int(compiled)
    assert n >= 5
    assert loaded == "0"
    assert children.run(BITS, **settings).split() == [digest, "0", str(n), "False"]
    read_only = children.run(BITS, "wake", **settings, EINJIT_CACHE="ro")
    assert read_only.split() == [digest, "0", str(n), "True"]
    off = children.run(BITS, NUMBA_NUM_THREADS=2)
    assert off.split() == [digest, str(n), "0", "True"]


def test_threads_wake_after_enough_large_calls_and_small_calls_never_need_numba(tmp_path):
    folder = children.stock(tmp_path / "kernels")
    code = """
        import sys
        import numpy as np, einjit
        small, large = np.ones((8, 8)), np.ones((300, 300))
        for _ in range(3000):
            assert einjit.einsum("ij,kj->ik", small, small)[0, 0] == 8
        asleep = "numba" not in sys.modules
        turns = 0
        while not einjit.registry._native.process[9] and turns < 1000:
            assert (einjit.einsum("ij,kj->ik", large, large) == 300).all()
            turns += 1
        print(asleep, 2 < turns < 1000, "numba" in sys.modules)
    """
    settings = {"EINJIT_CACHE_DIR": folder, "NUMBA_NUM_THREADS": 2}
    assert children.run(code, **settings).endswith("True")  # compiled here
    assert children.run(code, **settings) == "True True True"


@pytest.mark.parametrize("before", ["nothing", "the import has begun"])
def test_a_call_that_takes_longer_than_the_import_waits_for_it(shared, layer, before):
    code = """
        import sys
        import numpy as np, einjit
        from einjit.kernel import parallel
        from einjit.kernel.layout import DEBT, DRIVER, PATIENCE
        a = np.ones((400, 400))
        native = einjit.registry.native
        assert (einjit.einsum("ij,kj->ik", a, a) == 400).all()  # from the cache
        if sys.argv[1] == "the import has begun":
            while native.process[PATIENCE] == parallel.PATIENCE:
                einjit.einsum("ij,kj->ik", a, a)
        native.process[DEBT] += parallel.LONG  # as if the next one took so long
        assert (einjit.einsum("ij,kj->ik", a, a) == 400).all()
        assert native.process[DRIVER] and "numba" in sys.modules
    """
    settings = {"EINJIT_CACHE_DIR": shared, "EINJIT_CACHE": "ro", **layer}
    assert children.run(code, before, **settings) == ""


def test_a_call_of_one_thread_does_not_delay_the_others(shared):
    """Once numba is there the first call that may use threads has them."""
    code = """
        import threading
        import numpy as np, einjit
        from einjit.kernel import parallel
        from einjit.kernel.layout import DRIVER, PATIENCE
        a = np.ones((400, 400))
        native = einjit.registry.native
        while native.process[PATIENCE] == parallel.PATIENCE:
            einjit.einsum("ij,kj->ik", a, a)
        for thread in threading.enumerate():
            if thread is not threading.current_thread():
                thread.join()  # that which imports numba
        with einjit.threads(1):
            assert (einjit.einsum("ij,kj->ik", a, a) == 400).all()
        assert not native.process[DRIVER]
        assert (einjit.einsum("ij,kj->ik", a, a) == 400).all()
        assert native.process[DRIVER]
    """
    settings = {"EINJIT_CACHE_DIR": shared, "EINJIT_CACHE": "ro", "NUMBA_NUM_THREADS": 2}
    assert children.run(code, **settings) == ""


def test_a_layer_that_is_not_there_is_no_misfortune(shared):
    """Large calls go on in one thread."""
    code = """
        import numpy as np, einjit
        a = np.ones((500, 500))
        for _ in range(60):
            assert (einjit.einsum("ij,kj->ik", a, a) == 500).all()
        print(einjit.registry._native.process[9])
    """
    settings = {"EINJIT_CACHE_DIR": shared, "EINJIT_CACHE": "ro", "EINJIT_LOG": "critical"}
    assert children.run(code, **settings, NUMBA_THREADING_LAYER="none_such") == "0"


# ---------------------------------------------------------------- a user's own cached function


USER = """
import importlib, sys
import numba, numpy as np
module = importlib.import_module(sys.argv[1])
kernel = numba.njit(module.contract)

@numba.njit(cache=True)
def total(tiles, operands, sizes):
    kernel(0, tiles, operands, sizes)

a, out = np.arange(7.0), np.zeros(())
addresses = np.array([a.ctypes.data, a.ctypes.data, out.ctypes.data])
total(int(sys.argv[2]), addresses, np.array(eval(sys.argv[3])))
print(float(out), sum(total.stats.cache_hits.values()), total.stats.cache_path)
"""


def test_a_users_cached_function_finds_a_generated_module(tmp_path):
    folder = children.stock(tmp_path / "kernels")
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(USER))
    code = """
        import numpy as np, einjit
        from einjit.api import plan_for
        from einjit.equation.operands import Layout
        a = np.arange(7.0)
        assert einjit.einsum("i,i->", a, a) == 91
        lowered = plan_for("i,i->", [Layout.of(a)] * 2).steps[0].lowered
        module = next(iter(einjit.registry)).source.module
        print(module, lowered.tiles, list(lowered.sizes), sep=";")
    """
    given = children.run(code, EINJIT_CACHE_DIR=folder).split(";")
    for hits in (0, 1, 1):
        child = children.start("", *given, command=[str(program)], EINJIT_CACHE_DIR=folder)
        out, err = children.finish(child)
        total, n_hits, where = out.split(" ", 2)
        assert (float(total), int(n_hits), err) == (91.0, hits, "")
        assert where.startswith(str(tmp_path))


def test_a_generated_module_reads_as_any_other(tmp_path):
    folder = children.stock(tmp_path / "kernels")
    first = """
        import numpy as np, einjit
        einjit.einsum("i,i->", np.ones(3), np.ones(3))
        print(next(iter(einjit.registry)).source.module)
    """
    name = children.run(first, EINJIT_CACHE_DIR=folder)
    code = """
        import importlib, inspect, pickle, sys
        module = importlib.import_module(sys.argv[1])
        assert module.__name__ == sys.argv[1]
        assert module.contract.__module__ == sys.argv[1]
        assert pickle.loads(pickle.dumps(module.contract)) is module.contract
        assert "def contract" in inspect.getsource(module)
        try:
            importlib.import_module("einjit.generated.no_such")
        except ModuleNotFoundError as error:
            print(error.name)
    """
    assert children.run(code, name, EINJIT_CACHE_DIR=folder) == "einjit.generated.no_such"
