"""A generated module: its header, the names it uses, and the kernel."""

from dataclasses import dataclass
from hashlib import sha256

from einjit.plan.nest import Nest
from einjit.source.elements import ELEMENTS
from einjit.source.nest import write_nest
from einjit.source.writer import Writer

CODEGEN = 1
"""Version of the generator, written into each module: other text, other number, other kernel."""
PACKAGE = "einjit.generated"
"""The package of the generated modules."""

INTRINSICS = ("minimum", "narrow", "pointer", "scratch", "times", "widen")
"""What generated source may call, from `einjit.kernel.intrinsics`."""


@dataclass(frozen=True, slots=True)
class Source:
    """The text of one generated module, and the name it is imported by."""

    nest: Nest
    text: str

    @property
    def module(self) -> str:
        return module_name(self.nest.kind, self.text)

    def __str__(self) -> str:
        return self.text


def module_name(kind: str, text: str) -> str:
    """The name of the module of a text: a word for people, and a digest of the text."""
    return f"{PACKAGE}.{kind}_{sha256(text.encode()).hexdigest()[:16]}"


def write_source(nest: Nest) -> Source:
    """The source of a nest: the same nest gives the same bytes."""
    w = Writer()
    w.line(f'"""{nest}')
    w.line()
    for line in nest.describe():
        w.line(line)
    w.line('"""')
    w.line()
    kinds = sorted({ELEMENTS[d].carrier for d in nest.dtypes} | {ELEMENTS[nest.compute].compute})
    w.line(f"from numba.types import {', '.join(kinds)}")
    w.line()
    body = Writer()
    write_nest(nest, body)
    text = body.text()
    used = [name for name in INTRINSICS if f"{name}(" in text]
    w.line(f"from einjit.kernel.intrinsics import {', '.join(used)}")
    w.line()
    w.line(f"CODEGEN = {CODEGEN}")
    w.line()
    w.line()
    return Source(nest, w.text() + text)
