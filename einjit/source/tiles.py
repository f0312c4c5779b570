"""Write where a tile lies, out of its number, where the next one does, and loops over blocks."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from einjit.source.writer import Writer


def decode(
    w: Writer, joint: str, loops: Sequence[str], cut: Collection[str], more: bool = False
) -> None:
    """Where the box of each loop that is `cut` begins, and the values of the others, out of their
    joint number: the first of the loops varies fastest. With `more` something is left of it."""
    for name in loops:
        boxed, last = name in cut, name == loops[-1] and not more
        extent = f"boxes_{name}" if boxed else f"n_{name}"
        value = joint if last else f"{joint} % {extent}"
        w.line(f"{name}0 = {value} * box_{name}" if boxed else f"{name} = {value}")
        if not last:
            w.line(f"rest = {joint} // {extent}")
            joint = "rest"


def step(w: Writer, places: Sequence[tuple[str, str, str]]) -> None:
    """The same of the next tile, like the digits of a number that counts up, since a division takes
    as long as a small tile: names, how far on the next value is, and the end, the first of which
    varies fastest."""
    with ExitStack() as carries:
        for place, more, end in places:
            w.line(f"{place} += {more}")
            if place != places[-1][0]:
                carries.enter_context(w.block(f"if {place} >= {end}:"))
                w.line(f"{place} = 0")


@contextmanager
def blocks(
    w: Writer, loops: Sequence[tuple[str, str, str]], lanes: int, overlaps: bool
) -> Iterator[None]:
    """The two loops over the blocks of a tile: names, up to where blocks begin, and, with
    `overlaps`, where the last one ends, which is whole and overlaps the one before."""
    with ExitStack() as stack:
        role = "blocks that are transposed"
        for name, extent, end in loops:
            loop = w.block(f"for {name} in range(0, {extent}, {lanes}):", role)
            stack.enter_context(loop)
            role = ""
            if overlaps:
                w.line(
                    f"{name} = minimum({name}, {end} - {lanes})",
                    "overlaps the one before at the end",
                )
        yield
