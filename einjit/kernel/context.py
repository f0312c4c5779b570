"""What numba compiles kernels with: as little of it as loops over pointers need.

numba's own contexts know arrays, lists, strings and dates; to enter all of that takes a tenth of a
second once a process, and to look through it a tenth of each compilation. The target `einjit` has
contexts of its own, with numbers, ranges and tuples, and leaves the user's functions alone.
"""

import functools
from typing import Any

from numba import njit
from numba.core import types
from numba.core.codegen import JITCodeLibrary, JITCPUCodegen
from numba.core.compiler import CompilerBase, Flags, compile_extra
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import PassManager
from numba.core.cpu import CPUContext, CPUTargetOptions
from numba.core.descriptors import TargetDescriptor
from numba.core.dispatcher import Dispatcher
from numba.core.fastmathpass import rewrite_module
from numba.core.target_extension import (
    CPU,
    dispatcher_registry,
    jit_registry,
    target_override,
    target_registry,
)
from numba.core.typed_passes import (
    NativeLowering,
    NoPythonBackend,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.typing import Context, templates
from numba.core.untyped_passes import (
    FixupArgs,
    IRProcessing,
    ReconstructSSA,
    TranslateByteCode,
)

# What these modules define is found in numba's registries.
from numba.core.typing import builtins as _typing  # noqa: F401  # isort: skip
from numba.cpython import builtins, numbers, rangeobj, tupleobj  # noqa: F401  # isort: skip

from einjit.settings import settings

NAME = "einjit"


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


class _Types(Context):  # type: ignore[misc]
    """Types of what is built in, and of intrinsics."""

    def load_additional_registries(self) -> None:
        """None."""

    def _load_builtins(self) -> None:
        self.install_registry(templates.builtin_registry)


class _Target(CPUContext):  # type: ignore[misc]
    """Instructions for these types; nothing counts references."""

    def __init__(self, typing_context: _Types, kind: type[Native]) -> None:
        self.kind = kind
        super().__init__(typing_context, NAME)

    def init(self) -> None:
        """The code generator."""
        self.is32bit = types.intp.bitwidth == 32
        self._internal_codegen = self.kind(f"{NAME}.{self.kind.__name__}")

    def load_additional_registries(self) -> None:
        """None."""

    def post_lowering(self, module: Any, library: Any) -> None:
        """Flag what may be contracted and reordered."""
        if self.fastmath:
            rewrite_module(module, self.fastmath)


class _Einjit(CPU):  # type: ignore[misc]
    """Where kernels run, as numba names it."""


class _Descriptor(TargetDescriptor):  # type: ignore[misc]
    """The contexts of the target, one for each of the CPUs that the settings name."""

    options = CPUTargetOptions

    @functools.cached_property
    def typing_context(self) -> _Types:
        """How names and operators are typed."""
        return _Types()

    @property
    def target_context(self) -> _Target:
        """How they are translated."""
        return self._context(Generic if settings.cpu == "generic" else Native)

    @functools.cache  # noqa: B019, there is one descriptor
    def _context(self, kind: type[Native]) -> _Target:
        return _Target(self.typing_context, kind)


class _Dispatcher(Dispatcher):  # type: ignore[misc]
    targetdescr = _Descriptor(NAME)


target_registry[NAME] = _Einjit
dispatcher_registry[_Einjit] = _Dispatcher
jit_registry[_Einjit] = njit  # asked for when an operator has overloads in Python; none fits ours


@global_compiler_lock
def compile_loops(
    function: Any, signature: Any, fastmath: set[str], effort: dict[str, Any]
) -> tuple[Any, str]:
    """A function with the C calling convention: numba's library with it, and its symbol."""
    descriptor = _Dispatcher.targetdescr
    flags = Flags()
    asked = {"nopython": True, "fastmath": fastmath, "error_model": "numpy"}
    CPUTargetOptions.parse_as_flags(flags, asked)
    flags.no_cpython_wrapper = True
    flags.no_cfunc_wrapper = False
    target = descriptor.target_context
    target.codegen().effort = effort
    with target_override(NAME):
        result = compile_extra(
            descriptor.typing_context,
            target,
            function,
            signature.args,
            signature.return_type,
            flags,
            {},
            pipeline_class=Loops,
        )
    return result.library, result.fndesc.llvm_cfunc_wrapper_name
