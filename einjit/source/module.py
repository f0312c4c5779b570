"""A generated module: its header, the names it uses, and the kernel."""

import re
from functools import cached_property
from hashlib import sha256

from einjit.plan.batched import Batched
from einjit.plan.collected import Collected
from einjit.plan.columns import Columns
from einjit.plan.dots import Dots
from einjit.plan.nest import Nest
from einjit.plan.packed import Macrokernel, Packed, Part, Scatter
from einjit.plan.streamed import Streamed
from einjit.plan.tiled import Tiled
from einjit.source.elements import ELEMENTS
from einjit.source.writer import Writer

CODEGEN = 1
"""Version of the generator, written into each module: other text, other number, other kernel."""
PACKAGE = "einjit.generated"
"""The package of the generated modules."""

CALLED = {
    "columns": ("column_products", "column_sums"),
    "fours": ("product_by_fours",),
    "intrinsics": ("minimum", "narrow", "pointer", "restrict", "scratch", "times", "widen"),
    "memory": (
        *("call4", "call9", "call13", "give", "parts", "place"),
        *("room", "row_of", "set_loop", "take"),
    ),
    "pairs": ("pair_sums", "product_by_pairs"),
    "rows": ("add_rows", "row_sums"),
    "streams": ("fill", "multiplied", "settle", "store_past", "stream", "to_line"),
    "turning": ("transpose_rows", "turn"),
    "vectors": (
        "load",
        "load_first",
        "prefetch",
        "product",
        "store",
        "store_first",
        "update",
        "update_past",
    ),
}
"""What generated source may call, by its room in `einjit.kernel`."""

Structure = Nest | Packed | Part
"""What a module is generated from."""


class Source:
    """The module generated from a structure. Its text is written when it is first asked for: a
    process that finds the kernel in the cache needs neither the text nor the writers.
    """

    def __init__(self, nest: Structure) -> None:
        self.nest = nest

    @cached_property
    def text(self) -> str:
        """The same structure gives the same bytes."""
        return _written(self.nest)

    @property
    def module(self) -> str:
        """The name it is imported by."""
        return module_name(self.nest.kind, self.text)

    def __str__(self) -> str:
        return self.text


def module_name(kind: str, text: str) -> str:
    """The name of the module of a text: a word for people, and a digest of the text."""
    return f"{PACKAGE}.{kind}_{sha256(text.encode()).hexdigest()[:16]}"


def _written(nest: Structure) -> str:
    body = Writer()
    _write(nest, body)
    text = body.text()
    w = Writer()
    w.line(f'"""{nest}')
    w.line()
    for line in nest.describe():
        w.line(line)
    w.line('"""')
    w.line()
    kinds = sorted(_kinds(nest))
    if kinds:
        w.line(f"from numba.types import {', '.join(kinds)}")
        w.line()
    for room, names in CALLED.items():
        used = [name for name in names if re.search(rf"\b{name}\(", text)]
        if used:
            w.imported(f"einjit.kernel.{room}", used)
    w.line()
    w.line(f"CODEGEN = {CODEGEN}")
    w.line()
    w.line()
    return w.text() + text


def _write(nest: Structure, body: Writer) -> None:
    """The function of a structure, by its writer, which is imported when it is used."""
    if isinstance(nest, Tiled):
        from einjit.source.tiled import write_tiled

        write_tiled(nest, body)
    elif isinstance(nest, Collected):
        from einjit.source.collected import write_collected

        write_collected(nest, body)
    elif isinstance(nest, Dots):
        from einjit.source.dots import write_dots

        write_dots(nest, body)
    elif isinstance(nest, Columns):
        from einjit.source.columns import write_columns

        write_columns(nest, body)
    elif isinstance(nest, Batched):
        from einjit.source.batched import write_batched

        write_batched(nest, body)
    elif isinstance(nest, Streamed):
        from einjit.source.streamed import write_streamed

        write_streamed(nest, body)
    elif isinstance(nest, Nest):
        from einjit.source.nest import write_nest

        write_nest(nest, body)
    elif isinstance(nest, Packed):
        from einjit.source.packed import write_packed

        write_packed(nest, body)
    elif isinstance(nest, Scatter):
        from einjit.source.scatter import write_scatter

        write_scatter(nest, body)
    else:
        from einjit.source.microkernel import write_macrokernel, write_move

        if isinstance(nest, Macrokernel):
            write_macrokernel(nest, body)
        else:
            write_move(nest, body)


def _kinds(nest: Structure) -> set[str]:
    """numba's types that a text names."""
    if isinstance(nest, Nest):
        return {ELEMENTS[d].carrier for d in nest.dtypes} | {ELEMENTS[nest.compute].compute}
    if isinstance(nest, Packed):
        return set()
    return {nest.compute} | ({"int64"} if isinstance(nest, Scatter) else set())
