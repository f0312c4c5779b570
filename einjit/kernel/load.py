"""Machine code into memory, by llvmlite alone: a process that compiles nothing needs no numba."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm


@dataclass(frozen=True, slots=True)
class Code:
    """An object file, the symbol to enter it by, and the symbols it needs from the process."""

    object: bytes
    symbol: str
    needs: tuple[str, ...] = ()

    @classmethod
    def of(cls, facts: dict[str, Any], code: bytes) -> "Code | None":
        """The code that facts of the cache tell of; None if they do not."""
        symbol, needs = facts.get("symbol"), facts.get("needs")
        if not (isinstance(symbol, str) and isinstance(needs, list)):
            return None
        return cls(code, symbol, tuple(map(str, needs)))

    @property
    def missing(self) -> list[str]:
        """What it needs and the process does not have: LLVM would end the process."""
        _initialize()
        return [name for name in self.needs if not llvm.address_of_symbol(name)]


class Loaded:
    """Code in memory, for as long as this object lives."""

    def __init__(self, code: Code) -> None:
        machine = _initialize()
        module = llvm.parse_assembly("")
        self._engine = llvm.create_mcjit_compiler(module, machine())
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code.object))
        self._engine.finalize_object()
        self.address: int = self._engine.get_function_address(code.symbol)
        if not self.address:
            raise LookupError(f"no symbol {code.symbol!r}")


def needs_of(names: Sequence[str]) -> tuple[str, ...]:
    """The symbols, of all that a module declares, that are not LLVM's own."""
    return tuple(sorted(name for name in names if not name.startswith("llvm.")))


@functools.cache
def _initialize() -> Any:
    """Set LLVM up; a maker of target machines (an engine takes its own)."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    relocation = "static" if target.name.startswith("x86") else "default"
    machine = functools.partial(
        target.create_target_machine, reloc=relocation, codemodel="jitdefault", jit=True
    )
    # The first engine opens the process itself as a library: from then on its symbols are found.
    llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine())
    return machine
