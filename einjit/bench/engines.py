"""The engines: einjit and its peers, each made ready for a call as its users would call it."""

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

import einjit
from einjit.bench.cases import Array, Point

Call = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function and its arguments: the whole of what is timed."""

OWN = "einjit"


class Engine(NamedTuple):
    """An engine: the package it is in, what makes a call of it, how much it is asked to do."""

    package: str
    call: Callable[[Point, Sequence[Array]], Call]
    most_loops: float = float("inf")
    """Iterations of one loop nest over all indices above which it would take minutes."""


def _einjit(point: Point, operands: Sequence[Array]) -> Call:
    if point.case.copied:
        return lambda: einjit.einsum(point.case.equation, *operands, order="C"), ()
    return einjit.einsum, (point.case.equation, *operands)


def _numpy(point: Point, operands: Sequence[Array]) -> Call:
    if point.case.copied:
        return lambda: np.ascontiguousarray(np.einsum(point.case.equation, *operands)), ()
    return np.einsum, (point.case.equation, *operands)


def _numpy_optimized(point: Point, operands: Sequence[Array]) -> Call:
    def call() -> Any:
        result = np.einsum(point.case.equation, *operands, optimize=True)
        return np.ascontiguousarray(result) if point.case.copied else result

    return call, ()


def _opt_einsum(point: Point, operands: Sequence[Array]) -> Call:
    contract_expression = import_module("opt_einsum").contract_expression
    expression = contract_expression(point.case.equation, *point.shapes)
    if point.case.copied:
        return lambda: np.ascontiguousarray(expression(*operands)), ()
    return expression, tuple(operands)


def _torch(point: Point, operands: Sequence[Array]) -> Call:
    torch = import_module("torch")
    tensors = [torch.from_numpy(operand) for operand in operands]
    if point.case.copied:
        return lambda: torch.einsum(point.case.equation, *tensors).contiguous(), ()
    return torch.einsum, (point.case.equation, *tensors)


def _pytblis(point: Point, operands: Sequence[Array]) -> Call:
    pytblis = import_module("pytblis")
    if point.case.copied:
        return lambda: np.ascontiguousarray(pytblis.einsum(point.case.equation, *operands)), ()
    return pytblis.einsum, (point.case.equation, *operands)


def _jax(point: Point, operands: Sequence[Array]) -> Call:
    os.environ["JAX_PLATFORMS"] = "cpu"
    jax = import_module("jax")
    jax.config.update("jax_enable_x64", True)
    arrays = [jax.numpy.asarray(operand) for operand in operands]
    compiled = jax.jit(lambda *given: jax.numpy.einsum(point.case.equation, *given))
    return lambda: compiled(*arrays).block_until_ready(), ()


ENGINES = {
    OWN: Engine("einjit", _einjit),
    "numpy": Engine("numpy", _numpy, most_loops=3e9),
    "numpy-opt": Engine("numpy", _numpy_optimized),
    "opt_einsum": Engine("opt_einsum", _opt_einsum),
    "torch": Engine("torch", _torch),
    "pytblis": Engine("pytblis", _pytblis),
    "jax": Engine("jax", _jax),
}
"""`numpy` is np.einsum as it is, `numpy-opt` with optimize=True, `jax` a jitted einsum."""

PEERS = tuple(name for name in ENGINES if name != OWN)


def installed(name: str) -> bool:
    """Whether an engine's package is there."""
    return find_spec(ENGINES[name].package) is not None


def version_of(name: str) -> str:
    """The version of an engine's package."""
    package = ENGINES[name].package
    return einjit.__version__ if name == OWN else version(package)
