"""Machine code on disk: one file a kernel, trusted only after it has been checked.

A file is named by the SHA-256 of its key and holds: the magic, the lengths of header and payload,
the header (JSON: the full key, and what is needed to load the code), the payload (an object file),
and the SHA-256 of all that. Nothing of a file reaches LLVM before its owner, its permissions, its
digest and its key have been found right; a file that fails is deleted, counted and compiled again.
Files are written under a temporary name and put in place by `os.replace`, so that a reader sees a
whole file or none. Whatever the disk does, a call still has its kernel; the user is warned once.
"""

import contextlib
import functools
import hashlib
import json
import os
import secrets
import stat
import struct
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from einjit.settings import Settings, logger, settings

Key = dict[str, Any]
"""All that machine code depends on, as JSON can hold it."""

MAGIC = b"einjit\x00\x01"
LENGTHS = struct.Struct("<QQ")
DIGEST = 32
SUFFIX, TEMPORARY = ".kernel", ".tmp"

LARGEST = 64 << 20
"""Bytes of the largest file that is read: a kernel has some thousands."""

LIMIT = 512 << 20
"""Bytes of the whole folder; the files that were used longest ago leave first."""

STALE = 3600.0
"""Seconds after which a temporary file belongs to nobody."""

TOUCH = 86_400.0
"""Seconds after which a file that is used is marked as used again."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A kernel as the cache holds it: its key, facts for loading it, and its object file."""

    key: Key
    facts: dict[str, Any]
    code: bytes

    def pack(self) -> bytes:
        """The bytes of the file."""
        header = json.dumps({"key": self.key, "facts": self.facts}, sort_keys=True).encode()
        body = MAGIC + LENGTHS.pack(len(header), len(self.code)) + header + self.code
        return body + hashlib.sha256(body).digest()

    @classmethod
    def unpack(cls, data: bytes) -> "Entry":
        """The entry of a file's bytes; ValueError where they are not whole and unchanged."""
        start = len(MAGIC) + LENGTHS.size
        if data[: len(MAGIC)] != MAGIC or len(data) < start + DIGEST:
            raise ValueError("not a kernel")
        n_header, n_code = LENGTHS.unpack_from(data, len(MAGIC))
        if len(data) != start + n_header + n_code + DIGEST:
            raise ValueError("wrong length")
        if hashlib.sha256(data[:-DIGEST]).digest() != data[-DIGEST:]:
            raise ValueError("wrong digest")
        try:
            header = json.loads(data[start : start + n_header])
            key, facts = header["key"], header["facts"]
        except (ValueError, KeyError, TypeError, RecursionError) as problem:
            raise ValueError(f"no header: {problem!r}") from None
        if not (isinstance(key, dict) and isinstance(facts, dict)):
            raise ValueError("no header")
        return cls(key, facts, data[start + n_header : -DIGEST])


def file_name(key: Key) -> str:
    """The name of a key's file."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest() + SUFFIX


class Cache:
    """A folder of kernels. `mode` is "rw", "ro" or "off"."""

    def __init__(self, folder: Path | None, mode: str = "rw", limit: int = LIMIT) -> None:
        self.folder = folder and folder.absolute()
        self.mode, self.limit = mode, limit
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._warned = False
        self._opened = False

    @classmethod
    def of(cls, settings: Settings) -> "Cache":
        """The cache that the environment asks for."""
        if settings.cache == "off":
            return cls(None, "off")
        if settings.cache_dir:
            return cls(Path(settings.cache_dir), settings.cache)
        import platformdirs

        return cls(Path(platformdirs.user_cache_dir("einjit")), settings.cache)

    # ------------------------------------------------------------ one kernel

    @property
    def opened(self) -> Path | None:
        """The folder, once it is known to be good."""
        return self._open()

    @property
    def writes(self) -> bool:
        """Whether entries are kept."""
        return self._open() is not None and self.mode == "rw"

    def has(self, key: Key) -> bool:
        """Whether there is a file of this key, in order or not."""
        folder = self._open()
        try:
            return folder is not None and (folder / file_name(key)).exists()
        except OSError:
            return False

    def load(self, key: Key) -> Entry | None:
        """The entry of a key, if a file of it is there and in order."""
        folder = self._open()
        if folder is None:
            return None
        path = folder / file_name(key)
        try:
            data, age = self._read(path)
            entry = Entry.unpack(data)
            if entry.key != key:
                raise ValueError("another key")
        except FileNotFoundError:
            return None
        except OSError as problem:
            self._give_up(f"{path.name} cannot be read: {problem}")
            return None
        except ValueError as problem:
            self.counts["refused"] += 1
            logger.warning("cache: %s refused: %s", path.name, problem)
            self._remove(path)
            return None
        if age > TOUCH and self.mode == "rw":
            self._try(os.utime, path)
        return entry

    def save(self, entry: Entry) -> None:
        """Put an entry in its place, whole or not at all."""
        folder = self._open()
        if folder is None or self.mode != "rw":
            return
        path = folder / file_name(entry.key)
        temporary = folder / f"{path.name}.{os.getpid()}.{secrets.token_hex(8)}{TEMPORARY}"
        try:
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)
            with open(os.open(temporary, flags | getattr(os, "O_BINARY", 0), 0o600), "wb") as file:
                file.write(entry.pack())
            os.replace(temporary, path)
        except OSError as problem:
            self._try(os.unlink, temporary)
            self._give_up(f"a kernel cannot be kept: {problem}")
            return
        self.counts["saved"] += 1
        if self.counts["saved"] % 64 == 1:
            self.prune()

    # ------------------------------------------------------------ all of them

    def files(self) -> Iterator[Path]:
        """The kernels' files."""
        folder = self._open()
        if folder is not None:
            yield from sorted(folder.glob(f"*{SUFFIX}"))

    def entries(self) -> Iterator[tuple[Path, Entry | None]]:
        """Each file with what it holds, None where it is not in order."""
        for path in self.files():
            try:
                entry = Entry.unpack(self._read(path)[0])
                yield path, entry if file_name(entry.key) == path.name else None
            except (OSError, ValueError):
                yield path, None

    def prune(self) -> int:
        """Remove stale temporary files and, beyond the limit, the kernels used longest ago; how
        many files went."""
        folder = self._open()
        if folder is None or self.mode != "rw":
            return 0
        removed, total, now = 0, 0, time.time()
        for status, path in _regular_files(folder, TEMPORARY):
            if now - status.st_mtime > STALE:
                removed += self._remove(path)
        kernels = _regular_files(folder, SUFFIX)
        for status, path in sorted(kernels, key=lambda pair: -pair[0].st_mtime):
            total += status.st_size
            if total > self.limit:
                removed += self._remove(path)
        return removed

    def sizes(self) -> list[int]:
        """The bytes of each kernel's file."""
        folder = self._open()
        return [] if folder is None else [s.st_size for s, _ in _regular_files(folder, SUFFIX)]

    def clear(self) -> int:
        """Remove every kernel; how many there were."""
        return sum(self._remove(path) for path in list(self.files()))

    # ------------------------------------------------------------ the folder and its faults

    def _open(self) -> Path | None:
        """The folder, made and checked the first time it is asked for."""
        if not self._opened and self.folder is not None:
            with self._lock:
                if not self._opened:
                    self._check_folder(self.folder)
                    self._opened = True
        return self.folder

    def _check_folder(self, folder: Path) -> None:
        try:
            if self.mode == "rw":
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = os.lstat(folder)
        except OSError as problem:
            if self.mode == "ro" and isinstance(problem, FileNotFoundError):
                self.folder = None  # nothing there to read
            else:
                self._give_up(f"{problem}", close=True)
        else:
            fault = self._fault_of(status, stat.S_ISDIR)
            if fault:
                self._give_up(f"{folder} is {fault}: it is not used", close=True)

    def _read(self, path: Path) -> tuple[bytes, float]:
        """A file's bytes and the seconds since it was written; ValueError if it is not ours."""
        flags = os.O_RDONLY
        for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
            flags |= getattr(os, name, 0)
        try:
            descriptor = os.open(path, flags)
        except OSError:
            if path.is_symlink():
                raise ValueError("a symlink") from None
            raise
        try:
            status = os.fstat(descriptor)
            fault = self._fault_of(status, stat.S_ISREG)
            if fault or status.st_size > LARGEST:
                raise ValueError(fault or "too large")
            with open(descriptor, "rb", closefd=False) as file:
                return file.read(LARGEST), time.time() - status.st_mtime
        finally:
            os.close(descriptor)

    def _fault_of(self, status: os.stat_result, is_kind: Any) -> str | None:
        """Why a file or folder must not be trusted, if there is a reason.

        Whoever can write a kernel runs code in this process. Where nothing is written, root's is
        as good as ours: the folder of an image belongs to root, its processes to somebody else,
        and root could run code in them anyway.
        """
        if not is_kind(status.st_mode):
            return "no regular file or folder"
        if hasattr(os, "geteuid"):
            trusted = {os.geteuid(), 0} if self.mode == "ro" else {os.geteuid()}
            if status.st_uid not in trusted:
                return "another user's"
        if os.name == "posix" and status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return "writable by others"
        return None

    def _remove(self, path: Path) -> bool:
        return self.mode == "rw" and self._try(os.unlink, path)

    def _try(self, action: Any, path: Path) -> bool:
        try:
            action(path)
        except OSError:
            return False
        return True

    def _give_up(self, problem: str, close: bool = False) -> None:
        """Count a fault of the disk and warn of the first; `close` stops using the folder."""
        self.counts["faults"] += 1
        logger.warning("cache: %s", problem)
        if close:
            self.folder = None
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"einjit: kernels are compiled anew in each process: {problem}", stacklevel=2
            )


def _regular_files(folder: Path, suffix: str) -> list[tuple[os.stat_result, Path]]:
    """The files of a kind and what the system says of them; those that vanish meanwhile are not."""
    found = []
    with contextlib.suppress(OSError), os.scandir(folder) as files:
        for file in files:
            with contextlib.suppress(OSError):
                if file.name.endswith(suffix) and file.is_file(follow_symlinks=False):
                    found.append((file.stat(follow_symlinks=False), Path(file.path)))
    return found


@functools.cache
def disk() -> Cache:
    """The cache of this process."""
    return Cache.of(settings)


def cache_dir() -> Path | None:
    """The folder that kernels are kept in; None where there is none or it cannot be trusted.

    >>> import einjit
    >>> einjit.cache_dir() is None or einjit.cache_dir().is_dir()
    True
    """
    return disk().opened


def cache_info() -> dict[str, Any]:
    """The cache's folder and mode, how many files and bytes are in it, and what became of this
    process's requests: kernels saved, files refused, faults of the disk.

    >>> import einjit
    >>> sorted(einjit.cache_info())
    ['bytes', 'faults', 'files', 'folder', 'mode', 'refused', 'saved']
    """
    cache = disk()
    sizes = cache.sizes()
    return {
        "folder": None if cache.opened is None else str(cache.opened),
        "mode": cache.mode,
        "files": len(sizes),
        "bytes": sum(sizes),
        **{name: cache.counts[name] for name in ("saved", "refused", "faults")},
    }


def clear_cache() -> int:
    """Remove every kernel from the disk; how many files there were. What is loaded stays.

    >>> import einjit
    >>> einjit.clear_cache() >= 0
    True
    """
    return disk().clear()
