"""Profiles: which calls a program makes, written down so that they can be compiled ahead.

A profile is a JSON file: {"einjit": 1, "calls": [...]}, each call with its subscripts, the shape,
strides (in elements) and dtype of each operand, and its options. Several processes may write to
one; what each has seen is merged under a lock, and the file is replaced as a whole.
"""

import atexit
import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from einjit.equation.operands import Layout
from einjit.errors import EinjitError
from einjit.request import ORDERS, Request
from einjit.settings import logger, settings
from einjit.source.elements import ELEMENTS

VERSION = 1

PATIENCE = 0.5
"""Seconds that a call waits before it is written to the profile of EINJIT_RECORD; longer where a
profile has grown so large that writing it would take more than a fifth of the time."""


class ProfileError(EinjitError, ValueError):
    """A file is not a profile."""


@dataclass(frozen=True, slots=True)
class Call:
    """What one call looks like; `out` is the layout of the array it was given for its result."""

    subscripts: str
    operands: tuple[Layout, ...]
    dtype: str
    out: Layout | None = None
    order: str = "K"
    optimize: str | bool = "auto"

    @classmethod
    def of(cls, request: Request) -> "Call | None":
        """The call of a request; None where its path was given by hand: JSON has no word for it."""
        if not isinstance(request.optimize, str | bool):
            return None
        return cls(
            request.subscripts,
            tuple(map(Layout.of, request.operands)),
            request.dtype.name,
            None if request.direct is None else Layout.of(request.direct),
            request.order,
            request.optimize,
        )

    def to_json(self) -> dict[str, Any]:
        """The call as JSON holds it."""
        return {
            "subscripts": self.subscripts,
            "operands": [_layout_to_json(operand) for operand in self.operands],
            "dtype": self.dtype,
            "out": None if self.out is None else _layout_to_json(self.out),
            "order": self.order,
            "optimize": self.optimize,
        }

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> "Call":
        """The call that `to_json` wrote."""
        out = facts.get("out")
        call = cls(
            str(facts["subscripts"]),
            tuple(_layout_from_json(operand) for operand in facts["operands"]),
            str(facts["dtype"]),
            None if out is None else _layout_from_json(out),
            facts.get("order", "K"),
            facts.get("optimize", "auto"),
        )
        if call.order not in ORDERS or not isinstance(call.optimize, str | bool):
            raise ValueError("no such option")
        if not {call.dtype, *(operand.dtype for operand in call.operands)} <= ELEMENTS.keys():
            raise ValueError("no such dtype")
        return call


def read_profile(path: str | os.PathLike[str]) -> list[Call]:
    """The calls of a profile, each once.

    Raises FileNotFoundError, or ProfileError where the file is not a profile.
    """
    try:
        facts = json.loads(Path(path).read_text("utf-8"))
        if facts["einjit"] != VERSION:
            raise ProfileError(f"{path}: a profile of version {facts['einjit']}, not {VERSION}")
        return list(dict.fromkeys(map(Call.from_json, facts["calls"])))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        if isinstance(problem, ProfileError):
            raise
        raise ProfileError(f"{path} is not a profile: {problem!r}") from None


def merge_profile(path: str | os.PathLike[str], calls: list[Call]) -> None:
    """Add calls to a profile, which is made where there is none."""
    target = Path(path)
    with _locked(target):
        known = read_profile(target) if target.exists() else []
        merged = list(dict.fromkeys([*known, *calls]))
        if merged == known and target.exists():
            return
        temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        facts = {"einjit": VERSION, "calls": [call.to_json() for call in merged]}
        temporary.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
        os.replace(temporary, target)


class Recorder:
    """Notes calls as they are planned, for the profiles that are being written."""

    def __init__(self) -> None:
        self._profiles: dict[object, tuple[Path, list[Call]]] = {}
        self._pending: list[Call] = []
        self._patience = PATIENCE
        self._begin()
        atexit.register(self.write)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        """In a new process, also a forked one, whose parent writes down its own calls."""
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._timer: threading.Timer | None = None
        self._pending.clear()

    @property
    def active(self) -> bool:
        """Whether anything is being recorded."""
        return bool(self._profiles) or settings.record is not None

    def note(self, request: Request) -> None:
        """Write a call down."""
        call = Call.of(request)
        if call is None:
            return
        with self._lock:
            for _, calls in self._profiles.values():
                calls.append(call)
            if settings.record is not None:
                self._pending.append(call)
                if self._timer is None:
                    self._start_timer()

    def _start_timer(self) -> None:
        """Write soon: a service may be killed long after the last call that was new to it."""
        timer = threading.Timer(self._patience, self.write)
        timer.daemon = True
        with contextlib.suppress(RuntimeError):  # no thread to be had: the process's end writes
            timer.start()
            self._timer = timer

    def write(self) -> None:
        """Merge what waits into the profile of EINJIT_RECORD."""
        with self._writing:  # the end of the process waits for a write that is under way
            with self._lock:
                calls, self._pending, self._timer = self._pending, [], None
            if settings.record is None or not calls:
                return
            start = time.perf_counter()
            try:
                merge_profile(settings.record, calls)
            except (OSError, ProfileError) as problem:
                logger.warning("EINJIT_RECORD: %s", problem)
            self._patience = max(PATIENCE, 4 * (time.perf_counter() - start))

    @contextlib.contextmanager
    def recording(self, path: str | os.PathLike[str]) -> Iterator[None]:
        """Record until the end of the context, then merge into the profile."""
        token, calls = object(), list[Call]()
        with self._lock:
            self._profiles[token] = (Path(path), calls)
        try:
            yield
        finally:
            with self._lock:
                del self._profiles[token]
            merge_profile(path, calls)


recorder = Recorder()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One writer at a time, between processes."""
    with open(path.with_name(path.name + ".lock"), "w") as lock:
        _lock(lock.fileno())
        try:
            yield
        finally:  # a child that was forked meanwhile keeps the file open
            _unlock(lock.fileno())


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        while True:
            with contextlib.suppress(OSError):  # it gives up after some seconds
                return msvcrt.locking(file, msvcrt.LK_LOCK, 1)

    def _unlock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX)

    def _unlock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)


def _layout_to_json(layout: Layout) -> dict[str, Any]:
    return {"shape": layout.shape, "strides": layout.strides, "dtype": layout.dtype}


def _layout_from_json(facts: dict[str, Any]) -> Layout:
    shape, strides = (tuple(map(int, facts[name])) for name in ("shape", "strides"))
    if len(shape) != len(strides) or any(n < 0 for n in shape):
        raise ValueError("no such layout")
    return Layout(shape, strides, str(facts["dtype"]))
