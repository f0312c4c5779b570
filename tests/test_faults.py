"""Disks that fail: whatever fails, and whenever, a call has its result and warns at most once.

In a child process for each errno, the N-th call of a function of the operating system fails, for
N = 1 until it is not reached any more. numba compiles each kernel once and gives it again later.
"""

import builtins
import errno
import functools
import json
import os
import random
import shutil
import tempfile
import warnings
from pathlib import Path

import children
import numpy as np
import pytest

ERRNOS = ("EIO", "ENOSPC", "EACCES", "EROFS", "EMFILE")

CALLS = ("open", "write", "replace", "stat", "lstat", "fstat", "mkdir", "scandir", "unlink")
"""What fails: functions of `os`, and writing to a file that was opened for it."""

MODES = ("cold", "warm", "damaged", "read-only")


class Disk:
    """The calls of `os`, of which one fails."""

    def __init__(self, folder, number, at):
        self.folder, self.number, self.at = str(folder), number, at
        self.count = 0
        self.descriptors = set()

    def touch(self, path):
        """Count a call that reaches the cache's folder; fail if it is its turn."""
        inside = path in self.descriptors if isinstance(path, int) else self._is_inside(path)
        if inside:
            self.count += 1
            if self.count == self.at:
                raise OSError(self.number, os.strerror(self.number), str(path))
        return inside

    def _is_inside(self, path):
        return os.fspath(path).startswith(self.folder)

    def patch(self, monkeypatch):
        for name in CALLS:
            if name != "write":
                monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name)))
        monkeypatch.setattr(builtins, "open", self._opened(builtins.open))

    def _wrapped(self, name, call):
        @functools.wraps(call)
        def wrapped(path=".", *arguments, **options):
            inside = self.touch(path)
            made = call(path, *arguments, **options)
            if name == "open" and inside:
                self.descriptors.add(made)
            return made

        return wrapped

    def _opened(self, call):
        @functools.wraps(call)
        def opened(path, mode="r", *arguments, **options):
            if not isinstance(path, int) or path not in self.descriptors:
                return call(path, mode, *arguments, **options)
            self.touch(path)
            return File(call(path, mode, *arguments, **options), path, self)

        return opened


class File:
    """An open file whose reads and writes may fail, also the last one, when it is closed."""

    def __init__(self, file, descriptor, disk):
        self.file, self.descriptor, self.disk = file, descriptor, disk

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()
        try:
            self.disk.touch(self.descriptor)
        finally:
            self.disk.descriptors.discard(self.descriptor)

    def read(self, *arguments):
        self.disk.touch(self.descriptor)
        return self.file.read(*arguments)

    def write(self, data):
        half = len(data) // 2
        self.file.write(data[:half])
        self.disk.touch(self.descriptor)
        return self.file.write(data[half:]) + half

    def __getattr__(self, name):
        return getattr(self.file, name)


def operands():
    a = np.arange(12.0).reshape(3, 4)
    return [("ij,kj->ik", a, a), ("ij->j", np.int16(a)), ("ij->ji", a)]


def drill(name):
    """Make each call fail with this errno; what went wrong, as JSON."""
    from einjit import api
    from einjit.kernel import compile as compiler
    from einjit.kernel.cache import Cache, disk
    from einjit.registry import Registry

    for function in ("compile_builtin", "compile_loops"):
        setattr(compiler, function, remembering(getattr(compiler, function)))
    os.register_at_fork = lambda **hooks: None  # of hundreds of registries
    wrong, runs, expected = [], 0, [np.einsum(*call) for call in operands()]
    top = Path(tempfile.mkdtemp())

    def work(cache):
        """The calls, with a cache and a registry of their own; warnings and results."""
        disk.cache_clear()
        Cache.of = classmethod(lambda cls, settings: cache)
        api.registry = Registry()
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            results = [api.einsum(*call) for call in operands()]
        right = all(np.array_equal(*pair) for pair in zip(results, expected, strict=True))
        return right, [str(warning.message) for warning in warned]

    def prepare(folder, mode):
        shutil.rmtree(folder, ignore_errors=True)
        if mode != "cold":
            shutil.copytree(top / "stocked", folder)
        if mode == "damaged":
            for path, entry in list(Cache(folder).entries())[::2]:
                if entry.key["kind"] != "source" and entry.key.get("name") != "drive":
                    path.write_bytes(path.read_bytes()[:-7])  # the others are not asked for
        return Cache(folder, "ro" if mode == "read-only" else "rw")

    assert work(Cache(top / "stocked")) == (True, [])
    for mode in MODES:
        folder = top / mode / "kernels"
        for at in range(1, 500):
            runs += 1
            cache = prepare(folder, mode)
            failing = Disk(folder, getattr(errno, name), at)
            with pytest.MonkeyPatch.context() as patch:
                failing.patch(patch)
                try:
                    right, warned = work(cache)
                except Exception as problem:
                    right, warned = False, [repr(problem)]
            if not right or len(warned) > 1:
                wrong.append(f"{mode} {at}: right {right}, {warned}")
            # What is left behind is in order, and the next process is not disturbed.
            again = Cache(folder, cache.mode)
            if work(again) != (True, []):
                wrong.append(f"{mode} {at}: the next process")
            if mode != "read-only" and any(entry is None for _, entry in again.entries()):
                wrong.append(f"{mode} {at}: damage is left")
            if failing.count < at:
                break
        else:
            wrong.append(f"{mode}: no end")
    shutil.rmtree(top)
    print(json.dumps({"runs": runs, "wrong": wrong}))


def remembering(function):
    """The function, which gives what it gave before for code of the same name."""
    known = {}

    @functools.wraps(function)
    def wrapped(first, *others, **options):
        key = first if isinstance(first, str) else (first.__module__, first.__name__)
        if key not in known:
            known[key] = function(first, *others, **options)
        return known[key]

    return wrapped


@pytest.mark.parametrize("name", ERRNOS)
def test_each_call_fails_once(name):
    code = "import logging, test_faults, sys; logging.disable(); test_faults.drill(sys.argv[1])"
    report = json.loads(children.run(code, name))
    assert report["wrong"] == []
    assert report["runs"] > 100  # the calls do reach what fails


def test_a_lasting_fault_says_so_once(tmp_path):
    """The folder is lost while the process runs: one warning, and nothing more on the terminal."""
    code = """
        import shutil, numpy as np, einjit
        a = np.arange(4.0)
        assert einjit.einsum("i,i->", a, a) == 14
        shutil.rmtree(einjit.cache_dir())
        for subscripts in ("i->", "i,j->ij", "i,i->i"):
            given = [a] * (subscripts.count(",") + 1)
            assert np.array_equal(einjit.einsum(subscripts, *given), np.einsum(subscripts, *given))
        assert einjit.cache_info()["faults"] >= 3
    """
    folder = children.stock(tmp_path / "kernels")
    _, err = children.finish(children.start(code, EINJIT_CACHE_DIR=folder))
    assert err.count("UserWarning") == 1, err
    assert "cache: " not in err, err  # the log, which nobody listens to


@pytest.mark.parametrize("where", ["/dev/null/kernels", "/proc/kernels", "a file"])
def test_no_folder_can_be_made(tmp_path, where):
    if where == "a file":
        (tmp_path / "file").write_text("")
        where = tmp_path / "file"
    elif not Path(where).parent.exists():
        pytest.skip(f"no {Path(where).parent} here")
    code = """
        import warnings
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            import einjit
            from einjit.kernel.cache import disk
            assert einjit.cache_dir() is None
            assert not disk().writes
            assert disk().load({}) is None
            assert einjit.cache_info()["files"] == einjit.clear_cache() == 0
        print(len(warned))
    """
    assert children.run(code, EINJIT_CACHE_DIR=where) == "1"


def test_a_process_killed_while_it_writes_leaves_no_file(tmp_path):
    """Half of a file under a temporary name is all that is left; it is not taken for a kernel."""
    code = """
        import os, signal
        from pathlib import Path
        from einjit.kernel import cache
        class Dying:
            def __init__(self, file): self.file = file
            def __enter__(self): return self
            def __exit__(self, *error): pass
            def write(self, data):
                self.file.write(data[:len(data) // 2]); self.file.flush()
                os.kill(os.getpid(), signal.SIGKILL)
        cache.open = lambda *arguments: Dying(open(*arguments))
        cache.disk().save(cache.Entry({"kind": "nest"}, {}, bytes(1000)))
    """
    child = children.start(code, EINJIT_CACHE_DIR=tmp_path / "kernels")
    child.communicate(timeout=children.TIMEOUT)
    assert child.returncode == -9
    (left,) = (tmp_path / "kernels").iterdir()
    assert left.suffix == ".tmp"
    from einjit.kernel.cache import Cache, Entry

    cache = Cache(tmp_path / "kernels")
    assert cache.load({"kind": "nest"}) is None
    assert list(cache.files()) == []
    cache.save(Entry({"kind": "nest"}, {}, b"code"))
    assert cache.load({"kind": "nest"}).code == b"code"


def test_random_bytes_are_no_kernel(tmp_path):
    from einjit.kernel.cache import Cache, file_name

    cache, source = Cache(tmp_path / "kernels"), random.Random(4)
    assert cache.writes
    for n in range(100):
        path = cache.folder / file_name({"n": n})
        path.write_bytes(source.randbytes(source.randrange(200)))
        assert cache.load({"n": n}) is None
    assert cache.counts["refused"] == 100
