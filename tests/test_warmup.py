"""Warm-up and profiles: what is compiled ahead, what is reported, what processes find later."""

import contextlib
import importlib.util
import json
import logging
import os
import sys
import types

import children
import numpy as np
import pytest

import einjit
from einjit import profile, warming, warmup
from einjit.__main__ import main
from einjit.errors import EinjitError
from einjit.kernel.cache import Cache, Entry, disk
from einjit.profile import read_profile
from einjit.registry import registry

POSIX = pytest.mark.skipif(os.name != "posix", reason="forks are POSIX's")
SUBSET = ("i,i->", "ij,jk->ik", "bij,bkj->bik", "ii->i", "ij->j")


@pytest.fixture
def folder(tmp_path):
    return children.stock(tmp_path / "kernels")


@pytest.fixture
def caplog(caplog):
    caplog.set_level(logging.INFO, "einjit")
    return caplog


def later(*calls, folder, dtype="float64"):
    """What a later process compiles, loads and imports for calls (subscripts, *shapes)."""
    code = """
        import json, sys
        import numpy as np, einjit
        for subscripts, *shapes in json.loads(sys.argv[1]):
            given = [np.ones(shape, sys.argv[2]) for shape in shapes]
            assert np.array_equal(einjit.einsum(subscripts, *given), np.einsum(subscripts, *given))
        stats = einjit.registry.stats()
        print(stats["compiled"], stats["loaded"], "numba" in sys.modules)
    """
    out = children.run(code, json.dumps(calls), dtype, EINJIT_CACHE_DIR=folder)
    compiled, loaded, numba = out.split()
    return int(compiled), int(loaded), numba == "True"


def call(subscripts="ij,jk->ik", shapes=((2, 3), (3, 4)), **changed):
    """A call as a profile holds it."""
    operands = [{"shape": shape, "strides": [shape[1], 1], "dtype": "float64"} for shape in shapes]
    facts = {"subscripts": subscripts, "operands": operands, "dtype": "float64"}
    return {**facts, "out": None, "order": "K", "optimize": "auto", **changed}


def written(path, *calls, version=1):
    path.write_text(json.dumps({"einjit": version, "calls": calls}))
    return path


# ---------------------------------------------------------------- what is compiled


def test_equations_with_and_without_shapes():
    report = warmup(["i,i->", ("ij,kj->ik", (100, 200), (300, 200))])
    assert report.failed == ()
    assert report.compiled >= 0
    for subscripts, shapes in (("i,i->", [(5,), (5,)]), ("ij,kj->ik", [(100, 200), (300, 200)])):
        operands = [np.ones(shape) for shape in shapes]
        before = registry.stats()
        assert np.array_equal(
            einjit.einsum(subscripts, *operands), np.einsum(subscripts, *operands)
        )
        after = registry.stats()
        assert after["compiled"] == before["compiled"]
        assert after["loaded"] == before["loaded"]


@pytest.mark.parametrize("dtype", ["int16", np.float32, np.dtype("complex64"), ["int8", "float16"]])
def test_dtypes(dtype):
    assert warmup(["ij,j->ij"], dtype=dtype).failed == ()
    names = [np.dtype(d).name for d in (dtype if isinstance(dtype, list) else [dtype])]
    for name in names:
        before = registry.stats()["compiled"]
        einjit.einsum("ij,j->ij", np.ones((9, 8), name), np.ones(8, name))
        assert registry.stats()["compiled"] == before


def test_the_usual_forms(monkeypatch):
    module = warming
    for subscripts in module.COMMON:  # all can be planned, and are planned once
        layouts = module._shapes(subscripts, 8)
        assert einjit.explain(subscripts, *layouts).text
    assert len(set(module.COMMON)) == len(module.COMMON)
    monkeypatch.setattr(module, "COMMON", SUBSET[:2])
    report = warmup("common")
    assert report.failed == ()
    for name in ("float32", "float64"):
        before = registry.stats()["compiled"]
        einjit.einsum("i,i->", np.ones(8, name), np.ones(8, name))
        einjit.einsum("ij,jk->ik", np.ones((8, 8), name), np.ones((8, 8), name))
        assert registry.stats()["compiled"] == before


@pytest.mark.campaign
def test_all_the_usual_forms(tmp_path):
    """In under 3 minutes with an empty cache, under 3 seconds with a full one."""
    code = "import einjit; r = einjit.warmup('common'); print(len(r.failed), r.seconds)"
    for limit in (180, 3):
        failed, seconds = children.run(
            code, EINJIT_CACHE_DIR=tmp_path / "kernels", timeout=400
        ).split()
        assert failed == "0"
        assert float(seconds) < limit


def test_counts(folder):
    code = """
        import einjit
        what = ["i,i->", "ij,jk->ik", "no%", "i->j", "ij,jk->i!"]
        for n in range(2):
            report = einjit.warmup(what)
            print(report.compiled, report.loaded, len(report.failed), report.seconds > 0)
    """
    first, second = children.run(code, EINJIT_CACHE_DIR=folder).splitlines()
    compiled, loaded, failed, timed = first.split()
    assert int(compiled) == int(loaded) >= 2
    assert (failed, timed) == ("3", "True")
    assert second == "0 0 3 True"
    first = children.run(code, EINJIT_CACHE_DIR=folder).splitlines()[0]
    assert first == f"0 {loaded} 3 True"


# ---------------------------------------------------------------- what is reported


def test_what_fails_is_reported_and_the_others_go_on():
    what = ["ij,jk->ik", "i->ii", "->>", ("ij,jk->ik", (2, 3), (4, 5)), ("ij,jk->ik", (2, 3))]
    what += [5, ("ij,j->i", (2,), (2,)), "i,i->i"]
    report = warmup(what, dtype="float32")
    assert len(report.failed) == 6
    assert [text for text, _ in report.failed][:2] == ["i->ii", "->>"]
    assert all(why for _, why in report.failed)
    for text, why in report.failed:
        assert f"failed: {text}: {why}" in str(report)
    before = registry.stats()["compiled"]
    einjit.einsum("i,i->i", np.ones(3, "float32"), np.ones(3, "float32"))
    assert registry.stats()["compiled"] == before


@pytest.mark.parametrize(
    "bad", [("ij,jk->ik", ("a", 2), (2, 3)), (), ("ij->", (-3, 4)), ("ij->", 7), None, b"ij->q"]
)
def test_odd_items_are_reported_too(bad):
    report = warmup([bad, "ij->"])
    assert len(report.failed) == 1


@pytest.mark.parametrize("dtype", ["object", "longdouble", "banana", "datetime64[s]"])
def test_a_dtype_that_is_none_of_einjits(dtype):
    with pytest.raises(EinjitError, match=r"\w"):
        warmup(["ij->"], dtype=dtype)


@pytest.mark.parametrize("what", [None, 5, object()])
def test_what_is_no_list_path_or_common(what):
    with pytest.raises(TypeError, match="warmup takes a list"):
        warmup(what)


def test_a_kernel_that_does_not_compile_is_reported_once(monkeypatch):
    from einjit.kernel import build

    def fail(source):
        raise RuntimeError("no compiler today")

    module = warming
    monkeypatch.setattr(module, "_compile_apart", lambda nests, advance: {})
    with monkeypatch.context() as patch:
        patch.setattr(build, "Kernel", fail)
        report = warmup(["ijklm->mi"], dtype="uint64")
    assert {text for text, _ in report.failed} == {"ijklm->mi"}
    assert "no compiler today" in report.failed[0][1]
    assert report.compiled == report.loaded == 0
    assert warmup(["ijklm->mi"], dtype="uint64").failed == ()


@pytest.mark.parametrize("how", ["dies", "fails"])
def test_processes_that_do_not_do_their_work(folder, how):
    """They die or fail: the kernels are compiled here, and no error reaches the caller."""
    code = """
        import os, sys
        import einjit
        import einjit.warming as module
        if sys.argv[1] == "dies":
            sys.path.insert(0, sys.argv[2])  # what starts there ends at once
        else:
            os.environ["EINJIT_CACHE"] = "banana"
        what = ["ij,jk->ik", "ij,kj->ik", "i->", "i,i->", "ij,ij->i", "i,j->ij", "ij->ji", "ij->j"]
        report = module.warmup(what)
        print(len(report.failed), report.compiled == report.loaded > 4)
    """
    poison = folder.with_name("poison")
    (poison / "einjit").mkdir(parents=True)
    (poison / "einjit" / "__init__.py").write_text("import os; os._exit(3)")
    child = children.start(code, how, poison, EINJIT_CACHE_DIR=folder)
    out, _ = children.finish(child)  # the failing children may say why
    assert out == "0 True"


# ---------------------------------------------------------------- processes


def test_child_processes_leave_their_kernels_on_disk(folder):
    """As a script without a __main__ guard does it."""
    script = folder.with_name("service.py")
    script.write_text(
        "import sys\n"
        "import einjit\n"
        "print('top')\n"
        f"report = einjit.warmup({[*SUBSET, 'ij,kj->ik']!r}, dtype='float32')\n"
        "print(report.compiled, report.loaded, len(report.failed), 'numba' in sys.modules)\n"
    )
    child = children.start("", command=["-X", "dev", str(script)], EINJIT_CACHE_DIR=folder)
    out, err = children.finish(child)
    assert err == ""
    top, counts = out.splitlines()
    assert top == "top"
    compiled, loaded, failed, numba = counts.split()
    assert int(compiled) == int(loaded) >= 5
    assert (failed, numba) == ("0", "False")  # others compiled; here they were loaded
    calls = [("i,i->", [9], [9]), ("ij,jk->ik", [5, 6], [6, 7]), ("ij->j", [5, 6])]
    compiled, loaded, numba = later(*calls, folder=folder, dtype="float32")
    assert (compiled, loaded, numba) == (0, 3, False)
    assert all(entry for _, entry in Cache(folder).entries())
    assert not [path for path in folder.iterdir() if path.suffix == ".tmp"]


@pytest.mark.parametrize("mode", ["ro", "0"])
def test_without_a_cache_to_write_it_compiles_here(folder, mode):
    code = """
        import numpy as np, einjit
        report = einjit.warmup(["ij,jk->ik", "ij,kj->ik", "i->"])
        print(report.compiled, report.loaded, report.failed)
        before = einjit.registry.stats()["compiled"]
        einjit.einsum("ij,jk->ik", np.ones((5, 6)), np.ones((6, 7)))
        assert einjit.registry.stats()["compiled"] == before
    """
    before = sorted(folder.iterdir())
    out = children.run(code, EINJIT_CACHE_DIR=folder, EINJIT_CACHE=mode)
    compiled, loaded, failed = out.split(maxsplit=2)
    assert int(compiled) == int(loaded) >= 3
    assert failed == "()"
    assert sorted(folder.iterdir()) == before


# ---------------------------------------------------------------- progress


def test_a_bar_on_request(capsys):
    report = warmup(["ij,jk->ik", "ij,kj->ik"], progress=True)
    err = capsys.readouterr().err
    assert "einjit" in err
    assert "100%" in err
    assert "kernel" in err
    assert report.failed == ()


def test_a_log_where_nobody_watches(capsys, caplog):
    warmup(["ij,jk->ik"])
    warmup(["ij,jk->ik"], progress=False)
    assert capsys.readouterr() == ("", "")
    assert [record.message for record in caplog.records].count("warm-up: 1 kernels") <= 2
    assert "warm-up:" in caplog.text


def test_the_bar_moves_while_others_compile(folder):
    code = """
        import sys
        import einjit
        import einjit.warming as module
        moves = []
        apart = module._compile_apart

        def watched(nests, advance):
            found = apart(nests, lambda n: (moves.append(n), advance(n)))
            print(len(nests), sum(moves))
            return found

        module._compile_apart = watched
        einjit.warmup(["ij,jk->ik", "ij,kj->ik", "ji,jk->ik", "ij->", "i,j->ij"], progress=False)
    """
    n, moved = map(int, children.run(code, EINJIT_CACHE_DIR=folder).split())
    assert n >= 5
    assert moved > 0


# ---------------------------------------------------------------- profiles


def test_record_and_replay(tmp_path, folder):
    path = tmp_path / "profile.json"
    a, f = np.arange(12.0).reshape(3, 4), np.ones((4, 6), "float32")[:, ::2]
    out = np.empty((3, 3))
    with einjit.record(path):
        for _ in range(3):
            einjit.einsum("ij,kj->ik", a, a)
        einjit.einsum("ij,kj->ik", a, a, out=out)
        einjit.einsum("ij,jk->ik", a, f, order="F", optimize=False)
        einjit.einsum(a, [0, 1], [0])
        einjit.einsum("ij->i", a, dtype="complex64", casting="same_kind")
        with pytest.raises(ValueError):
            einjit.einsum("ij,jk", a, a)
    einjit.einsum("ij->", a)
    calls = read_profile(path)
    assert [(c.subscripts, c.dtype, c.order, c.optimize) for c in calls] == [
        ("ij,kj->ik", "float64", "K", "auto"),
        ("ij,kj->ik", "float64", "K", "auto"),
        ("ij,jk->ik", "float64", "F", False),
        (calls[3].subscripts, "float64", "K", "auto"),
        ("ij->i", "complex64", "K", "auto"),
    ]
    assert [c.out is None for c in calls] == [True, False, True, True, True]
    assert calls[2].operands[1].strides == (6, 2)
    assert [profile.Call.from_json(c.to_json()) for c in calls] == calls
    report = children.run(
        "import einjit, sys; r = einjit.warmup(sys.argv[1]); print(len(r.failed), r.compiled)",
        path,
        EINJIT_CACHE_DIR=folder,
    )
    failed, compiled = report.split()
    assert failed == "0"
    assert int(compiled) >= 3
    replay = """
        import sys
        import numpy as np, einjit
        a, f = np.arange(12.0).reshape(3, 4), np.ones((4, 6), "float32")[:, ::2]
        einjit.einsum("ij,kj->ik", a, a)
        einjit.einsum("ij,kj->ik", a, a, out=np.empty((3, 3)))
        einjit.einsum("ij,jk->ik", a, f, order="F", optimize=False)
        einjit.einsum(a, [0, 1], [0])
        einjit.einsum("ij->i", a, dtype="complex64", casting="same_kind")
        print(einjit.registry.stats()["compiled"], "numba" in sys.modules)
    """
    assert children.run(replay, EINJIT_CACHE_DIR=folder) == "0 False"


def test_a_call_that_was_ready_is_recorded_too(tmp_path):
    a = np.ones((3, 4))
    einjit.einsum("ij,ij->j", a, a)
    for name in ("one", "two"):
        with einjit.record(tmp_path / name):
            einjit.einsum("ij,ij->j", a, a)
        assert [c.subscripts for c in read_profile(tmp_path / name)] == ["ij,ij->j"]


def test_recordings_within_one_another(tmp_path):
    one, two, a = tmp_path / "one", tmp_path / "two", np.ones(3)
    with einjit.record(one):
        einjit.einsum("i->", a)
        with einjit.record(two):
            einjit.einsum("i,i->", a, a)
        einjit.einsum("i,i->i", a, a)
    assert [c.subscripts for c in read_profile(one)] == ["i->", "i,i->", "i,i->i"]
    assert [c.subscripts for c in read_profile(two)] == ["i,i->"]


def test_what_was_recorded_stays_also_after_an_error(tmp_path):
    path, a = tmp_path / "profile.json", np.ones(3)
    for subscripts in ("i->", "i,i->"):
        with contextlib.suppress(ZeroDivisionError), einjit.record(path):
            einjit.einsum(subscripts, *[a] * (subscripts.count(",") + 1))
            raise ZeroDivisionError
    assert [c.subscripts for c in read_profile(path)] == ["i->", "i,i->"]
    with einjit.record(os.fspath(path)):
        pass
    assert len(read_profile(path)) == 2
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".tmp"] == []


RECORD = """
    import sys
    import numpy as np, einjit
    start = int(sys.argv[1])
    for n in range(start, start + 12):
        einjit.einsum("i->", np.ones(n, "int8"))
        if "thread" in sys.argv:
            einjit.einsum("i,i->", *[np.ones(n, "int8")] * 2)
"""


def test_processes_record_to_one_profile(tmp_path, folder):
    path = tmp_path / "profile.json"
    settings = {"EINJIT_CACHE_DIR": folder, "EINJIT_RECORD": path}
    started = [children.start(RECORD, 2 + 8 * n, **settings) for n in range(5)]
    for child in started:
        assert children.finish(child) == ("", "")
    calls = read_profile(path)
    assert sorted(c.operands[0].shape[0] for c in calls) == list(range(2, 2 + 8 * 4 + 12))
    assert len(calls) == len(set(calls))
    json.loads(path.read_text())


@pytest.mark.parametrize("then", ["goes on", "is idle"])
def test_a_killed_process_leaves_what_it_recorded(tmp_path, folder, then):
    """All but the calls of the last second: the first twenty are older than three."""
    path = tmp_path / "profile.json"
    code = """
        import itertools, sys, time
        import numpy as np, einjit
        start = int(sys.argv[1])
        for n in range(start, start + 20):
            einjit.einsum("i->", np.ones(n, "int8"))
        limit = time.monotonic() + 3
        for n in itertools.count(start + 20):
            time.sleep(0.01)
            if sys.argv[2] == "goes on":
                einjit.einsum("i->", np.ones(n, "int8"))
            if time.monotonic() > limit:
                print("three seconds", flush=True)
                limit += 60
    """
    children.run(RECORD, 2, EINJIT_CACHE_DIR=folder)
    for start in (2, 10_002):
        settings = {"EINJIT_CACHE_DIR": folder, "EINJIT_RECORD": path}
        child = children.start(code, start, then, **settings)
        assert child.stdout.readline() == "three seconds\n"
        child.kill()
        child.communicate(timeout=children.TIMEOUT)
        lengths = {call.operands[0].shape[0] for call in read_profile(path)}
        assert lengths >= set(range(start, start + 20))
    assert len([left for left in tmp_path.iterdir() if left.suffix == ".tmp"]) <= 3
    with einjit.record(path):  # no lock is held by the dead
        einjit.einsum("i->", np.ones(3))


@POSIX
def test_a_forked_child_records_its_own_calls(tmp_path, folder):
    """Also where the parent is just writing: its locks, timer and calls are not the child's."""
    path = tmp_path / "profile.json"
    code = """
        import os, signal, sys, time
        from pathlib import Path
        import numpy as np, einjit
        from einjit import profile
        recorder, path = profile.recorder, Path(sys.argv[1])
        with recorder._writing:
            einjit.einsum("i->", np.ones(2, "int8"))
            with recorder._lock:
                child = os.fork()
            if child == 0:
                signal.alarm(30)
                einjit.einsum("i->", np.ones(3, "int8"))
                while not path.exists():
                    time.sleep(0.05)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            print([call.operands[0].shape[0] for call in profile.read_profile(path)])
    """
    settings = {"EINJIT_CACHE_DIR": folder, "EINJIT_RECORD": path}
    assert children.run(code, path, **settings) == "[3]"
    assert [call.operands[0].shape[0] for call in read_profile(path)] == [3, 2]


@POSIX
def test_a_lock_goes_with_the_writer_though_a_child_has_its_file(tmp_path):
    path = tmp_path / "profile.json"
    code = """
        import os, signal, sys, time
        from pathlib import Path
        from einjit.profile import _locked
        path = Path(sys.argv[1])
        with _locked(path):
            child = os.fork()
            if child == 0:
                time.sleep(60)
                os._exit(0)
        signal.alarm(20)
        with _locked(path):
            print("locked again")
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    """
    assert children.run(code, path) == "locked again"


def test_the_lock_of_windows(tmp_path, monkeypatch):
    """Which gives up by itself after some seconds: it is asked for again."""
    asked = []

    def locking(file, mode, n_bytes):
        asked.append((mode, n_bytes))
        if len(asked) in (1, 2):
            raise OSError("resource deadlock avoided")

    windows = types.SimpleNamespace(locking=locking, LK_LOCK="lock", LK_UNLCK="unlock")
    monkeypatch.setitem(sys.modules, "msvcrt", windows)
    monkeypatch.setattr(sys, "platform", "win32")
    spec = importlib.util.spec_from_file_location("profile_on_windows", profile.__file__)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    monkeypatch.undo()
    with module._locked(tmp_path / "profile.json"):
        assert asked == 3 * [("lock", 1)]
    assert asked[3:] == [("unlock", 1)]


def test_recording_does_not_grow_slower_with_what_is_recorded(tmp_path, folder):
    """A service that meets new shapes all the time must not write its whole past for each."""
    code = """
        import time
        import numpy as np, einjit
        def seconds(first, n=100):
            start = time.perf_counter()
            for k in range(first, first + n):
                einjit.einsum("i->", np.ones(k, "int8"))
            return time.perf_counter() - start
        seconds(2, 20)
        one = min(seconds(100), seconds(200))
        seconds(400, 500)
        print(one, min(seconds(1000), seconds(1200)))
    """
    path = tmp_path / "profile.json"
    out = children.run(code, EINJIT_CACHE_DIR=folder, EINJIT_RECORD=path)
    one, two = map(float, out.split())
    assert two < 2 * one + 0.1


def test_a_profile_that_cannot_be_written_stops_no_call(tmp_path, folder):
    for path in (tmp_path / "none" / "profile.json", tmp_path):
        settings = {"EINJIT_CACHE_DIR": folder, "EINJIT_RECORD": path, "EINJIT_LOG": "critical"}
        code = "import numpy as np, einjit; print(einjit.einsum('i->', np.ones(3, 'int8')))"
        assert children.run(code, **settings) == "3"


DAMAGED = {
    "no json": "{",
    "cut": json.dumps({"einjit": 1, "calls": [call()]})[:-30],
    "no object": "[]",
    "null": "null",
    "empty": "",
    "no version": json.dumps({"calls": []}),
    "no calls": json.dumps({"einjit": 1}),
    "another version": json.dumps({"einjit": 2, "calls": []}),
    "calls no list": json.dumps({"einjit": 1, "calls": 5}),
    "no subscripts": json.dumps({"einjit": 1, "calls": [{}]}),
    "unknown dtype": json.dumps({"einjit": 1, "calls": [call(dtype="banana")]}),
    "unknown order": json.dumps({"einjit": 1, "calls": [call(order=3)]}),
    "unknown optimize": json.dumps({"einjit": 1, "calls": [call(optimize=[1])]}),
    "strides": json.dumps({"einjit": 1, "calls": [call(operands=[
        {"shape": [2, 3], "strides": [3], "dtype": "float64"}] * 2)]}),
    "shape": json.dumps({"einjit": 1, "calls": [call(operands=[
        {"shape": ["x", 3], "strides": [3, 1], "dtype": "float64"}] * 2)]}),
    "deep": "[" * 100_000,
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_profile_is_an_error_of_einjits(tmp_path, kind):
    path = tmp_path / "profile.json"
    path.write_text(DAMAGED[kind])
    with pytest.raises(EinjitError, match=r"profile\.json") as raised:
        warmup(path)
    assert isinstance(raised.value, ValueError)
    with pytest.raises(EinjitError), einjit.record(path):
        einjit.einsum("i->", np.ones(3))
    assert path.read_text() == DAMAGED[kind]  # somebody may want to repair it


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "profile.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EinjitError):
        warmup(path)


def test_a_call_of_a_profile_that_does_not_fit_is_reported(tmp_path):
    bad = call("ij,jk->iq")
    path = written(tmp_path / "profile.json", bad, call("ij,jk->ik"), call("ij", ()))
    report = warmup(path)
    assert sorted(text for text, _ in report.failed) == ["ij", "ij,jk->iq"]


def test_a_profile_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        warmup(tmp_path / "none.json")


# ---------------------------------------------------------------- the command line


def test_the_command_replays_a_profile(tmp_path, folder):
    path = written(tmp_path / "profile.json", call("ij,jk->ik"), call("ij,jk->iq"))
    child = children.start(
        "", command=["-m", "einjit", "warmup", str(path), "--json"], EINJIT_CACHE_DIR=folder
    )
    out, err = child.communicate(timeout=children.TIMEOUT)
    assert err == ""
    facts = json.loads(out)
    assert facts["compiled"] == facts["loaded"] == 1
    assert facts["failed"][0][0] == "ij,jk->iq"
    assert child.returncode == 1  # something failed: a script wants to know
    assert later(("ij,jk->ik", [2, 3], [3, 4]), folder=folder) == (0, 1, False)


def test_the_command_takes_equations_and_dtypes(capsys):
    assert main(["warmup", "ij,jk->ik", "i->", "--dtype", "int8", "--dtype", "int16"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "kernels compiled" in out
    for dtype in ("int8", "int16"):
        before = registry.stats()["compiled"]
        einjit.einsum("i->", np.ones(3, dtype))
        assert registry.stats()["compiled"] == before


def test_the_command_says_what_is_wrong_with_a_profile(tmp_path, capsys):
    path = tmp_path / "profile.json"
    path.write_text("{")
    assert main(["warmup", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("einjit: ")
    assert "profile.json" in err


@pytest.fixture
def few(tmp_path, monkeypatch):
    """A cache of a kernel, a source and what is shared, as the process's own."""
    cache = Cache(children.stock(tmp_path / "kernels"))
    monkeypatch.setattr(Cache, "of", classmethod(lambda cls, settings: cache))
    disk.cache_clear()
    from einjit.registry import Registry

    for step in einjit.expression("ij,jk->ik", (3, 4), (4, 5), dtype="int8").plan.steps:
        Registry().kernel(step.lowered.nest)
    yield cache
    monkeypatch.undo()
    disk.cache_clear()


def cache_command(capsys, action, status=0):
    assert main(["cache", action, "--json"]) == status
    facts = json.loads(capsys.readouterr().out)
    assert main(["cache", action]) == (status if action != "clear" else 0)
    return facts, capsys.readouterr().out


def test_cache_dir(few, capsys):
    facts, text = cache_command(capsys, "dir")
    assert facts == {"folder": str(few.folder)}
    assert str(few.folder) in text


def test_cache_list(few, capsys):
    damaged = next(path for path, entry in few.entries() if entry.key["kind"] == "source")
    damaged.write_bytes(b"")
    facts, text = cache_command(capsys, "list")
    assert facts["files"].keys() == {path.name for path in few.files()}
    assert "damaged" in facts["files"][damaged.name]
    shown = [line for line in text.splitlines() if "ab,bc->ac" in line]
    assert len(shown) == 1
    assert "int8" in shown[0]
    assert len(text.splitlines()) == len(facts["files"])


def test_cache_verify(few, capsys):
    n = len(list(few.files()))
    facts, _ = cache_command(capsys, "verify")
    assert (facts["in order"], facts["damaged"]) == (n, 0)
    damaged = next(few.files())
    data = bytearray(damaged.read_bytes())
    data[50] ^= 1
    damaged.write_bytes(data)
    facts, text = cache_command(capsys, "verify", status=1)  # a script wants to know
    assert (facts["in order"], facts["damaged"]) == (n - 1, 1)
    assert facts[damaged.name] == "damaged"
    assert damaged.name in text
    assert damaged.exists()


def test_cache_prune_and_clear(few, capsys):
    n = len(list(few.files()))
    few.limit = 0
    facts, _ = cache_command(capsys, "prune")
    assert facts == {"removed": n}
    few.save(Entry({"kind": "nest"}, {}, b""))
    assert cache_command(capsys, "clear")[0] == {"removed": 1}
    assert list(few.files()) == []
