"""Lines of Python at the right indentation: the one place that knows it."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

WIDTH = 100  # what the line of a generated module is kept to, comment included

TERMS = 4  # of a sum on one line

ASSIGNED = re.compile(r"\s*(\w+) = ")


class Writer:
    """Collect lines; a `block` is a line that ends in a colon and what is written inside it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 0

    def line(self, text: str = "", comment: str = "") -> None:
        """One statement, with a comment behind it where it fits, above it where it does not."""
        indent = "    " * self.depth
        if comment and len(indent + text) + len(comment) + 4 <= WIDTH:
            text += "  # " + comment
        elif comment:
            self.lines.append(f"{indent}# {comment}")
        self.lines += _laid_out(indent, text)

    def imported(self, module: str, names: Sequence[str]) -> None:
        """Import names from a module."""
        text = f"from {module} import {', '.join(names)}"
        if len(text) <= WIDTH:
            self.line(text)
            return
        self.line(f"from {module} import (")
        for name in names:
            self.line(f"    {name},")
        self.line(")")

    def call(self, function: str, address: str, arguments: Sequence[str]) -> None:
        """A call of compiled code, its arguments on lines of their own where they are long."""
        text = f"{function}({address}, ({', '.join(arguments)}))"
        if len("    " * self.depth + text) <= WIDTH:
            self.line(text)
            return
        self.line(f"{function}(")
        self.line(f"    {address},")
        self.line("    (")
        deeper = "    " * (self.depth + 2)
        for argument in arguments:
            self.lines += _laid_out(deeper, f"{argument},")
        self.line("    ),")
        self.line(")")

    def total(self, name: str, terms: list[str]) -> None:
        """A name for a sum, which takes lines before it where it is long."""
        while len(terms) > TERMS:
            self.line(f"{name} = {' + '.join(terms[:TERMS])}")
            terms = [name, *terms[TERMS:]]
        self.line(f"{name} = {' + '.join(terms) or '0'}")

    @property
    def room(self) -> int:
        """Characters that the next line has."""
        return WIDTH - 4 * self.depth

    def drop_unused(self) -> None:
        """Leave out assignments to names that nothing reads, and what only those read."""
        kept: list[str] = []
        while len(kept) != len(self.lines):
            self.lines = kept or self.lines
            code = "\n".join(line.partition("  #")[0] for line in self.lines)
            words = Counter(re.findall(r"\w+", code))
            names = [ASSIGNED.match(line) for line in self.lines]
            pairs = zip(self.lines, names, strict=True)
            kept = [line for line, name in pairs if not name or words[name[1]] > 1]

    @contextmanager
    def block(self, text: str, comment: str = "") -> Iterator[None]:
        """A line, and deeper indentation for as long as the context lasts."""
        self.line(text, comment)
        self.depth += 1
        yield
        self.depth -= 1

    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


def _laid_out(indent: str, text: str) -> list[str]:
    """A statement as ruff writes it: on one line where it fits, else with what is in its brackets
    below: arguments of a call on one line or on a line each, elements of a tuple on a line each."""
    head, _, rest = text.partition("(")
    inner, _, tail = rest.rpartition(")")
    items = _items(inner)
    if len(indent + text) <= WIDTH or tail not in ("", ",") or not items:
        return [(indent + text).rstrip()]
    deeper = indent + "    "
    lines = [deeper + inner]
    if len(lines[0]) > WIDTH or not head:
        lines = [line for item in items for line in _laid_out(deeper, item + ",")]
    return [f"{indent}{head}(", *lines, f"{indent}){tail}"]


def _items(text: str) -> list[str]:
    """What commas part outside of brackets; nothing where brackets close that were not opened."""
    items, depth = [""], 0
    for piece in re.split(r"([(),])", text):
        depth += (piece == "(") - (piece == ")")
        if depth < 0:
            return []
        if piece == "," and not depth:
            items.append("")
        else:
            items[-1] += piece
    return [item.strip() for item in items if item.strip()]
