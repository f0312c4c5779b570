"""How each element type is read, multiplied, summed and written in generated source."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Element:
    """One dtype in generated source.

    `carrier` is the type its bytes are loaded as, `compute` the type it is summed in, `read` and
    `write` what takes one to the other, `times` and `plus` a product and a sum, and `exact` says
    that sums do not round.
    """

    carrier: str
    compute: str
    read: str = "{}"
    write: str = "{}"
    times: str = "{} * {}"
    plus: str = "{} + {}"
    exact: bool = False


def _integer(name: str) -> Element:
    # numba widens products of small integers to 64 bits; LLVM narrows them again when it sees
    # that what is kept has the width of the operands.
    return Element(name, name, exact=True)


ELEMENTS = {
    # Any byte but 0 is true, as in numpy, so a bool is compared before it is used.
    "bool": Element(
        "uint8", "uint8", "uint8({} != 0)", times="{} & {}", plus="{} | {}", exact=True
    ),
    **{name: _integer(name) for name in ("int8", "int16", "int32", "int64")},
    **{name: _integer(name) for name in ("uint8", "uint16", "uint32", "uint64")},
    "float16": Element("uint16", "float32", "widen({})", "narrow({})"),
    **{name: Element(name, name) for name in ("float32", "float64")},
    **{name: Element(name, name, times="times({}, {})") for name in ("complex64", "complex128")},
}


def read(operand: str, compute: str, text: str) -> str:
    """The element of dtype `operand` at `text`, as a value of the type that `compute` sums in."""
    element, wanted = ELEMENTS[operand], ELEMENTS[compute].compute
    value = element.read.format(text)
    return value if element.compute == wanted else f"{wanted}({value})"


def product(compute: str, one: str, two: str) -> str:
    """The product of two values, wrapped to the width of an integer type."""
    element = ELEMENTS[compute]
    text = element.times.format(one, two)
    return f"{element.compute}({text})" if element.exact else text


def added(compute: str, total: str, value: str) -> str:
    """`total` plus `value`, in the type of the sum."""
    element = ELEMENTS[compute]
    text = element.plus.format(total, value)
    return f"{element.compute}({text})" if element.exact else text
