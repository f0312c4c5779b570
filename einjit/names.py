"""The names that generated source uses: none of them comes from the user's text."""

import string


def index_name(number: int) -> str:
    """The loop variable of a loop, counted from the outermost: a, b, … z, a1, b1, …"""
    turn, letter = divmod(number, 26)
    return string.ascii_lowercase[letter] + (str(turn) if turn else "")


def operand_name(number: int) -> str:
    """The array of an operand, the result being the last: A, B, … Z, A1, B1, …"""
    turn, letter = divmod(number, 26)
    return string.ascii_uppercase[letter] + (str(turn) if turn else "")


def term(indices: tuple[int, ...]) -> str:
    """A term of loops, as text: (0, 2) is "ac"."""
    return "".join(map(index_name, indices))
