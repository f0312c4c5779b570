"""Compile ahead: what a service will need, before it serves.

The kernels of all equations are collected first, each once; those that the cache does not have are
compiled by several processes, which leave them in the cache, and then all are loaded.
"""

import contextlib
import json
import logging
import operator
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from einjit.equation.operands import Layout
from einjit.equation.parser import as_text, parse
from einjit.errors import ArgumentError, EinjitError, ShapeError
from einjit.plan.nest import Nest
from einjit.plan.packed import Packed
from einjit.plan.plan import make_plan
from einjit.profile import Call, read_profile, recorder
from einjit.registry import registry
from einjit.settings import logger
from einjit.source.elements import ELEMENTS

COMMON = (
    "i,i->",  # dot
    "ij,jk->ik",  # matrix products in their four transposes
    "ji,jk->ik",
    "ij,kj->ik",
    "ji,kj->ik",
    "bij,bjk->bik",  # batched
    "bij,bkj->bik",
    "ij,j->i",  # matrix-vector
    "ij,i->j",
    "bij,bj->bi",
    "i,j->ij",  # outer
    "bi,bj->bij",
    "ii->",  # trace
    "ii->i",  # diagonal
    "bii->b",
    "i->",  # sums
    "ij->",
    "ij->i",
    "ij->j",
    "ijk->ij",
    "ijk->ik",
    "ijk->jk",
    "ij,ij->ij",  # Hadamard
    "ij,ij->",
    "ij,ij->i",
    "ij,j->ij",
    "ij,i->ij",
    "ni,ij,nj->n",  # bilinear, Mahalanobis
    "i,ij,j->",
    "bhqd,bhkd->bhqk",  # attention scores and values
    "bhqk,bhkd->bhqd",
    "bqhd,bkhd->bhqk",
    "bhqk,bkhd->bqhd",
    "bqgrd,bkgd->bgrqk",  # grouped queries
    "bgrqk,bkgd->bqgrd",
    "bsd,dr,ro->bso",  # LoRA projection
    "bsd,od->bso",
)
"""The usual forms."""

COMMON_DTYPES = ("float32", "float64")

SIZES = (7, 8, 96)
"""Extents that stand for tiny, small and large operands where no shapes are given: of matrices, for
products that are not packed, that are, and whose boxes are packed."""

LONGEST = 1 << 21
"""Elements of an operand or a result above which the large extents are lowered."""

ALONE = 4
"""Kernels up to which a second process would cost more than it compiles."""


@dataclass(frozen=True, slots=True)
class Warmup:
    """What `warmup` did: kernels compiled and loaded, what failed and why, and how long it took."""

    compiled: int
    loaded: int
    failed: tuple[tuple[str, str], ...] = field(default=())
    seconds: float = 0.0

    def __str__(self) -> str:
        text = f"{self.compiled} kernels compiled, {self.loaded} loaded in {self.seconds:.1f} s"
        return "\n".join([text, *(f"failed: {what}: {why}" for what, why in self.failed)])


def warmup(what: Any, dtype: Any = None, progress: bool | None = None) -> Warmup:
    """Compile what calls will need, in parallel processes, and load it.

    Parameters
    ----------
    what : list, path or "common"
        A list of equations, each a text, or a tuple (subscripts, shape, shape, ...) with example
        shapes, which tell of extents up to 32 (some kernels have those as numbers); the path of a
        profile (`record`); or "common", the usual forms.
    dtype : dtype or list of them, optional
        What equations of a list are compiled for: float64 by default, and float32 and float64 for
        "common". A profile has its own dtypes.
    progress : bool, optional
        Whether to show a bar; by default on a terminal and in a notebook.

    Returns
    -------
    Warmup
        Counts, and what failed: an equation that cannot be contracted stops nothing.

    Examples
    --------
    >>> import einjit
    >>> report = einjit.warmup(["i,i->", ("ij,jk->ik", (100, 200), (200, 50))], dtype="float32")
    >>> report.failed
    ()
    """
    start = time.perf_counter()
    failed: list[tuple[str, str]] = []
    nests: dict[Nest | Packed, str] = {}
    for call in _calls(what, dtype, failed):
        try:
            for nest in _nests(call):
                nests.setdefault(nest, call.subscripts)
        except (EinjitError, TypeError, ValueError, KeyError) as error:
            failed.append((call.subscripts, str(error)))
    absent = [nest for nest in nests if not registry.holds(nest)]
    wanting = [nest for nest in absent if not registry.has_on_disk(nest)]
    with _progress(len(nests) + len(wanting), progress) as advance:
        broken = _compile_apart(wanting, advance)
        for nest in nests.keys() - broken.keys():
            try:
                registry.kernel(nest)
            except Exception as problem:  # reported; the others go on
                broken[nest] = repr(problem)
            advance(1)
    failed += [(nests[nest], why) for nest, why in broken.items()]
    compiled = sum(nest not in broken for nest in wanting)
    loaded = sum(nest not in broken for nest in absent)
    return Warmup(compiled, loaded, tuple(failed), time.perf_counter() - start)


@contextlib.contextmanager
def record(path: str | os.PathLike[str]) -> Iterator[None]:
    """Note every equation that is contracted in a `with` block, for `warmup(path)`.

    What is in the file stays; several processes may record to it. EINJIT_RECORD=path records a
    whole process.

    >>> import einjit, numpy as np, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "profile.json")
    >>> with einjit.record(path):
    ...     _ = einjit.einsum("ij,jk->ik", np.ones((2, 3)), np.ones((3, 4)))
    >>> einjit.warmup(path).failed
    ()
    """
    registry.forget_calls()  # so that calls which are ready are seen once more
    with recorder.recording(path):
        yield


def _calls(what: Any, dtype: Any, failed: list[tuple[str, str]]) -> Iterator[Call]:
    if isinstance(what, str) and what == "common":
        yield from _spell_out(COMMON, dtype or COMMON_DTYPES, failed)
    elif isinstance(what, str | os.PathLike):
        yield from read_profile(what)
    elif isinstance(what, Iterable):
        yield from _spell_out(what, dtype or ("float64",), failed)
    else:
        raise ArgumentError(
            f"warmup takes a list of equations, a path or 'common', not {type(what).__name__}"
        )


def _spell_out(
    equations: Iterable[Any], dtypes: Any, failed: list[tuple[str, str]]
) -> Iterator[Call]:
    """The calls that stand for equations: with the shapes given, or small and large ones."""
    several = isinstance(dtypes, list | tuple)
    try:
        names = [np.dtype(d).name for d in (dtypes if several else (dtypes,))]
    except TypeError as problem:
        raise ArgumentError(f"dtype={dtypes!r}: {problem}") from None
    for name in names:
        if name not in ELEMENTS:
            raise ArgumentError(f"dtype {name} is numpy's to contract")
    for equation in equations:
        try:
            subscripts, *shapes = equation if isinstance(equation, list | tuple) else (equation,)
            text = as_text(subscripts)
            examples = [shapes] if shapes else [_shapes(text, size) for size in SIZES]
            examples = [
                [tuple(map(operator.index, one)) for one in example] for example in examples
            ]
            if any(n < 0 for example in examples for one in example for n in one):
                raise ShapeError("a negative extent")
        except (EinjitError, TypeError, ValueError) as error:
            failed.append((str(equation), str(error)))
            continue
        for example in examples:
            for name in names:
                layouts = tuple(Layout.contiguous(tuple(shape), name) for shape in example)
                yield Call(text, layouts, name)


def _shapes(text: str, size: int) -> list[tuple[int, ...]]:
    """Shapes for an equation: all extents alike, an ellipsis standing for one axis."""
    terms = text.replace(" ", "").partition("->")[0].split(",")
    ranks = [len(term.replace("...", ".")) for term in terms]
    largest = max([*ranks, parse(text, ranks).n_indices, 1])
    extent = min(size, max(4, int(LONGEST ** (1 / largest))))
    return [(extent,) * rank for rank in ranks]


def _nests(call: Call) -> list[Nest | Packed]:
    equation = parse(call.subscripts, [len(operand.shape) for operand in call.operands])
    plan = make_plan(
        equation,
        call.operands,
        call.dtype,
        out=call.out,
        order=call.order,
        optimize=call.optimize,
    )
    return [step.lowered.nest for step in plan.steps if step.lowered.nest]


# ---------------------------------------------------------------- processes


def _compile_apart(nests: Sequence[Nest | Packed], advance: Any) -> dict[Nest | Packed, str]:
    """Compile nests in processes of their own, which leave them in the cache; what failed."""
    workers = min(len(nests) // ALONE + 1, os.cpu_count() or 1)
    if workers < 2 or not registry.keeps:
        advance(len(nests))
        return {}  # they are compiled here, when they are loaded
    parts = [list(nests[start::workers]) for start in range(workers)]
    program = "import sys; sys.path[:] = {!r}; from einjit.warming import work; work()"
    command = [sys.executable, "-c", program.format(sys.path)]
    running = []
    for part in parts:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died: its part is compiled here
            process.stdin.write(pickle.dumps(part))
            process.stdin.close()
        running.append((part, process))
    failed = {}
    for part, process in running:
        assert process.stdout is not None
        with process.stdout as answers:
            for line in answers:
                number, problem = json.loads(line)
                advance(1)
                if problem:
                    failed[part[number]] = problem
        process.wait()
    return failed


def work() -> None:
    """Compile the nests that come by standard input: what a process of `warmup` does."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints stays out of the answers
    for number, nest in enumerate(pickle.load(sys.stdin.buffer)):
        problem = None
        try:
            registry.kernel(nest)
        except Exception as error:  # told to the parent, which reports it
            problem = repr(error)
        answers.write(json.dumps([number, problem]) + "\n")


# ---------------------------------------------------------------- progress


@contextlib.contextmanager
def _progress(total: int, wanted: bool | None) -> Iterator[Any]:
    """A bar where somebody watches, the log elsewhere."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    shown = (shell is not None or sys.stderr.isatty()) if wanted is None else wanted
    if not shown:
        logger.log(logging.INFO, "warm-up: %d kernels", total)
        yield lambda count: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, desc="einjit", unit="kernel") as bar:
        yield bar.update
