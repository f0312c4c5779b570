"""Profiles: which calls a program makes, written down so that they can be compiled ahead.

A profile is a JSON file: {"einjit": 1, "calls": [...]}, each call with its subscripts, the shape,
strides (in elements) and dtype of each operand, and its options. Several processes may write to
one; what each has seen is merged under a lock, and the file is replaced as a whole.
"""

import atexit
import contextlib
import json
import os
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

PATIENCE = 1.0
"""Seconds between two writes to the profile of EINJIT_RECORD."""


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
        self._lock = threading.Lock()
        self._pending: list[Call] = []
        self._written = 0.0

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
                if not self._pending and not self._written:
                    atexit.register(self.write)
                self._pending.append(call)
        if time.monotonic() - self._written > PATIENCE:
            self.write()

    def write(self) -> None:
        """Merge what waits into the profile of EINJIT_RECORD."""
        with self._lock:
            calls, self._pending = self._pending, []
            self._written = time.monotonic()
        if settings.record is None or not calls:
            return
        try:
            merge_profile(settings.record, calls)
        except (OSError, ProfileError) as problem:
            logger.warning("EINJIT_RECORD: %s", problem)

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
    """One writer at a time, between processes where the system has file locks."""
    try:
        import fcntl
    except ImportError:  # Windows: the last writer's merge stands
        yield
        return
    with open(path.with_name(path.name + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _layout_to_json(layout: Layout) -> dict[str, Any]:
    return {"shape": layout.shape, "strides": layout.strides, "dtype": layout.dtype}


def _layout_from_json(facts: dict[str, Any]) -> Layout:
    shape, strides = (tuple(map(int, facts[name])) for name in ("shape", "strides"))
    if len(shape) != len(strides) or any(n < 0 for n in shape):
        raise ValueError("no such layout")
    return Layout(shape, strides, str(facts["dtype"]))
