"""The cache on disk: what is trusted, what is refused, what is removed, what a key covers."""

import contextlib
import hashlib
import json
import os
import platform
import stat
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from random import Random

import children
import numpy as np
import pytest

import einjit
from einjit.kernel import build
from einjit.kernel.build import nest_key, obtain
from einjit.kernel.cache import LARGEST, MAGIC, STALE, TOUCH, Cache, Entry, disk, file_name
from einjit.kernel.load import Code
from einjit.kernel.modules import Finder
from einjit.registry import Registry
from einjit.source.module import Source

KEY = {"kind": "nest", "nest": "ab->a", "cpu": "zen", "settings": [["NUMBA_OPT", "3"]]}
ENTRY = Entry(KEY, {"symbol": "f", "needs": ["memcpy"]}, Random(1).randbytes(300))
POSIX = pytest.mark.skipif(os.name != "posix", reason="owners and permissions are POSIX's")


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "kernels")


@pytest.fixture
def installed(cache, monkeypatch):
    """The cache, as the process's own."""
    monkeypatch.setattr(Cache, "of", classmethod(lambda cls, settings: cache))
    disk.cache_clear()
    yield cache
    monkeypatch.undo()
    disk.cache_clear()


def place(cache, entry=ENTRY):
    """Where an entry is kept, once it is."""
    cache.save(entry)
    path = cache.folder / file_name(entry.key)
    assert path.exists()
    return path


@contextlib.contextmanager
def one_warning(text):
    """A block that warns once, in these words."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        yield
    assert len(warned) == 1
    assert text in str(warned[0].message)


def tree(folder):
    """All there is in a folder, with contents and times."""
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode)
        for path in folder.iterdir()
    }


# ---------------------------------------------------------------- the container


def test_an_entry_comes_back():
    data = ENTRY.pack()
    assert Entry.unpack(data) == ENTRY
    assert data.startswith(MAGIC)
    assert ENTRY.code in data
    assert Entry.unpack(Entry({}, {}, b"").pack()) == Entry({}, {}, b"")


def test_every_truncation_is_refused():
    data = ENTRY.pack()
    for n in range(len(data)):
        with pytest.raises(ValueError):
            Entry.unpack(data[:n])
    with pytest.raises(ValueError, match="wrong length"):
        Entry.unpack(data + b"\0")


def test_every_flipped_bit_is_refused():
    data = ENTRY.pack()
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError):
            Entry.unpack(bytes(flipped))


@pytest.mark.parametrize("header", [b"{}", b"[]", b"1", b"{", b'{"key": {}}', b"\xff", b"[" * 9999])
def test_a_header_that_says_nothing_is_refused(header):
    entry = Entry.__new__(Entry)
    data = MAGIC + len(header).to_bytes(8, "little") + bytes(8) + header
    with pytest.raises(ValueError):
        entry.unpack(data + hashlib.sha256(data).digest())


def test_a_name_covers_the_whole_key():
    names = {file_name(KEY)}
    for field in KEY:
        names.add(file_name({**KEY, field: "other"}))
        names.add(file_name({k: v for k, v in KEY.items() if k != field}))
    names.add(file_name({**KEY, "more": 1}))
    assert len(names) == 2 * len(KEY) + 2
    assert file_name(dict(reversed(KEY.items()))) == file_name(KEY)


# ---------------------------------------------------------------- saved and loaded


def test_saved_and_loaded(cache):
    assert cache.load(KEY) is None
    assert not cache.has(KEY)
    path = place(cache)
    assert cache.has(KEY)
    assert cache.load(KEY) == ENTRY
    assert Cache(cache.folder).load(KEY) == ENTRY
    assert cache.load({**KEY, "cpu": "other"}) is None
    assert list(cache.files()) == [path]
    assert list(cache.entries()) == [(path, ENTRY)]
    assert cache.counts == {"saved": 1}


@POSIX
def test_only_the_owner_may_look(cache):
    before = os.umask(0)
    try:
        path = place(cache)
    finally:
        os.umask(before)
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_used_file_is_marked_at_most_once_a_day(cache):
    path = place(cache)
    for age, is_marked in ((TOUCH / 2, False), (TOUCH * 2, True)):
        then = time.time() - age
        os.utime(path, (then, then))
        assert cache.load(KEY) == ENTRY
        assert (path.stat().st_mtime > then + 60) == is_marked


def test_a_later_save_replaces(cache):
    path = place(cache)
    other = Entry(KEY, {"symbol": "g", "needs": []}, b"code")
    assert place(cache, other) == path
    assert cache.load(KEY) == other
    assert [p.name for p in cache.folder.iterdir()] == [path.name]


# ---------------------------------------------------------------- refused


def another_key(path):
    path.write_bytes(Entry({**KEY, "cpu": "other"}, ENTRY.facts, ENTRY.code).pack())


def link(path):
    target = path.with_name("elsewhere")
    path.rename(target)
    path.symlink_to(target)


def link_to_nothing(path):
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))


def fifo(path):
    path.unlink()
    os.mkfifo(path, 0o600)

    def write():  # for who waits for a writer: the test fails, but it ends
        with contextlib.suppress(OSError):
            while True:
                time.sleep(2)
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))

    threading.Thread(target=write, daemon=True).start()


def too_large(path):
    with open(path, "r+b") as file:
        file.truncate(LARGEST + 1)


def writable_by_group(path):
    path.chmod(0o620)


def writable_by_all(path):
    path.chmod(0o602)


def empty(path):
    path.write_bytes(b"")


FAULTS = (another_key, link, link_to_nothing, fifo, too_large)
FAULTS += (writable_by_group, writable_by_all, empty)


@POSIX
@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_is_not_ours_or_not_whole_is_refused(cache, fault, caplog):
    path = place(cache)
    fault(path)
    start = time.monotonic()
    assert [entry for _, entry in cache.entries()] == [None]
    caplog.clear()
    assert cache.load(KEY) is None  # a warning would be an error here
    assert time.monotonic() - start < 1.5  # a FIFO is not waited for
    assert cache.counts["refused"] == 1
    assert len(caplog.records) == 1
    assert path.name in caplog.text
    assert not path.is_symlink()
    assert not path.exists()
    elsewhere = path.with_name("elsewhere")
    assert not elsewhere.exists() or Entry.unpack(elsewhere.read_bytes()) == ENTRY
    place(cache)
    assert cache.load(KEY) == ENTRY


@POSIX
def test_a_folder_in_a_files_place_is_refused(cache):
    path = place(cache)
    path.unlink()
    path.mkdir()
    before = os.listdir("/dev/fd")
    assert cache.load(KEY) is None
    assert os.listdir("/dev/fd") == before
    assert cache.counts["refused"] == 1


@POSIX
def test_another_users_file_is_refused(cache, monkeypatch):
    path = place(cache)
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    assert cache.load(KEY) is None
    assert cache.counts["refused"] == 1
    assert not path.exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives away")
def test_a_file_given_away_is_refused(cache):
    path = place(cache)
    os.chown(path, 12345, -1)
    assert cache.load(KEY) is None
    assert cache.counts["refused"] == 1
    assert not path.exists()


# ---------------------------------------------------------------- the folder


def test_the_folder_and_those_above_it_are_made(tmp_path):
    cache = Cache(tmp_path / "some" / "where")
    place(cache)
    assert cache.load(KEY) == ENTRY


def open_to(mode):
    return lambda folder: folder.chmod(mode)


def linked(folder):
    target = folder.with_name("target")
    folder.rename(target)
    folder.symlink_to(target)


def a_file(folder):
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_text("")


FOLDERS = {
    "writable by the group": open_to(0o770),
    "writable by all": open_to(0o707),
    "writable by all, sticky": open_to(0o1777),
    "a symlink": linked,
    "a file": a_file,
}


@POSIX
@pytest.mark.parametrize("mode", ["rw", "ro"])
@pytest.mark.parametrize("fault", FOLDERS)
def test_a_folder_that_is_not_ours_is_not_used(tmp_path, fault, mode):
    folder = tmp_path / "kernels"
    place(Cache(folder))
    FOLDERS[fault](folder)
    before = tree(folder) if folder.is_dir() else None
    cache = Cache(folder, mode)
    with one_warning("kernels are compiled anew in each process"):
        assert cache.load(KEY) is None
        cache.save(Entry({"kind": "other"}, {}, b""))
        assert cache.prune() == cache.clear() == 0
        assert not cache.has(KEY)
        assert list(cache.entries()) == []
    assert not cache.writes
    assert cache.opened is None
    if before is not None:
        assert tree(folder) == before


@POSIX
def test_another_users_folder_is_not_used(tmp_path, monkeypatch):
    folder = tmp_path / "kernels"
    place(Cache(folder))
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    cache = Cache(folder)
    with one_warning("another user's"):
        assert cache.load(KEY) is None
        assert cache.load(KEY) is None


class Seen:
    """What the system says of a file, with another owner."""

    def __init__(self, status, owner):
        self.status, self.st_uid = status, owner

    def __getattr__(self, name):
        return getattr(self.status, name)


@pytest.fixture
def owned(monkeypatch):
    """Let a folder and its files seem to belong to somebody, and the process to user 1000."""
    lstat, fstat = os.lstat, os.fstat

    def seem(folder, file):
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        monkeypatch.setattr(os, "lstat", lambda path: Seen(lstat(path), folder))
        monkeypatch.setattr(os, "fstat", lambda number: Seen(fstat(number), file))

    return seem


ROOT, OURS, FOREIGN = 0, 1000, 1001


@POSIX
@pytest.mark.parametrize("file", [ROOT, OURS])
@pytest.mark.parametrize("folder", [ROOT, OURS])
def test_what_root_made_may_be_read_only(tmp_path, owned, folder, file):
    """As in an image: root compiled ahead, and the process that reads is somebody else's."""
    path = tmp_path / "kernels"
    place(Cache(path))
    owned(folder, file)
    assert Cache(path, "ro").load(KEY) == ENTRY
    writing = Cache(path)
    if folder == ROOT:  # a cache that is written is nobody's but ours
        with one_warning("another user's"):
            assert writing.load(KEY) is None
    else:
        assert (writing.load(KEY) == ENTRY) == (file == OURS)


@POSIX
@pytest.mark.parametrize(("folder", "file"), [(FOREIGN, ROOT), (FOREIGN, OURS), (FOREIGN, FOREIGN)])
def test_a_strangers_folder_is_not_read(tmp_path, owned, folder, file):
    path = tmp_path / "kernels"
    place(Cache(path))
    owned(folder, file)
    with one_warning("another user's"):
        assert Cache(path, "ro").load(KEY) is None


@POSIX
@pytest.mark.parametrize("folder", [ROOT, OURS])
def test_a_strangers_file_is_not_read(tmp_path, owned, folder):
    path = tmp_path / "kernels"
    place(Cache(path))
    owned(folder, FOREIGN)
    cache = Cache(path, "ro")
    assert cache.load(KEY) is None
    assert cache.counts == {"refused": 1}


@POSIX
@pytest.mark.parametrize("which", ["folder", "file"])
@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_what_root_lets_others_write_is_not_read(tmp_path, owned, which, mode):
    folder = tmp_path / "kernels"
    path = place(Cache(folder))
    changed = folder if which == "folder" else path
    changed.chmod(changed.stat().st_mode | mode)
    owned(ROOT, ROOT)
    cache = Cache(folder, "ro")
    if which == "folder":
        with one_warning("writable by others"):
            assert cache.load(KEY) is None
    else:
        assert cache.load(KEY) is None
        assert cache.counts == {"refused": 1}


@pytest.fixture
def open_folder():
    """A folder that every user reaches."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        if not all(above.stat().st_mode & stat.S_IXOTH for above in folder.parents):
            pytest.skip(f"not every user reaches {folder.parent}")
        yield folder


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root becomes one")
@pytest.mark.parametrize(("mode", "is_found"), [("ro", True), ("rw", False)])
def test_another_user_reads_what_root_made(open_folder, mode, is_found):
    """The real thing: a child that gives its rights up."""
    folder = open_folder / "kernels"
    place(Cache(folder)).chmod(0o644)
    folder.chmod(0o755)
    code = """
        import json, os, sys
        from pathlib import Path
        from einjit.kernel.cache import Cache
        cache, key = Cache(Path(sys.argv[1]), sys.argv[2]), json.loads(sys.argv[3])
        os.setgroups([])
        os.setgid(12345)
        os.setuid(12345)
        print(cache.load(key) is not None)
    """
    out, err = children.finish(children.start(code, folder, mode, json.dumps(KEY)))
    assert out == str(is_found)
    assert ("another user's" in err) == (not is_found)


def test_one_warning_for_a_folder_that_vanishes(cache, caplog):
    path = place(cache)
    path.unlink()
    cache.folder.rmdir()
    with one_warning("cannot be kept"):
        for n in range(3):
            assert cache.load(KEY) is None
            cache.save(Entry({"kind": "other", "n": n}, {}, b""))


def test_threads_that_come_first_wait_for_the_check(tmp_path, monkeypatch):
    """No thread uses the folder while another is still looking at it."""
    folder = tmp_path / "kernels"
    place(Cache(folder))
    folder.chmod(0o777)
    cache, looking, answers = Cache(folder), threading.Event(), []
    lstat = os.lstat

    def slowly(path):
        looking.set()
        time.sleep(0.2)
        return lstat(path)

    def first():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answers.append(cache.opened)

    monkeypatch.setattr(os, "lstat", slowly)
    thread = threading.Thread(target=first)
    thread.start()
    looking.wait(10)
    assert cache.opened is None
    thread.join()
    assert answers == [None]


def test_read_only_changes_nothing(tmp_path):
    folder = tmp_path / "kernels"
    path = place(Cache(folder))
    damaged = Entry({"kind": "damaged"}, {}, b"")
    (folder / file_name(damaged.key)).write_bytes(damaged.pack()[:-1])
    (folder / f"x{'.kernel'}.1.tmp").write_bytes(b"")
    for each in folder.iterdir():
        os.utime(each, (1.0, 1.0))
        each.chmod(0o400)
    before = tree(folder)
    cache = Cache(folder, "ro", limit=0)
    assert not cache.writes
    assert cache.load(KEY) == ENTRY
    assert cache.load(damaged.key) is None
    assert cache.load({"kind": "none"}) is None
    cache.save(Entry({"kind": "other"}, {}, b""))
    assert cache.prune() == cache.clear() == 0
    assert tree(folder) == before
    assert cache.counts == {"refused": 1}
    assert path in list(cache.files())


def test_read_only_and_nothing_there(tmp_path):
    cache = Cache(tmp_path / "kernels", "ro")
    assert cache.load(KEY) is None
    cache.save(ENTRY)
    assert cache.opened is None
    assert list(tmp_path.iterdir()) == []


def test_off(tmp_path):
    cache = Cache(None, "off")
    cache.save(ENTRY)
    assert cache.load(KEY) is None
    assert not cache.has(KEY)
    assert not cache.writes
    assert list(cache.files()) == []
    assert cache.prune() == cache.clear() == 0


def test_a_relative_folder_stays_where_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cache = Cache.of(einjit.settings.Settings(cache_dir="kernels"))
    place(cache)
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert cache.load(KEY) == ENTRY
    cache.save(Entry({"kind": "other"}, {}, b""))
    assert len(list((tmp_path / "kernels").iterdir())) == 2
    assert list((tmp_path / "below").iterdir()) == []


# ---------------------------------------------------------------- what leaves


def entries(cache, n, size=1000, step=0):
    """Files of some size, each a minute older than the next and `step` bytes smaller."""
    paths = []
    for number in range(n):
        paths.append(place(cache, Entry({"n": number}, {}, bytes(size + number * step))))
        then = time.time() - 60 * (n - number)
        os.utime(paths[-1], (then, then))
    return paths


def test_those_used_longest_ago_leave(cache):
    paths = entries(cache, 10)
    size = paths[0].stat().st_size
    assert cache.prune() == 0
    cache.limit = 4 * size
    assert cache.prune() == 6
    assert [path.exists() for path in paths] == 6 * [False] + 4 * [True]
    assert cache.prune() == 0


def test_the_folder_stays_within_its_limit_by_itself(tmp_path):
    folder = tmp_path / "kernels"
    paths = entries(Cache(folder), 10)
    size = paths[0].stat().st_size
    cache = Cache(folder, limit=4 * size)
    for n in range(70):
        cache.save(Entry({"n": 100 + n}, {}, bytes(1000)))
    sizes = [path.stat().st_size for path in cache.files()]
    assert len(sizes) < 70
    assert not any(path.exists() for path in paths)


def test_temporaries_of_the_dead_leave(cache):
    path = place(cache)
    young, old = (path.with_name(f"{path.name}.{n}.tmp") for n in (1, 2))
    for temporary, age in ((young, STALE / 2), (old, STALE * 2)):
        temporary.write_bytes(b"half")
        then = time.time() - age
        os.utime(temporary, (then, then))
    assert cache.prune() == 1
    assert young.exists()
    assert not old.exists()
    assert cache.load(KEY) == ENTRY


@POSIX
def test_what_does_not_belong_there_does_not_hinder(cache):
    paths = entries(cache, 3)
    stranger = cache.folder / "readme.txt"
    stranger.write_text("not a kernel")
    (cache.folder / f"{'0' * 64}.kernel").symlink_to(cache.folder / "nowhere")
    cache.limit = paths[0].stat().st_size
    assert cache.prune() >= 2
    assert [path.exists() for path in paths] == [False, False, True]
    assert stranger.exists()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        einjit.cache_info()


def test_clear(cache):
    entries(cache, 3)
    assert cache.clear() == 3
    assert list(cache.files()) == []


def removing(path, monkeypatch):
    """Let a file vanish when it has just been listed, before anything is asked of it."""
    scandir = os.scandir

    @contextlib.contextmanager
    def listed(folder):
        with scandir(folder) as files:
            found = list(files)
        path.unlink(missing_ok=True)
        yield iter(found)

    monkeypatch.setattr(os, "scandir", listed)


def test_a_file_that_another_process_removes_meanwhile(installed, monkeypatch):
    """What is left is listed, counted, pruned and cleared; no fault, no warning."""
    paths = entries(installed, 5, step=10)
    sizes = [path.stat().st_size for path in paths]
    whole = einjit.cache_info()
    assert (whole["files"], whole["bytes"]) == (5, sum(sizes))
    with monkeypatch.context() as patch:
        removing(paths[0], patch)
        info = einjit.cache_info()
    assert not paths[0].exists()
    assert (info["files"], info["bytes"]) == (4, sum(sizes[1:]))
    installed.limit = sum(sizes[3:])
    with monkeypatch.context() as patch:
        removing(paths[1], patch)
        assert installed.prune() == 1
    assert [path.exists() for path in paths] == [False, False, False, True, True]
    files = Cache.files

    def removed_meanwhile(self):
        found = list(files(self))
        paths[3].unlink(missing_ok=True)
        return iter(found)

    with monkeypatch.context() as patch:
        patch.setattr(Cache, "files", removed_meanwhile)
        assert [path for path, entry in installed.entries() if entry] == [paths[4]]
        assert installed.clear() == 1
    assert einjit.cache_info() == {**whole, "files": 0, "bytes": 0}


# ---------------------------------------------------------------- damage to kernels


CALLS = [
    ("ij,jk->ik", np.arange(12.0).reshape(3, 4), np.arange(20.0).reshape(4, 5)),
    ("ij,ij->i", np.arange(12).reshape(3, 4), np.arange(12).reshape(3, 4)),
]


@pytest.fixture
def kernels(installed):
    """The entries that two calls leave behind."""
    registry = Registry()
    for call in CALLS:
        made = einjit.expression(call[0], *(operand.shape for operand in call[1:]))
        for step in made.plan.steps:
            registry.kernel(step.lowered.nest)
    found = [entry for _, entry in installed.entries()]
    assert {entry.key["kind"] for entry in found} == {"hot", "nest", "source"}
    return found


def test_damage_is_found_before_llvm_sees_it(installed, kernels, monkeypatch):
    """Every truncation at 64 bytes and 500 flipped bits; the next request heals the file."""
    seen, random = [], Random(2)

    class Watched:
        def __init__(self, code):
            seen.append(code.object)

    monkeypatch.setattr(build, "Loaded", Watched)
    monkeypatch.setattr(Code, "missing", [])

    def request(entry):
        """As a call requests a kernel, or an import a source; with the damage counted."""
        code = Code(entry.code, entry.facts.get("symbol", ""), tuple(entry.facts.get("needs", ())))
        before = installed.counts["refused"]
        _, kept = obtain(entry.key, lambda: (code, entry.facts))
        assert seen.pop() == entry.code
        return kept is not None, installed.counts["refused"] - before

    codes = [entry for entry in kernels if entry.key["kind"] != "source"]
    damages = []
    for entry in codes:
        data = entry.pack()
        damages += [(entry, data[:n]) for n in range(0, len(data), 64)]
        damages.append((entry, data + b"\0"))
    for _ in range(500):
        entry = random.choice(codes)
        flipped = bytearray(entry.pack())
        flipped[random.randrange(len(flipped))] ^= 1 << random.randrange(8)
        damages.append((entry, bytes(flipped)))
    assert len(damages) > 700
    for entry, data in damages:
        path = installed.folder / file_name(entry.key)
        path.write_bytes(data)
        assert request(entry) == (False, 1)
        assert path.read_bytes() == entry.pack()
        assert request(entry) == (True, 0)


def test_a_damaged_source_is_found_before_python_sees_it(installed, kernels):
    entry = next(entry for entry in kernels if entry.key["kind"] == "source")
    path, data, random = installed.folder / file_name(entry.key), entry.pack(), Random(3)
    assert Finder().find_spec(entry.key["module"], None) is not None
    damages = [data[:n] for n in range(0, len(data), 64)]
    for _ in range(100):
        flipped = bytearray(data)
        flipped[random.randrange(len(data))] ^= 1 << random.randrange(8)
        damages.append(bytes(flipped))
    # Whole, but not the text that the name holds the digest of.
    damages.append(Entry(entry.key, {"text": entry.facts["text"] + "\n"}, b"").pack())
    for damaged in damages:
        path.write_bytes(damaged)
        assert Finder().find_spec(entry.key["module"], None) is None


@pytest.mark.parametrize("facts", [{}, {"symbol": "f"}, {"symbol": 1, "needs": 2}])
def test_a_whole_file_with_the_wrong_facts_is_compiled_again(installed, kernels, facts):
    entry = next(entry for entry in kernels if entry.key["kind"] == "nest")
    installed.save(Entry(entry.key, facts, entry.code))
    code = Code(entry.code, entry.facts["symbol"], tuple(entry.facts["needs"]))
    loaded, kept = obtain(entry.key, lambda: (code, entry.facts))
    assert kept is None
    assert loaded.address
    assert installed.load(entry.key) == entry


def test_code_that_needs_what_the_process_has_not_is_compiled_again(installed, kernels):
    """LLVM would end the process."""
    entry = next(entry for entry in kernels if entry.key["kind"] == "nest")
    needs = [*entry.facts["needs"], "a_symbol_of_nobody"]
    installed.save(Entry(entry.key, {**entry.facts, "needs": needs}, entry.code))
    code = Code(entry.code, entry.facts["symbol"], tuple(entry.facts["needs"]))
    assert obtain(entry.key, lambda: (code, entry.facts))[1] is None
    assert installed.load(entry.key) == entry


def test_a_kernel_that_is_found_writes_no_text_but_for_one_that_is_lost(installed, kernels):
    nest = einjit.expression(CALLS[1][0], (3, 4), (3, 4)).plan.steps[0].lowered.nest
    found = build.Kernel(Source(nest))
    assert found.from_cache
    assert "text" not in vars(found.source)
    path = installed.folder / file_name({"kind": "source", "module": found.source.module})
    whole = path.read_bytes()
    path.unlink()
    assert build.Kernel(Source(nest)).from_cache
    assert path.read_bytes() == whole


def test_every_file_damaged_then_a_call(tmp_path):
    """In a new process each: refused, compiled, right, and whole again afterwards."""
    folder = tmp_path / "kernels"
    code = """
        import numpy as np, einjit
        a = np.arange(12.0).reshape(3, 4)
        assert (einjit.einsum("ij,kj->ik", a, a) == np.einsum("ij,kj->ik", a, a)).all()
        assert (einjit.einsum("ij->ji", a) == a.T).all()
        info, stats = einjit.cache_info(), einjit.registry.stats()
        print(info["refused"], stats["compiled"], stats["loaded"], info["faults"])
    """
    assert children.run(code, EINJIT_CACHE_DIR=folder) == "0 1 0 0"
    whole = {path: path.stat().st_size for path in folder.iterdir()}
    assert children.run(code, EINJIT_CACHE_DIR=folder) == "0 0 1 0"
    for n, path in enumerate(sorted(whole)):
        data = bytearray(path.read_bytes())
        if n % 2:
            del data[len(data) // 2 :]
        else:
            data[-100] ^= 16
        path.write_bytes(data)
    refused, *counts = children.run(code, EINJIT_CACHE_DIR=folder, EINJIT_LOG="error").split()
    assert counts == ["1", "0", "0"]
    assert int(refused) >= 4  # what is not asked for is not looked at
    assert children.run(code, EINJIT_CACHE_DIR=folder) == "0 0 1 0"
    found = dict(Cache(folder).entries())
    assert found.keys() == whole.keys()
    assert [path for path, entry in found.items() if entry is None] == []


def test_a_lost_source_comes_back_with_its_kernel(installed, kernels):
    """Else a user's cached function that calls the module could never be loaded again."""
    entry = next(entry for entry in kernels if entry.key["kind"] == "source")
    (installed.folder / file_name(entry.key)).unlink()
    nests = [
        step.lowered.nest
        for call in CALLS
        for step in einjit.expression(call[0], *(operand.shape for operand in call[1:])).plan.steps
    ]
    registry = Registry()
    for nest in nests:
        assert registry.kernel(nest).from_cache
    assert installed.load(entry.key) == entry


# ---------------------------------------------------------------- what a key covers


NAMES = """
    import sys
    from einjit.api import plan_for
    from einjit.equation.operands import Layout
    from einjit.kernel.build import _plain, nest_key
    from einjit.kernel.cache import file_name
    for case in ("ij,jk->ik float64", "ij,jk->ik float32", "ij,kj->ik float64"):
        subscripts, dtype = case.split()
        layouts = [Layout.contiguous((7, 7), dtype)] * 2
        nest = plan_for(subscripts, layouts).steps[0].lowered.nest
        print(file_name(_plain(nest_key(nest))))
"""

SETTINGS = [
    {},
    {"NUMBA_OPT": "1"},
    {"NUMBA_OPT": "2"},
    {"NUMBA_LOOP_VECTORIZE": "0"},
    {"NUMBA_BOUNDSCHECK": "1"},
    {"NUMBA_CPU_NAME": "generic"},
    {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "+sse2"},
    {"EINJIT_CPU": "generic"},
]


def test_settings_dtype_and_source_give_files_of_their_own():
    started = [children.start(NAMES, **settings) for settings in SETTINGS]
    names = [name for child in started for name in children.finish(child)[0].split()]
    assert len(names) == 3 * len(SETTINGS)
    assert len(set(names)) == len(names)
    other_seed = children.run(NAMES, PYTHONHASHSEED="1", EINJIT_LOG="debug")
    assert other_seed.split() == names[:3]


def test_versions_processor_and_generator_give_files_of_their_own(monkeypatch):
    source = next(iter(einjit.registry), None) or first_kernel()
    name = file_name(build._plain(nest_key(source.source.nest)))

    def changed(module, attribute, value):
        with monkeypatch.context() as patch:
            patch.setattr(module, attribute, value)
            build.environment.cache_clear()
            found = file_name(build._plain(nest_key(source.source.nest)))
        build.environment.cache_clear()
        return found

    processor = build.cpu()[0]
    different = [
        changed(build, "CODEGEN", -1),
        changed(build, "cpu", lambda: ("z80", "")),
        changed(build, "cpu", lambda: (processor, "+other")),
        changed(build, "_version", lambda package: package),
        changed(build, "_digest", lambda *modules: "digest"),
        changed(build, "FASTMATH", ()),
        changed(sys, "platform", "plan9"),
        changed(platform, "machine", lambda: "pdp11"),
    ]
    assert len({name, *different}) == len(different) + 1
    assert file_name(build._plain(nest_key(source.source.nest))) == name


def first_kernel():
    einjit.einsum("i,i->", np.ones(3), np.ones(3))
    return next(iter(einjit.registry))


GENERIC = """
    import sys
    if "used" in sys.argv:
        import numba
        @numba.njit(parallel=True, error_model="numpy")
        def f(a):
            total = 0.0
            for i in numba.prange(a.size):
                total += abs(a[i]) ** 2
            return total
        import numpy as np
        assert f(np.ones(9, "complex64")) == 9
    import hashlib
    import llvmlite.binding as llvm
    import numpy as np, einjit
    from einjit.kernel.cache import disk
    from einjit.kernel.layout import DRIVER
    a = np.arange(40_000).reshape(200, 200).astype("float32") / 7
    z = (a + 1j)[:50, :50].astype("complex64")
    bits = hashlib.sha256()
    for call in (("ij,jk->ik", a, a), ("ij->i", a), ("ij,jk->ik", z, z), ("ij,ij->", a, a)):
        bits.update(einjit.einsum(*call).tobytes())
    codes = {}
    for _, entry in disk().entries():
        if entry.key["kind"] != "source":
            sections = llvm.ObjectFileRef.from_data(entry.code).sections()
            text = b"".join(s.data() for s in sections if s.is_text())
            assert len(text) > 100
            codes[entry.key.get("nest") or entry.key["name"]] = hashlib.sha256(text).hexdigest()
    einjit.registry.fetch_threads()
    assert einjit.registry.native.process[DRIVER]
    print(bits.hexdigest(), *sorted(codes.items()))
    if "used" in sys.argv:  # numba itself still compiles for this CPU, whatever its features
        import numba
        from numba.core.registry import cpu_target
        codegen = cpu_target.target_context.codegen()
        assert codegen.magic_tuple()[1] == llvm.get_host_cpu_name()
        assert codegen._tm_features == llvm.get_host_cpu_features().flatten()
        assert numba.njit(lambda x: x + 1)(1) == 2
        assert f(np.ones((9), "complex128")) == 9
"""


def test_generic_code_is_generic_even_after_numba_was_used(tmp_path):
    """What is kept under a key was compiled for the CPU of that key: the same code to the byte."""
    found = {}
    for first in ("fresh", "used"):
        settings = {"EINJIT_CACHE_DIR": tmp_path / first, "NUMBA_NUM_THREADS": 2}
        found[first] = children.run(GENERIC, first, **settings, EINJIT_CPU="generic")
    assert found["used"] == found["fresh"]
    assert found["fresh"].count("ab") >= 4
    assert "drive" in found["fresh"]
    settings = {"EINJIT_CACHE_DIR": tmp_path / "native", "NUMBA_NUM_THREADS": 2}
    native = children.run(GENERIC, "fresh", **settings)
    assert native != found["fresh"]


def test_generic_code_is_the_same_where_it_is_not_kept(tmp_path):
    """A process that cannot write the cache compiles for the same CPU as the one that could."""
    settings = {"EINJIT_CPU": "generic", "NUMBA_NUM_THREADS": 2}
    folder = tmp_path / "kernels"
    kept = children.run(GENERIC, "fresh", EINJIT_CACHE_DIR=folder, **settings)
    again = children.run(GENERIC, "fresh", EINJIT_CACHE_DIR=folder, **settings)
    off = children.run(GENERIC, "used", EINJIT_CACHE="0", **settings)
    assert again == kept
    assert off.split()[0] == kept.split()[0]
