"""A plan made ready: one callable (subscripts, *operands[, out]) that carries out its steps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from einjit.equation.operands import Array, Layout
from einjit.kernel.arena import arena
from einjit.kernel.build import Kernel
from einjit.kernel.native import Native
from einjit.plan.nest import Nest
from einjit.plan.packed import Packed, Part
from einjit.plan.plan import Plan, Step

Launch = Callable[..., Any]

RELEASE_TIME = 5_000.0
"""Nanoseconds of work from which the GIL is released: giving it back costs about 0.1 microseconds,
and more where other threads want it."""

TASKS = 128
"""Iterations of the parallel loop that the tiles of a large call are dealt out in."""


def ready(
    plan: Plan,
    native: Native,
    kernel: Callable[[Nest | Packed], Kernel],
    shared: Callable[[Part], Kernel],
) -> Launch:
    """Bind a plan to its kernels, which `kernel` compiles or finds, and `shared` their parts."""
    last = plan.steps[-1]
    scalar = plan.result.shape == ()
    launches = [
        _launch(step, native, kernel, shared, scalar and step is last) for step in plan.steps
    ]
    if len(launches) == 1 and not any(plan.cast):
        return launches[0]
    return Chain(len(plan.operands), plan.cast, plan.result.dtype, plan.steps, launches)


def _launch(
    step: Step,
    native: Native,
    kernel: Callable[[Nest | Packed], Kernel],
    shared: Callable[[Part], Kernel],
    scalar: bool,
) -> Launch:
    lowered, result = step.lowered, step.result
    dtype = np.dtype(result.dtype)
    strides = tuple(stride * dtype.itemsize for stride in result.strides)
    if lowered.name == "view":
        return native.bind_view(dtype, result.shape, strides, scalar)
    if lowered.name == "empty":
        return Zeros(len(step.inputs), result, scalar)
    if lowered.nest is None:
        index_strides = dict(zip(lowered.loops.indices, lowered.loops.strides[0], strict=True))
        return Copy(result, tuple(index_strides[(i,)] for i in step.kept), scalar)
    built = kernel(lowered.nest)
    parts = [shared(part) for part in lowered.nest.needs]
    addresses = [part.address for part in parts] + [arena().address] * bool(parts)
    return native.bind_run(
        kernel=built,
        tiles=lowered.tiles,
        chunk=-(-lowered.tiles // TASKS),
        time=int(lowered.time) if lowered.is_parallel else 0,
        release=lowered.time >= RELEASE_TIME,
        order=lowered.order,
        dtype=dtype,
        shape=result.shape,
        strides=strides,
        sizes=(*addresses, *lowered.sizes),
        scalar=scalar,
        parts=parts,
    )


@dataclass(frozen=True, slots=True)
class Chain:
    """Several steps, or one whose operands are converted first."""

    n_operands: int
    cast: tuple[bool, ...]
    dtype: str
    steps: tuple[Step, ...]
    launches: Sequence[Launch]

    def __call__(self, subscripts: str, *arguments: Array) -> Any:
        out = arguments[self.n_operands :]
        slots: list[Any] = [
            np.array(operand, self.dtype, order="C") if cast else operand
            for operand, cast in zip(arguments, self.cast, strict=False)
        ]
        for step, launch in zip(self.steps, self.launches, strict=True):
            given = out if step is self.steps[-1] else ()
            slots.append(launch(subscripts, *(slots[i] for i in step.inputs), *given))
        return slots[-1]


@dataclass(frozen=True, slots=True)
class Copy:
    """An operand's view, written into memory of its own by numpy; strides in elements."""

    result: Layout
    strides: tuple[int, ...]
    scalar: bool

    def __call__(self, subscripts: str, operand: Array, out: Array | None = None) -> Any:
        strides = tuple(stride * operand.itemsize for stride in self.strides)
        seen = np.lib.stride_tricks.as_strided(operand, self.result.shape, strides, writeable=False)
        made = allocate(self.result) if out is None else out
        np.copyto(made, seen, casting="unsafe")
        return made[()] if self.scalar and out is None else made


@dataclass(frozen=True, slots=True)
class Zeros:
    """The result where an extent is 0: a sum of no terms, or no elements."""

    n_operands: int
    result: Layout
    scalar: bool

    def __call__(self, subscripts: str, *arguments: Array) -> Any:
        out = arguments[self.n_operands :]
        made = out[0] if out else allocate(self.result)
        made.fill(0)
        return made[()] if self.scalar and not out else made


def allocate(layout: Layout) -> Array:
    """A new array of this layout, which must be packed."""
    dtype = np.dtype(layout.dtype)
    strides = tuple(stride * dtype.itemsize for stride in layout.strides)
    return np.ndarray(layout.shape, dtype, strides=strides)
