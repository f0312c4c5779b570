"""An equation explained: the role of each index, the steps and their reasons, the source."""

from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from einjit.equation.equation import Equation, index_letter
from einjit.equation.operands import Layout, packed
from einjit.equation.parser import locate, parse
from einjit.errors import ArgumentError, EinjitError, ShapeError
from einjit.names import index_name, operand_name
from einjit.plan.plan import Plan, make_plan
from einjit.plan.task import Lowered
from einjit.request import HandToNumpy, read_request, split_arguments, told
from einjit.source.module import Source

Facts = dict[str, Any]
"""What JSON can hold, under the names of `Explanation.to_dict`."""

Rows = list[tuple[str, ...]]
"""A table: rows of equal length, the first one their heads."""


def explain(
    subscripts: Any, *operands: Any, dtype: Any = None, optimize: Any = "auto"
) -> "Explanation":
    """How `einsum` contracts operands, and why. Nothing is compiled and nothing contracted.

    A notebook shows the result as tables, the source folded in; `print` gives all of it as text.
    The interleaved form is taken as well.

    Parameters
    ----------
    operands : array_like or shape
        A tuple of ints, () included, is the shape of an operand of `dtype` in C order; of an array
        only the layout counts.
    dtype, optimize
        What they are for `einsum`. Without a dtype the operands given by shape are float64.

    Raises
    ------
    EinjitError
        What `einsum` raises, and ArgumentError for a call that numpy does (dtype object, say).

    Examples
    --------
    >>> import einjit
    >>> explanation = einjit.explain("ij,jk->ik", (10, 8), (8, 5))
    >>> print(explanation.plan.steps[0])
    ab,bc->ac | nest: loops ordered by stride
    >>> print(einjit.explain("ij->ji", (2, 3)))
    subscripts  ij->ji
    equation    ab->ba
    path        one or two operands: one contraction
    in all      0 FLOPs, 0 bytes
    <BLANKLINE>
    index  letter  extent  role
    i      a       2       free, in A
    j      b       3       free, in A
    <BLANKLINE>
    operand  shape   dtype    layout
    A        (2, 3)  float64  C order
    <BLANKLINE>
    A -> result: ab->ba
      view: one operand, nothing summed: strides only
      (3, 2) float64, F order
    """
    text: Any = subscripts
    found: list[Any] = []
    try:
        text, found = split_arguments((subscripts, *operands))
        plan = _plan(text, found, dtype, optimize)
    except HandToNumpy as reason:
        error: EinjitError = ArgumentError(f"there is no plan, numpy does this call: {reason}")
    except EinjitError as raised:
        error = raised
    else:
        return Explanation(text.partition("\0")[0], plan)  # the subscripts end at a NUL
    shapes = [operand if _is_shape(operand) else np.shape(operand) for operand in found]
    raise told(error, text, shapes)


@dataclass(frozen=True, slots=True, repr=False)
class Explanation:
    """What `explain` found: the subscripts as they were written, and the plan."""

    subscripts: str
    plan: Plan

    @property
    def equation(self) -> Equation:
        """The parsed equation, in canonical letters."""
        return self.plan.equation

    @property
    def sources(self) -> tuple[Source, ...]:
        """The generated source of the steps that are loop nests, each once."""
        nests = dict.fromkeys(step.lowered.nest for step in self.plan.steps)
        return tuple(Source(nest) for nest in nests if nest)

    @property
    def text(self) -> str:
        """All of it, for reading."""
        facts = self.to_dict()
        parts = ["\n".join(f"{name:<10}  {value}" for name, value in _summary(facts))]
        parts += [_aligned(rows) for rows in (_indices(facts), _operands(facts)) if len(rows) > 1]
        for step, equation, *rest in _steps(facts)[1:]:
            parts.append("\n  ".join(filter(None, (f"{step}: {equation}", *rest))))
        parts += [f"# {source.module}\n{source.text.rstrip()}" for source in self.sources]
        return "\n\n".join(parts)

    def to_dict(self) -> Facts:
        """The same as dicts, lists, texts and numbers, for JSON.

        Strides are in elements, and `nanoseconds` a rough estimate for one thread. Of a step with a
        source, `arrays` is what the source calls A, B and so on, and `loops` has the letters of the
        equation that its loops a, b and so on run over, none where those are the spans of a sum,
        the parts of complex numbers, or the one row that a vector is; `contracted` has the numbers
        of those that are summed over.
        """
        plan = self.plan
        names = [operand_name(number) for number in range(len(plan.operands))]
        arrays = [
            Layout.contiguous(operand.shape, plan.result.dtype) if cast else operand
            for operand, cast in zip(plan.operands, plan.cast, strict=True)
        ]
        steps = []
        for number, step in enumerate(plan.steps):
            lowered, last = step.lowered, number == len(plan.steps) - 1
            names.append("result" if last else f"t{number}")
            arrays.append(step.result)
            moved = [arrays[slot] for slot in step.inputs] + [step.result]
            steps.append(
                {
                    "inputs": [names[slot] for slot in step.inputs],
                    "result": names[-1],
                    "equation": step.equation,
                    "lowering": lowered.name,
                    "reason": lowered.reason,
                    **_layout(step.result),
                    "flops": lowered.flops,
                    "bytes": 0 if lowered.name == "view" else sum(map(_bytes, moved)),
                    "nanoseconds": lowered.time,
                    "tiles": lowered.tiles,
                    **_behind(lowered, [names[slot] for slot in step.inputs], names[-1]),
                }
            )
        return {
            "subscripts": self.subscripts,
            "equation": str(plan.equation),
            "path": plan.reason,
            "flops": plan.flops,
            "bytes": plan.bytes,
            "indices": [
                {"index": index, "letter": letter, "extent": extent, "role": role}
                for index, (letter, extent, role) in zip(self._written(), plan.roles(), strict=True)
            ],
            "operands": [
                {"operand": name, **_layout(operand), "converted": cast}
                for name, operand, cast in zip(names, plan.operands, plan.cast, strict=False)
            ],
            "steps": steps,
            "sources": [{"module": source.module, "text": source.text} for source in self.sources],
        }

    def _written(self) -> list[str]:
        """Each index as the subscripts have it: its letter, or "..." """
        ranks = [len(operand.shape) for operand in self.plan.operands]
        found: dict[int, str] = {}
        for operand, term in enumerate(self.equation.inputs):
            for axis, index in enumerate(term):
                if index not in found:
                    column = locate(self.subscripts, operand, axis, ranks) or 0
                    mark = self.subscripts[column : column + 1]
                    found[index] = "..." if mark == "." else mark
        return [found[index] for index in range(self.equation.n_indices)]

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__  # what the prompt shows

    def _repr_html_(self) -> str:
        facts = self.to_dict()
        summary = [f"{escape(name)} <code>{escape(text)}</code>" for name, text in _summary(facts)]
        parts = [f"<p>{'<br>'.join(summary)}</p>"]
        parts += [_tabled(rows(facts)) for rows in (_indices, _operands, _steps)]
        parts += [
            f"<details><summary><code>{escape(source['module'])}</code></summary>"
            f"<pre>{escape(source['text'])}</pre></details>"
            for source in facts["sources"]
        ]
        return f"<div>{''.join(parts)}</div>"


# ---------------------------------------------------------------- what is asked


def _plan(subscripts: str, operands: list[Any], dtype: Any, optimize: Any) -> Plan:
    """The plan `einsum` makes for these operands, of which some are shapes."""
    element = np.dtype("float64" if dtype is None else dtype).newbyteorder("=")
    # A request looks at the dtypes of its operands: a scalar stands for each that is a shape.
    given = [np.zeros((), element) if _is_shape(o) else o for o in operands]
    request = read_request(subscripts, given, None, dtype, "K", "safe", optimize)
    layouts = list(map(Layout.of, request.operands))
    for number, operand in enumerate(operands):
        if _is_shape(operand):
            shape = tuple(map(int, operand))
            if any(extent < 0 for extent in shape):
                raise ShapeError(f"operand {number} has a negative extent", operand=number)
            layouts[number] = Layout.contiguous(shape, element.name)
    equation = parse(subscripts, [len(layout.shape) for layout in layouts])
    return make_plan(equation, layouts, request.dtype.name, optimize=request.optimize)


def _is_shape(operand: Any) -> bool:
    return isinstance(operand, tuple) and all(
        isinstance(n, int | np.integer) and not isinstance(n, bool) for n in operand
    )


# ---------------------------------------------------------------- arrays


def _layout(array: Layout) -> Facts:
    return {
        "shape": list(array.shape),
        "strides": list(array.strides),
        "dtype": array.dtype,
        "layout": _order(array),
    }


def _order(array: Layout) -> str:
    """The memory order in words; the strides of what is in neither order."""
    axes = range(len(array.shape))
    for name, order in (("C order", axes), ("F order", axes[::-1])):
        strides = zip(array.shape, array.strides, packed(array.shape, order), strict=True)
        if array.size == 0 or all(extent == 1 or one == two for extent, one, two in strides):
            return name
    return f"strides {array.strides}"


def _bytes(array: Layout) -> int:
    return array.size * np.dtype(array.dtype).itemsize


def _behind(lowered: Lowered, inputs: list[str], result: str) -> Facts:
    """The source of a step that is a loop nest, and what stands behind the names in it."""
    if lowered.nest is None:
        return {"source": None}
    return {
        "source": Source(lowered.nest).module,
        "compute": lowered.nest.compute,
        "arrays": [*(inputs[place] for place in lowered.order), result],
        "loops": ["".join(map(index_letter, loop)) for loop in lowered.loops.indices],
        "contracted": list(lowered.loops.contracted),
    }


# ---------------------------------------------------------------- words and tables


def _summary(facts: Facts) -> list[tuple[str, str]]:
    work = f"{facts['flops']:,} FLOPs, {facts['bytes']:,} bytes"
    names = ("subscripts", "equation", "path")
    return [*((name, facts[name]) for name in names), ("in all", work)]


def _indices(facts: Facts) -> Rows:
    keys = ("index", "letter", "extent", "role")
    return [keys, *(tuple(str(row[key]) for key in keys) for row in facts["indices"])]


def _operands(facts: Facts) -> Rows:
    rows: Rows = [("operand", "shape", "dtype", "layout")]
    for row in facts["operands"]:
        layout = row["layout"] + ", converted first" * row["converted"]
        rows.append((row["operand"], _shape(row), row["dtype"], layout))
    return rows


def _steps(facts: Facts) -> Rows:
    rows: Rows = [("step", "equation", "lowering", "result", "work", "source")]
    for step in facts["steps"]:
        result = f"{_shape(step)} {step['dtype']}, {step['layout']}"
        if step["source"] and step["compute"] != step["dtype"]:
            result += f", computed in {step['compute']}"
        rows.append(
            (
                f"{', '.join(step['inputs'])} -> {step['result']}",
                step["equation"],
                f"{step['lowering']}: {step['reason']}",
                result,
                _work(step),
                _there(step) if step["source"] else "",
            )
        )
    return rows


def _work(step: Facts) -> str:
    moved = f"{step['bytes']:,} bytes"
    if step["source"] is None:
        return moved if step["bytes"] else ""
    tiles = "one tile" if step["tiles"] == 1 else f"{step['tiles']:,} tiles"
    time = _duration(step["nanoseconds"])
    return f"{step['flops']:,} FLOPs, {moved}, about {time} in one thread, {tiles}"


def _there(step: Facts) -> str:
    """The module of a step, and what stands behind the names in it."""
    arrays, free = step["arrays"], "one row" if step["lowering"] == "dots" else "parts"
    loops = [
        letters or ("spans" if number in step["contracted"] else free)
        for number, letters in enumerate(step["loops"])
    ]
    told = f"{', '.join(map(operand_name, range(len(arrays))))} = {', '.join(arrays)}"
    if loops:
        told += f"; {', '.join(map(index_name, range(len(loops))))} = {', '.join(loops)}"
    return f"{step['source']}: {told}"


def _duration(nanoseconds: float) -> str:
    """To two digits, for it is a rough measure."""
    value = float(f"{nanoseconds:.2g}")
    for unit in ("ns", "µs", "ms"):
        if value < 1000:
            return f"{value:g} {unit}"
        value /= 1000
    return f"{value:,g} s"


def _shape(row: Facts) -> str:
    return str(tuple(row["shape"]))


def _aligned(rows: Rows) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join(lines)


def _tabled(rows: Rows) -> str:
    """A table in HTML, its colours those of the page."""
    cells = [[escape(text) for text in row] for row in rows]
    head = "".join(f'<th style="text-align: left">{text}</th>' for text in cells[0])
    body = "".join(
        "<tr>" + "".join(f'<td style="text-align: left">{text}</td>' for text in row) + "</tr>"
        for row in cells[1:]
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
