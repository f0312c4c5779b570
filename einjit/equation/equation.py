"""The equation: what an einsum call asks for, freed of the letters it was asked in."""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from einjit.errors import ShapeError

_LETTERS = string.ascii_lowercase + string.ascii_uppercase


@dataclass(frozen=True, slots=True)
class Equation:
    """The indices of every operand and of the result.

    One number an axis, 0 upwards in order of first use over the inputs; an ellipsis is already the
    axes it stands for. So "ij,jk" and "ab,bc->ac" are one Equation:

    >>> equation = Equation(inputs=((0, 1), (1, 2)), output=(0, 2))
    >>> print(equation)
    ab,bc->ac
    >>> equation.extents([(2, 3), (3, 4)])
    (2, 3, 4)
    """

    inputs: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]

    def __str__(self) -> str:
        terms = ["".join(map(index_letter, term)) for term in (*self.inputs, self.output)]
        return ",".join(terms[:-1]) + "->" + terms[-1]

    @property
    def n_indices(self) -> int:
        return max(chain(*self.inputs), default=-1) + 1

    def extents(self, shapes: Sequence[Sequence[int]]) -> tuple[int, ...]:
        """The extent of each index, given the shape of each operand.

        An extent of 1 stretches to the extent other operands have, for named indices as for those
        of an ellipsis. Within one operand a repeated index has one extent, and 1 does not stretch:
        "ii" of shape (1, 3) is refused. So is "ii->i" of (0, 3), where numpy hands out a view of
        3 elements of an array that has none.

        Raises ShapeError, with the operand and the axis that do not fit.
        """
        if len(shapes) != len(self.inputs):
            raise ShapeError(f"shapes expected: {len(self.inputs)}, given: {len(shapes)}")
        found = [1] * self.n_indices
        giver = [0] * self.n_indices
        for operand, (term, shape) in enumerate(zip(self.inputs, shapes, strict=True)):
            if len(shape) != len(term):
                raise ShapeError(
                    f"operand {operand} has rank {len(shape)}, its term asks for {len(term)}",
                    operand=operand,
                )
            for axis, (index, extent) in enumerate(zip(term, shape, strict=True)):
                first = shape[term.index(index)]
                if extent != first:
                    fact = f"operand {operand} has extents {first} and {extent} along {{index}}"
                elif found[index] == 1:
                    found[index], giver[index] = extent, operand
                    continue
                elif extent in (1, found[index]):
                    continue
                else:
                    fact = (
                        f"operand {operand} has extent {extent} along {{index}}, "
                        f"operand {giver[index]} has {found[index]}"
                    )
                raise ShapeError(fact, operand=operand, axis=axis, index=index_letter(index))
        return tuple(found)


def index_letter(index: int) -> str:
    """The print of an index: a to z, A to Z, then {52}, {53} and so on."""
    return _LETTERS[index] if index < len(_LETTERS) else f"{{{index}}}"
