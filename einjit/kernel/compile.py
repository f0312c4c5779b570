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
from numba.core.codegen import JITCodeLibrary, JITCPUCodegen
from numba.core.compiler import Compiler, CompilerBase
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager
from numba.core.registry import cpu_target
from numba.core.typed_passes import (
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.untyped_passes import (
    FixupArgs,
    IRProcessing,
    ReconstructSSA,
    TranslateByteCode,
)

from einjit.kernel import hot
from einjit.kernel.load import Code, needs_of
from einjit.kernel.memory import get_num_threads, set_num_threads
from einjit.kernel.modules import enter, module_of
from einjit.plan.packed import Packed
from einjit.settings import settings
from einjit.source.module import Source

WORDS = types.CPointer(types.intp)

NEST = types.void(types.intp, types.intp, WORDS, WORDS)
"""(first tile, past the last, addresses of the operands, sizes)"""

BUILTIN = types.intp(types.intp, types.intp, types.intp)
"""(bound object, arguments, their number), as CPython calls a METH_FASTCALL function"""

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


class Loops(CompilerBase):  # type: ignore[misc]
    """numba's pipeline without the passes that loops over pointers have no use for: closures,
    rewrites, inlining, parallel analysis. It takes a sixth off the time of a kernel."""

    def define_pipelines(self) -> list[PassManager]:
        """One pipeline: bytecode, types, LLVM."""
        manager = PassManager("loops")
        for stage in (
            TranslateByteCode,
            FixupArgs,
            IRProcessing,
            ReconstructSSA,
            NopythonTypeInference,
            PreLowerStripPhis,
            NativeLowering,
            NoPythonBackend,
        ):
            manager.add_pass(stage, stage.__name__)
        manager.finalize()
        return [manager]


AROUND_KERNELS = {"opt": 1, "loop_vectorize": False, "slp_vectorize": False}
"""The optimiser's effort for loops that only call kernels."""


class Library(JITCodeLibrary):  # type: ignore[misc]
    """Code that LLVM optimises once. numba does so three times, to drop reference counts between,
    which loops over pointers have none of; it takes a seventh off the time of a kernel."""

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        passes, builder = self._codegen._module_pass_manager(**self._codegen.effort)
        passes.run(self._final_module, builder)


class Native(JITCPUCodegen):  # type: ignore[misc]
    """numba's code generator for this CPU, with libraries of our own."""

    _library_class = Library

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.effort: dict[str, Any] = {}


class Generic(Native):
    """The same for all CPUs of the architecture."""

    def _get_host_cpu_name(self) -> str:
        return "generic"

    def _get_host_cpu_features(self) -> str:
        return ""


@functools.cache
def _codegen(kind: type[Native]) -> tuple[Native, dict[Any, Any]]:
    """A code generator, and the functions that numba compiles with it for its own needs."""
    return kind(f"einjit.{kind.__name__}"), {}


@contextlib.contextmanager
def _for_target(**effort: Any) -> Iterator[None]:
    """Compile for the CPU that the settings name, with such an effort.

    numba has one code generator, which the user's own functions go on to use: it stays aside.
    """
    with global_compiler_lock:  # nobody else compiles meanwhile
        context = cpu_target.target_context
        users = context._internal_codegen, context.cached_internal_func
        own = _codegen(Generic if settings.cpu == "generic" else Native)
        own[0].effort = effort
        context._internal_codegen, context.cached_internal_func = own
        try:
            yield
        finally:
            context._internal_codegen, context.cached_internal_func = users


def compile_nest(source: Source, fastmath: Sequence[str]) -> Code:
    """The kernel of a generated module."""
    module = module_of(source)
    arguments = getattr(source.nest, "arguments", ())
    signature = types.void(*[types.intp] * len(arguments)) if arguments else NEST
    effort = AROUND_KERNELS if isinstance(source.nest, Packed) else {}
    with _for_target(**effort):
        code = _compiled(module.contract, signature, set(fastmath), Loops)
    enter(module, source.text)  # once it has compiled
    return code


@_for_target()
def compile_hot(name: str) -> Code:
    """A function of the module `hot`; the parallel loop is compiled by numba's parallel backend."""
    if name != "drive":
        return _compiled(getattr(hot, name), BUILTIN, pipeline=Loops)
    parallel = njit(LOOP, parallel=True, error_model="numpy")(hot.drive)

    def enter(kernel, tiles, chunk, operands, sizes, n_threads):  # type: ignore[no-untyped-def]
        before = get_num_threads()  # the user's own parallel functions keep their number
        set_num_threads(n_threads)
        parallel(kernel, tiles, chunk, operands, sizes)
        set_num_threads(before)

    return _compiled(enter, DRIVER)


def _compiled(
    function: Any, signature: Any, fastmath: Any = False, pipeline: Any = Compiler
) -> Code:
    """A function with the C calling convention, as an object file."""
    options = {"fastmath": fastmath, "error_model": "numpy", "pipeline_class": pipeline}
    compiled = cfunc(signature, **options)(function)
    library = compiled._library
    module = library._final_module
    declared = [f.name for f in module.functions if f.is_declaration]
    declared += [v.name for v in module.global_variables if v.is_declaration]
    code = bytes(library._get_compiled_object())
    return Code(code, compiled.native_name, needs_of(declared))
