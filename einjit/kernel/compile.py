"""Compile: the one place that hands functions to numba."""

import contextlib
import functools
import importlib
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from numba import cfunc, njit
from numba.core import types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from einjit.kernel import hot
from einjit.kernel.context import Generic, Loops, compile_loops
from einjit.kernel.load import Code, needs_of
from einjit.kernel.memory import get_num_threads, set_num_threads
from einjit.kernel.modules import enter, module_of
from einjit.plan.nest import Nest
from einjit.plan.packed import Packed
from einjit.settings import settings
from einjit.source.module import Source, Structure

WORDS = types.CPointer(types.intp)

NEST = types.void(types.intp, types.intp, WORDS, WORDS)
"""(first tile, past the last, addresses of the operands, sizes)"""

BUILTIN = types.intp(types.intp, types.intp, types.intp)
"""(bound object, arguments, their number), as CPython calls a METH_FASTCALL function; what numpy
calls for memory takes as many words"""

LOOP = types.void(types.intp, types.intp, types.intp, types.intp, types.intp)
"""(kernel, tiles, tiles an iteration, addresses of the operands, sizes)"""

DRIVER = types.void(*LOOP.args, types.intp)
"""The same, and how many threads"""


@contextlib.contextmanager
def _blas_is_there() -> Iterator[None]:
    """Answer numba's question at import, whether scipy has a BLAS, without importing scipy.linalg.

    The import would take 0.2 s, half of a process's first compilation, and no kernel of einjit's
    needs it; where numba does use BLAS it imports it again. With other threads about, which might
    be importing scipy themselves, nothing is done.
    """
    name = "scipy.linalg.cython_blas"
    asked = name in sys.modules or "numba.np.arraymath" in sys.modules
    if asked or threading.active_count() > 1 or find_spec("scipy") is None:
        yield
        return
    sys.modules[name] = ModuleType(name)
    try:
        yield
    finally:
        del sys.modules[name]


with _blas_is_there():
    importlib.import_module("numba.np.arraymath")


def compile_nest(source: Source, fastmath: Sequence[str]) -> Code:
    """The kernel of a generated module."""
    module = module_of(source)
    arguments = getattr(source.nest, "arguments", ())
    signature = types.void(*[types.intp] * len(arguments)) if arguments else NEST
    effort = _effort(source.nest)
    code = _code(*compile_loops(module.contract, signature, set(fastmath), effort))
    enter(module, source.text)  # once it has compiled
    return code


def _effort(nest: Structure) -> dict[str, Any]:
    """What LLVM's optimiser is to do beside numba's defaults."""
    if isinstance(nest, Packed):
        return {"opt": 1, "loop_vectorize": False, "slp_vectorize": False}
    if isinstance(nest, Nest) and nest.constants:
        return {"slp_vectorize": not nest.unrolls_inside}
    return {}


def compile_builtin(name: str, module: str) -> Code:
    """A function of the module `hot` or `pool`; the parallel loop is compiled by numba's parallel
    backend."""
    with _for_target():
        if name != "drive":
            function = getattr(importlib.import_module(f"einjit.kernel.{module}"), name)
            return _compiled(function, BUILTIN, pipeline_class=Loops)
        parallel = njit(LOOP, parallel=True, error_model="numpy")(hot.drive)

        def enter(kernel, tiles, chunk, operands, sizes, n_threads):  # type: ignore[no-untyped-def]
            before = get_num_threads()  # the user's own parallel functions keep their number
            set_num_threads(n_threads)
            parallel(kernel, tiles, chunk, operands, sizes)
            set_num_threads(before)

        return _compiled(enter, DRIVER)


def _compiled(function: Any, signature: Any, **options: Any) -> Code:
    compiled = cfunc(signature, error_model="numpy", **options)(function)
    return _code(compiled._library, compiled.native_name)


@functools.cache
def _generic() -> Generic:
    return Generic("einjit.drive")


@contextlib.contextmanager
def _for_target() -> Iterator[None]:
    """Compile for the CPU that the settings name.

    numba has one code generator, for this CPU, which the user's own functions go on to use. With it
    stay aside the functions that numba has compiled for its own needs.
    """
    if settings.cpu != "generic":
        yield
        return
    with global_compiler_lock:  # nobody else compiles meanwhile
        context = cpu_target.target_context
        native = context._internal_codegen, context.cached_internal_func
        context._internal_codegen, context.cached_internal_func = _generic(), {}
        try:
            yield
        finally:
            context._internal_codegen, context.cached_internal_func = native


def _code(library: Any, symbol: str) -> Code:
    """A function with the C calling convention, as an object file."""
    module = library._final_module
    declared = [f.name for f in module.functions if f.is_declaration]
    declared += [v.name for v in module.global_variables if v.is_declaration]
    library.get_pointer_to_function(symbol)  # LLVM writes the object file
    return Code(bytes(library._get_compiled_object()), symbol, needs_of(declared))
