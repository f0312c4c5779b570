"""Lines of Python at the right indentation: the one place that knows it."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

WIDTH = 100  # what the line of a generated module is kept to, comment included

ASSIGNED = re.compile(r"\s*(\w+) = ")


class Writer:
    """Collect lines; a `block` is a line that ends in a colon and what is written inside it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 0

    def line(self, text: str = "", comment: str = "") -> None:
        """One line, with a comment behind it where it fits, above it where it does not.

        A long assignment from a call takes three lines, as ruff writes it.
        """
        indent = "    " * self.depth
        target, _, value = text.partition(" = ")
        if len(indent + text) > WIDTH and value.endswith(")"):
            function, _, argument = value[:-1].partition("(")
            self.line(f"{target} = {function}(")
            self.lines += [f"{indent}    {argument}", f"{indent})"]
            return
        if comment and len(indent + text) + len(comment) + 4 <= WIDTH:
            text += "  # " + comment
        elif comment:
            self.lines.append(f"{indent}# {comment}")
        self.lines.append((indent + text).rstrip())

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
        for argument in arguments:
            self.line(f"        {argument},")
        self.line("    ),")
        self.line(")")

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
