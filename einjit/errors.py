"""The errors einjit raises, each also the ValueError or the TypeError that numpy raises.

Inner code raises one short fact, with the operand, axis or column it is about where it knows them.
The public call adds the subscripts, a caret and the shapes, once, with `in_call`.

What is wrong                                                 class            also a
------------------------------------------------------------  ---------------  ----------
the subscripts: a character, dots, the count of terms,        SubscriptsError  ValueError
an output index, no operands, an integer outside 0 to 51
a rank, an extent                                             ShapeError       ValueError
the value of an option, as in order="X"                       OptionError      ValueError
the type of an argument, of a sublist or of an item in it     ArgumentError    TypeError
"""

from collections.abc import Sequence
from typing import TypeVar

WIDTH = 70  # columns of subscripts shown
LISTED = 8  # operands whose shapes are listed

_INDEX = "{index}"


class EinjitError(Exception):
    """A call that cannot be done as asked; `except ValueError` and `TypeError` work as with numpy.

    `operand` and `axis` count from 0, `column` is a place in the subscripts; each is None where it
    is not known. "{index}" in a fact reads as `index`, a letter of the canonical equation, until
    `in_call` finds the caller's own letter.

    >>> print(EinjitError("operand 1 has extent 4 along {index}", operand=1, axis=0, index="b"))
    operand 1 has extent 4 along 'b'
    """

    def __init__(
        self,
        fact: str,
        *,
        operand: int | None = None,
        axis: int | None = None,
        column: int | None = None,
        index: str | None = None,
    ) -> None:
        super().__init__(_named(fact, index))
        self.fact = fact
        self.operand = operand
        self.axis = axis
        self.column = column
        self.index = index


class SubscriptsError(EinjitError, ValueError):
    """The subscripts themselves are wrong, whatever the operands hold."""


class ShapeError(EinjitError, ValueError):
    """Ranks or extents do not fit the subscripts or one another."""


class OptionError(EinjitError, ValueError):
    """An option has a value it cannot have."""


class ArgumentError(EinjitError, TypeError):
    """An argument is of the wrong type."""


_E = TypeVar("_E", bound=EinjitError)


def in_call(
    error: _E,
    subscripts: str | bytes | None,
    shapes: Sequence[Sequence[int]] | None,
    column: int | None = None,
) -> _E:
    """The same error with its call shown: the subscripts, a caret, the operands' shapes.

    `column` serves an error that names an axis and knows no column (see `parser.locate`). Without
    subscripts the plain fact remains; an error that shows its call already is returned as it is.

    >>> error = ShapeError("operand 1 has extent 4 along {index}, operand 0 has 3", operand=1)
    >>> print(in_call(error, "ij,jk->ik", [(2, 3), (4, 5)], column=3))
    operand 1 has extent 4 along 'j', operand 0 has 3
      ij,jk->ik
         ^
      operand 0: shape (2, 3)
      operand 1: shape (4, 5)
    """
    if not subscripts or "\n" in str(error):
        return error
    text = subscripts.decode("latin-1") if isinstance(subscripts, bytes) else subscripts
    column = column if error.column is None else error.column
    lines = [_named(error.fact, _index_at(text, column) or error.index)]
    shown, caret = _excerpt(text, column or 0)
    lines.append("  " + shown)
    if column is not None:
        lines.append("  " + " " * caret + "^")
    lines += _shape_lines(shapes or (), error.operand)
    return type(error)("\n".join(lines), operand=error.operand, axis=error.axis, column=column)


def _named(fact: str, index: str | None) -> str:
    return fact if index is None else fact.replace(_INDEX, f"'{index}'")


def _index_at(text: str, column: int | None) -> str | None:
    character = "" if column is None else text[column : column + 1]
    return "..." if character == "." else character or None


def _excerpt(text: str, column: int) -> tuple[str, int]:
    """About WIDTH columns of the text round one of its characters, escaped, and where that stands.

    Escapes are ASCII, one printed column a character, so that the caret stands under its place.
    """
    before = _escaped(text[max(0, column - WIDTH) : column])
    after = _escaped(text[column : column + WIDTH + 1])
    left = min(len(before), max(WIDTH // 2, WIDTH - len(after)))
    right = WIDTH - left
    head = "..." if left < len(before) or column > WIDTH else ""
    tail = "..." if right < len(after) else ""
    return head + before[len(before) - left :] + after[:right] + tail, len(head) + left


def _escaped(text: str) -> str:
    return text.encode("unicode_escape").decode("ascii")


def _shape_lines(shapes: Sequence[Sequence[int]], offender: int | None) -> list[str]:
    listed = list(range(min(LISTED, len(shapes))))
    if offender is not None and LISTED <= offender < len(shapes):
        listed[-1] = offender
    lines = [f"  operand {number}: shape {tuple(shapes[number])}" for number in listed]
    if len(listed) < len(shapes):
        lines.append(f"  ... and {len(shapes) - len(listed)} more")
    return lines
