"""A generated module: its header, the names it uses, and the kernel."""

import re
from dataclasses import dataclass
from hashlib import sha256

from einjit.plan.nest import Nest
from einjit.plan.packed import Macrokernel, Move, Packed
from einjit.source.elements import ELEMENTS
from einjit.source.microkernel import write_macrokernel, write_move
from einjit.source.nest import write_nest
from einjit.source.packed import write_packed
from einjit.source.writer import Writer

CODEGEN = 1
"""Version of the generator, written into each module: other text, other number, other kernel."""
PACKAGE = "einjit.generated"
"""The package of the generated modules."""

CALLED = {
    "intrinsics": ("minimum", "narrow", "pointer", "restrict", "scratch", "times", "widen"),
    "memory": ("call9", "call12", "give", "parts", "place", "row_of", "take"),
    "vectors": (
        "load",
        "load_first",
        "prefetch",
        "product",
        "store",
        "store_first",
        "transpose",
        "update",
    ),
}
"""What generated source may call, by its room in `einjit.kernel`."""

Structure = Nest | Packed | Macrokernel | Move
"""What a module is generated from."""


@dataclass(frozen=True, slots=True)
class Source:
    """The text of one generated module, and the name it is imported by."""

    nest: Structure
    text: str

    @property
    def module(self) -> str:
        return module_name(self.nest.kind, self.text)

    def __str__(self) -> str:
        return self.text


def module_name(kind: str, text: str) -> str:
    """The name of the module of a text: a word for people, and a digest of the text."""
    return f"{PACKAGE}.{kind}_{sha256(text.encode()).hexdigest()[:16]}"


def write_source(nest: Structure) -> Source:
    """The source of a structure: the same structure gives the same bytes."""
    body = Writer()
    if isinstance(nest, Nest):
        kinds = {ELEMENTS[d].carrier for d in nest.dtypes} | {ELEMENTS[nest.compute].compute}
        write_nest(nest, body)
    elif isinstance(nest, Packed):
        kinds = set()
        write_packed(nest, body)
    elif isinstance(nest, Macrokernel):
        kinds = {nest.dtype}
        write_macrokernel(nest, body)
    else:
        kinds = {nest.compute}
        write_move(nest, body)
    text = body.text()
    w = Writer()
    w.line(f'"""{nest}')
    w.line()
    for line in nest.describe():
        w.line(line)
    w.line('"""')
    w.line()
    if kinds:
        w.line(f"from numba.types import {', '.join(sorted(kinds))}")
        w.line()
    for room, names in CALLED.items():
        used = [name for name in names if re.search(rf"\b{name}\(", text)]
        if used:
            w.imported(f"einjit.kernel.{room}", used)
    w.line()
    w.line(f"CODEGEN = {CODEGEN}")
    w.line()
    w.line()
    return Source(nest, w.text() + text)
