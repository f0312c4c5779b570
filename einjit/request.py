"""Read the arguments of a call: what numpy allows, brought to one form, or handed to numpy."""

import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from einjit.equation.operands import Array, as_plain, dtype_name
from einjit.equation.parser import as_text, from_sublists, locate
from einjit.errors import ArgumentError, EinjitError, OptionError, ShapeError, in_call
from einjit.settings import settings
from einjit.source.elements import ELEMENTS
from einjit.target import converts_float16

ORDERS = ("C", "F", "A", "K")
CASTINGS = ("no", "equiv", "safe", "same_kind", "unsafe")


class HandToNumpy(Exception):
    """The call is numpy's to do; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Request:
    """A call with plain arrays, `operands`, made of those that were `given`. `dtype` is what it is
    computed in, `out` where the caller wants the result, `direct` the same where a kernel can write
    there."""

    subscripts: str
    given: tuple[Array, ...]
    operands: tuple[Array, ...]
    dtype: np.dtype[Any]
    out: Array | None
    direct: Array | None
    order: str
    optimize: Any

    @property
    def is_copied(self) -> bool:
        """Whether the only operand had to be copied though its own memory could be viewed."""
        if len(self.operands) != 1 or self.out is not None or self.order not in ("K", "A"):
            return False
        given, plain = self.given[0], self.operands[0]
        return not np.may_share_memory(given, plain) and given.dtype.newbyteorder("=") == self.dtype

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        return [operand.shape for operand in self.operands]


def split_arguments(arguments: Sequence[Any]) -> tuple[str, list[Any]]:
    """Subscripts and operands, from either form of a call."""
    if arguments and isinstance(arguments[0], str | bytes):
        return as_text(arguments[0]), list(arguments[1:])
    return from_sublists(arguments)


def read_request(
    subscripts: str,
    operands: Sequence[Any],
    out: Any,
    dtype: Any,
    order: Any,
    casting: Any,
    optimize: Any,
) -> Request:
    """The request a call makes; HandToNumpy where numpy has to do it."""
    if any(map(_is_foreign, (*operands, out))):
        raise HandToNumpy("an array of another library")
    if "numpy.ma" in sys.modules and any(map(np.ma.isMaskedArray, operands)):
        _warn("the mask of a masked array is ignored, as numpy.einsum ignores it")
    if out is not None and not isinstance(out, np.ndarray):
        raise ArgumentError(f"out must be an ndarray, not {type(out).__name__}")
    order = "K" if order is None else _option("order", order, ORDERS)
    casting = _option("casting", casting, CASTINGS)
    arrays = [_array(number, operand) for number, operand in enumerate(operands)]
    dtypes = [array.dtype for array in (*arrays, *([] if out is None else [out]))]
    names = [*map(dtype_name, dtypes)]
    for found, name in zip(dtypes, names, strict=True):
        if name not in ELEMENTS:
            raise HandToNumpy(f"dtype {found}")
    # numpy's optimised path contracts first and then assigns to out, whatever out's dtype is.
    automatic = isinstance(optimize, str | bool) and optimize in ("auto", False)
    assigned = not automatic and len(arrays) > 1
    typed = arrays if out is None or assigned else [*arrays, out]
    wanted = np.result_type(*typed) if dtype is None else _dtype(dtype)
    if dtype_name(wanted) not in ELEMENTS:
        raise HandToNumpy(f"dtype {wanted}")
    if "float16" in (dtype_name(wanted), *names) and not converts_float16():
        raise HandToNumpy("float16 on a CPU that does not convert it")
    wanted = wanted.newbyteorder("=")
    _check_casts(arrays, wanted, None if assigned else out, casting)
    if out is not None and not out.flags.writeable:
        raise OptionError("out is read-only")
    plain = tuple(map(as_plain, arrays))
    direct = None if out is None else _direct(out, plain, wanted)
    return Request(subscripts, tuple(arrays), plain, wanted, out, direct, order, optimize)


def _warn(text: str) -> None:
    """Warn the caller of `einsum`, or raise where EINJIT_STRICT asks for it."""
    if settings.strict:
        raise ArgumentError(f"{text}; EINJIT_STRICT makes this an error")
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__package__", "").startswith("einjit"):
        level, frame = level + 1, frame.f_back
    warnings.warn(f"einjit.einsum: {text}", stacklevel=level)


def _is_foreign(operand: Any) -> bool:
    """Whether a library other than numpy dispatches this array."""
    if type(operand) is np.ndarray:
        return False
    dispatch = getattr(type(operand), "__array_function__", None)
    return dispatch is not None and dispatch is not np.ndarray.__array_function__


def _option(name: str, value: Any, allowed: Sequence[str]) -> str:
    """A value of an option, as numpy takes it: text or bytes, an order in either case."""
    if not isinstance(value, str | bytes):
        raise ArgumentError(f"{name} must be text, not {type(value).__name__}")
    text = value if isinstance(value, str) else value.decode("latin-1")
    text = text.upper() if name == "order" else text
    if text not in allowed:
        listed = ", ".join(map(repr, allowed))
        raise OptionError(f"{name}={value!r} is none of {listed}")
    return text


def _array(number: int, operand: Any) -> Array:
    try:
        return np.asarray(operand)
    except ValueError as problem:
        raise ShapeError(f"operand {number} is no array: {problem}", operand=number) from None


def _dtype(dtype: Any) -> np.dtype[Any]:
    try:
        found: np.dtype[Any] = np.dtype(dtype)
    except TypeError as problem:
        raise ArgumentError(f"dtype={dtype!r}: {problem}") from None
    return found


def _check_casts(
    arrays: Sequence[Array], wanted: np.dtype[Any], out: Array | None, casting: Any
) -> None:
    for number, array in enumerate(arrays):
        if not np.can_cast(array.dtype, wanted, casting):
            raise ArgumentError(
                f"operand {number} of dtype {array.dtype} cannot be computed as {wanted} "
                f"with casting={casting!r}",
                operand=number,
            )
    if out is not None and not np.can_cast(wanted, out.dtype, casting):
        raise ArgumentError(
            f"the result's dtype {wanted} cannot be written to out of dtype {out.dtype} "
            f"with casting={casting!r}"
        )


def _direct(out: Array, operands: Sequence[Array], wanted: np.dtype[Any]) -> Array | None:
    """`out` as a plain array that a kernel can write, or None: then a copy is made at the end."""
    plain = np.asarray(out)
    repeats = any(n > 1 and s == 0 for n, s in zip(plain.shape, plain.strides, strict=True))
    if plain.dtype != wanted or repeats or as_plain(plain) is not plain:
        return None
    if any(np.may_share_memory(plain, operand) for operand in operands):
        return None
    return plain


def told(error: EinjitError, subscripts: Any, shapes: Sequence[tuple[int, ...]]) -> EinjitError:
    """The error with the call it was raised for: subscripts, caret and shapes."""
    if not isinstance(subscripts, str | bytes):
        return error
    column = None
    if isinstance(subscripts, str):
        column = locate(subscripts, error.operand, error.axis, list(map(len, shapes)))
    return in_call(error, subscripts, shapes, column)
