"""Subscripts to Equation: the text and sublists of `numpy.einsum`, read as its C code reads them.

The text is ASCII and ends at a NUL. Terms are letters, one "..." and spaces, which may stand
anywhere but inside "..." and "->".
"""

import operator
import string
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from einjit.equation.equation import Equation
from einjit.errors import ArgumentError, ShapeError, SubscriptsError

# numpy's NPY_MAXDIMS, over the axes of the result and the summed indices together.
MOST_INDICES = 64
# Spaces apart, and up to the NUL. What numpy's 63 operands of 64 axes can need is half of it.
LONGEST = 10_000

_SUBLIST_LETTERS = string.ascii_uppercase + string.ascii_lowercase
_LETTERS = frozenset(_SUBLIST_LETTERS)
_ELLIPSIS = "..."

# What an axis is known by until it has its number: its letter, or for the axes an ellipsis stands
# for, their distance from the last of them, since they line up from the right.
_Key = str | int


def as_text(subscripts: object) -> str:
    """The subscripts as text, from a str or, as numpy allows, bytes.

    Raises ArgumentError for another type, SubscriptsError for bytes that are not ASCII.

    >>> as_text(b"ij,jk")
    'ij,jk'
    """
    if isinstance(subscripts, str):
        return str.__str__(subscripts)  # of a subclass, its characters and not its __str__
    if not isinstance(subscripts, bytes):
        raise ArgumentError(f"subscripts must be text, not {type(subscripts).__name__}")
    try:
        return subscripts.partition(b"\0")[0].decode("ascii")
    except UnicodeDecodeError as error:
        byte = subscripts[error.start]
        raise SubscriptsError(f"byte {byte:#x} is not ASCII", column=error.start) from None


def parse(subscripts: str, ranks: Sequence[int]) -> Equation:
    """The Equation the subscripts mean for operands of these ranks.

    Accepts and refuses what `numpy.einsum(..., optimize=False)` does, but for its limit of 63
    operands, which falls here as it does under numpy's `optimize=True`. In particular, the output
    must hold "..." where an ellipsis of an input stands for axes.

    Raises SubscriptsError where the text is wrong, ShapeError where a rank does not fit it, each
    with the operand and the column.

    >>> print(parse("ij, jk", [2, 2]))
    ab,bc->ac
    >>> print(parse("...i->i...", [3]))
    abc->cab
    """
    text = _body(subscripts)
    spans, output_start = _split(text)
    if not ranks:
        raise SubscriptsError("no operands")
    if len(spans) != len(ranks):
        surplus = len(spans) > len(ranks)
        column = spans[len(ranks)][0] - 1 if surplus else spans[-1][1]
        fact = f"operands given: {len(ranks)}, terms written: {len(spans)}"
        raise SubscriptsError(fact, column=column)

    terms = [
        [key for key, _ in _axes(text, span, operand, rank)]
        for operand, (span, rank) in enumerate(zip(spans, ranks, strict=True))
    ]
    uses = Counter(key for term in terms for key in term)
    numbers = {key: number for number, key in enumerate(uses)}
    if len(numbers) > MOST_INDICES:
        raise SubscriptsError(f"{len(numbers)} indices, the most is {MOST_INDICES}")

    broadcast = sorted((key for key in uses if isinstance(key, int)), reverse=True)
    if output_start is None:
        # The ellipsis, then the letters used once, upper case first.
        once = sorted(key for key, n in uses.items() if n == 1 and isinstance(key, str))
        output: list[_Key] = [*broadcast, *once]
    else:
        output = _output(text, output_start, broadcast, uses)
    return Equation(
        inputs=tuple(tuple(numbers[key] for key in term) for term in terms),
        output=tuple(numbers[key] for key in output),
    )


def locate(
    subscripts: str, operand: int | None, axis: int | None, ranks: Sequence[int]
) -> int | None:
    """The column of the letter, or of the dots, that an axis of an operand goes by.

    None where there is none, or where the operand or the axis is not known.

    >>> locate("ij, jk", operand=1, axis=0, ranks=[2, 2])
    4
    """
    if operand is None or axis is None:
        return None
    try:
        text = _body(subscripts)
        span = _split(text)[0][operand]
        return _axes(text, span, operand, ranks[operand])[axis][1]
    except (SubscriptsError, ShapeError, IndexError):
        return None


def from_sublists(args: Sequence[object]) -> tuple[str, list[object]]:
    """Subscripts and operands of the interleaved form: op0, sublist0, op1, ..., [sublist_out].

    A sublist is any iterable of the integers 0 to 51, which become A to Z and a to z, and of
    Ellipsis, which becomes "...". numpy ends the text they make at 255 characters when it does not
    optimize; here it is as long as any other.

    Raises ArgumentError for what is no sublist and for an item that is neither, bool and float
    included; SubscriptsError for an integer out of range, a second Ellipsis, and no sublist at all.

    >>> from_sublists(["a", [0, 26], "b", [26, ...], [..., 0]])
    ('Aa,a...->...A', ['a', 'b'])
    """
    count = len(args) // 2
    if not count:
        raise SubscriptsError("no operand with a sublist")
    text = ",".join(
        _spell(args[2 * operand + 1], f"sublist {operand}", operand) for operand in range(count)
    )
    if len(args) % 2:
        text += "->" + _spell(args[-1], "the output sublist", None)
    return text, list(args[: 2 * count : 2])


def _body(subscripts: str) -> str:
    """The part of the subscripts that counts, with its columns unchanged."""
    if not subscripts.isascii():
        column = next(place for place, c in enumerate(subscripts) if not c.isascii())
        raise SubscriptsError(f"{subscripts[column]!a} is not ASCII", column=column)
    text = subscripts.partition("\0")[0]
    if (length := len(text) - text.count(" ")) > LONGEST:
        raise SubscriptsError(f"{length} characters of subscripts, the most is {LONGEST}")
    return text


def _split(text: str) -> tuple[list[tuple[int, int]], int | None]:
    """Where each term starts and stops, and where the output starts: None without "->"."""
    inputs, dash, _ = text.partition("-")
    spans = []
    start = 0
    for term in inputs.split(","):
        spans.append((start, start + len(term)))
        start += len(term) + 1
    if not dash:
        return spans, None
    if not text.startswith("->", len(inputs)):
        raise SubscriptsError("a '-' that is not part of '->'", column=len(inputs))
    return spans, len(inputs) + 2


def _scan(text: str, start: int, stop: int, operand: int | None) -> Iterator[tuple[str, int]]:
    """The letters and the "..." of a term, each with its column."""
    column = start
    dotted = False
    while column < stop:
        mark = text[column]
        if mark == ".":
            if dotted or not text.startswith(_ELLIPSIS, column):
                fact = "a second '...' in one term" if dotted else "a '.' that is not part of '...'"
                raise SubscriptsError(fact, operand=operand, column=column)
            mark, dotted = _ELLIPSIS, True
        elif mark != " " and mark not in _LETTERS:
            fact = f"{mark!r} is not an index, an index is a letter"
            raise SubscriptsError(fact, operand=operand, column=column)
        if mark != " ":
            yield mark, column
        column += len(mark)


def _axes(text: str, span: tuple[int, int], operand: int, rank: int) -> list[tuple[_Key, int]]:
    """The key of each axis of an operand, and the column it comes from."""
    marks = list(_scan(text, *span, operand))
    letters = [(mark, column) for mark, column in marks if mark != _ELLIPSIS]
    dots = next((place for place, (mark, _) in enumerate(marks) if mark == _ELLIPSIS), None)
    hidden = rank - len(letters)
    fact = f"operand {operand} has rank {rank}, its term asks for {len(letters)}"
    if hidden < 0:
        more = "" if dots is None else " or more"
        raise ShapeError(fact + more, operand=operand, column=letters[rank][1])
    if dots is None:
        if hidden:
            column = letters[-1][1] if letters else span[0]
            raise ShapeError(f"{fact} and has no '...'", operand=operand, column=column)
        return list(letters)
    ellipsis = [(distance, marks[dots][1]) for distance in reversed(range(hidden))]
    return [*letters[:dots], *ellipsis, *letters[dots:]]


def _output(text: str, start: int, broadcast: list[int], uses: Counter[_Key]) -> list[_Key]:
    """The keys of the result's axes, as written after "->"."""
    output: list[_Key] = []
    dotted = False
    for mark, column in _scan(text, start, len(text), None):
        if mark == _ELLIPSIS:
            dotted = True
            output += broadcast
        elif mark in output:
            raise SubscriptsError(f"output index {mark!r} is there twice", column=column)
        elif mark not in uses:
            raise SubscriptsError(f"output index {mark!r} is in no input", column=column)
        else:
            output.append(mark)
    if broadcast and not dotted:
        raise SubscriptsError("the inputs have '...', the output has none", column=start)
    return output


def _spell(sublist: Any, name: str, operand: int | None) -> str:
    """A sublist as a term of subscripts."""
    try:
        items = iter(sublist)
    except TypeError:
        kind = type(sublist).__name__
        raise ArgumentError(f"{name} is {kind}, not a list", operand=operand) from None
    marks: list[str] = []
    for place, item in enumerate(items):
        if place >= LONGEST:
            raise SubscriptsError(f"{name} holds more than {LONGEST} items", operand=operand)
        if item is Ellipsis:
            if _ELLIPSIS in marks:
                raise SubscriptsError(f"{name} holds a second Ellipsis", operand=operand)
            marks.append(_ELLIPSIS)
            continue
        number = _integer(item)
        if number is None:
            kind = type(item).__name__
            fact = f"item {place} of {name} is {kind}, not an integer or Ellipsis"
            raise ArgumentError(fact, operand=operand)
        if not 0 <= number < len(_SUBLIST_LETTERS):
            fact = f"item {place} of {name} is outside 0 to {len(_SUBLIST_LETTERS) - 1}"
            raise SubscriptsError(fact, operand=operand)
        marks.append(_SUBLIST_LETTERS[number])
    return "".join(marks)


def _integer(item: Any) -> int | None:
    if isinstance(item, bool):  # numpy's own bool is no index already
        return None
    try:
        return operator.index(item)
    except TypeError:
        return None
