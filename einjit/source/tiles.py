"""Write where a tile lies, out of its number."""

from collections.abc import Collection, Sequence

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
