"""einsum and its siblings. A call seen before takes the first lines of `einsum` and no others."""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from einjit.equation.equation import Equation
from einjit.equation.operands import Layout, view_of
from einjit.equation.parser import as_text, parse
from einjit.errors import ArgumentError, EinjitError, ShapeError, in_call
from einjit.kernel.layout import marked
from einjit.plan.plan import Plan, make_plan
from einjit.profile import recorder
from einjit.registry import registry
from einjit.request import HandToNumpy, Request, read_request, split_arguments, told
from einjit.settings import settings
from einjit.source.elements import ELEMENTS

_KEEP, _SAFE, _AUTO = "K", "safe", "auto"
_NUMBERS = (int, float, complex, np.number)


def einsum(
    *operands: Any,
    out: Any = None,
    dtype: Any = None,
    order: str = _KEEP,
    casting: str = _SAFE,
    optimize: Any = _AUTO,
) -> Any:
    """Contract operands by subscripts, as `numpy.einsum` does.

    Called as `einsum(subscripts, *operands)`, or with a list of indices behind each operand:
    `einsum(op0, [0, 1], op1, [1, 2], [0, 2])`.

    The first call with an equation compiles its loops (about 0.2 s a kernel, and 1 s for the first
    call of a process); later ones find them by subscripts, dtypes, shapes and strides.

    Parameters
    ----------
    out : ndarray, optional
        Where the result is written; it may overlap the operands. It is returned.
    dtype : dtype, optional
        What the contraction is computed in; by default the operands' common dtype, `out` included.
        float16 is summed in float32.
    order : {"K", "C", "F", "A"}
        The memory order of a new result. "K" follows the operands' strides.
    casting : {"safe", "no", "equiv", "same_kind", "unsafe"}
        What conversions of dtypes are allowed.
    optimize : {"auto", False, True, "greedy", "optimal"}, tuple or path
        "auto" chooses by cost between one pass over all operands and pairs of them; False is one
        loop nest over all indices with no intermediate; the others mean what they mean in numpy.

    Returns
    -------
    ndarray or scalar
        A scalar where every index is summed; a view, writeable if the operand is, of a single
        operand of which nothing is summed.

    Raises
    ------
    EinjitError
        Also a ValueError or a TypeError, whichever numpy raises. `out` is untouched then.

    Examples
    --------
    >>> import einjit, numpy as np
    >>> a = np.arange(6.0).reshape(2, 3)
    >>> einjit.einsum("ij,kj->ik", a, a)
    array([[ 5., 14.],
           [14., 50.]])
    """
    if dtype is None and casting is _SAFE and optimize is _AUTO:
        if out is None and order is _KEEP:
            call = registry.find(*operands)
            if call is not None:
                return call(*operands)
            # The call may be known, but for numbers in the place of arrays.
            given = [np.asarray(one) if isinstance(one, _NUMBERS) else one for one in operands]
            call = registry.find(*given)
            if call is not None:
                return call(*given)
        elif order is _KEEP:
            call = registry.find_into(*operands, out)
            if call is not None:
                return call(*operands, out)
        elif out is None and type(order) is str and order in registry.find_ordered:
            call = registry.find_ordered[order](*operands)
            if call is not None:
                return call(*operands)
    return _einsum(operands, out, dtype, order, casting, optimize)


def einsum_path(*operands: Any, optimize: Any = "greedy") -> tuple[list[Any], str]:
    """The order in which numpy would contract the operands, and numpy's text about it.

    Takes and returns what `numpy.einsum_path` does; "auto" stands for "greedy".

    >>> import einjit, numpy as np
    >>> a, b, c = np.ones((2, 3)), np.ones((3, 4)), np.ones((4, 5))
    >>> einjit.einsum_path("ij,jk,kl->il", a, b, c)[0]
    ['einsum_path', (1, 2), (0, 1)]
    """
    if isinstance(optimize, str) and optimize == _AUTO:
        optimize = "greedy"
    path: tuple[list[Any], str] = np.einsum_path(*operands, optimize=optimize)
    return path


class Expression:
    """An equation bound to shapes: planned and compiled once, called often.

    Made by `expression`. Calling it with operands of these shapes does what `einsum` does.
    """

    __slots__ = ("plan", "shapes", "subscripts")

    def __init__(self, subscripts: str, shapes: tuple[tuple[int, ...], ...], plan: Plan) -> None:
        self.subscripts, self.shapes, self.plan = subscripts, shapes, plan

    @property
    def equation(self) -> Equation:
        """The parsed equation, in canonical letters."""
        return self.plan.equation

    def __call__(self, *operands: Any, out: Any = None) -> Any:
        """Contract operands of the bound shapes; ShapeError for others."""
        shapes = tuple(map(np.shape, operands))
        if shapes != self.shapes:
            error = ShapeError(f"bound to shapes {_listed(self.shapes)}, got {_listed(shapes)}")
            raise in_call(error, self.subscripts, shapes)
        return einsum(self.subscripts, *operands, out=out)

    def __repr__(self) -> str:
        return f"<Expression {self.subscripts} for shapes {_listed(self.shapes)}>"


def expression(subscripts: str, *shapes: Any, dtype: Any = "float64") -> Expression:
    """Plan an equation for operands of these shapes, and compile it for arrays of `dtype` in C
    order; other dtypes and layouts are compiled when they come.

    Raises what `einsum` raises for subscripts and shapes that do not fit.

    >>> import einjit, numpy as np
    >>> product = einjit.expression("ij,jk->ik", (2, 3), (3, 4))
    >>> product(np.ones((2, 3)), np.ones((3, 4))).shape
    (2, 4)
    """
    found = [tuple(int(n) for n in shape) for shape in shapes]
    if np.dtype(dtype).name not in ELEMENTS:
        raise ArgumentError(f"dtype {np.dtype(dtype)} is numpy's to contract: call einsum")
    if any(n < 0 for shape in found for n in shape):
        raise ShapeError(f"a negative extent: shapes {_listed(found)}")
    plan = plan_for(subscripts, [Layout.contiguous(shape, str(np.dtype(dtype))) for shape in found])
    for step in plan.steps:
        if step.lowered.nest:
            registry.kernel(step.lowered.nest)
    return Expression(subscripts, tuple(found), plan)


def plan_for(subscripts: str, operands: Sequence[Layout], dtype: str | None = None) -> Plan:
    """The plan of an equation for operands of these layouts, errors told in the caller's words."""
    shapes = [operand.shape for operand in operands]
    try:
        equation = parse(as_text(subscripts), list(map(len, shapes)))
        wanted = dtype or np.result_type(*(operand.dtype for operand in operands)).name
        return make_plan(equation, operands, wanted)
    except EinjitError as error:
        raise told(error, subscripts, shapes) from None


def _einsum(
    arguments: tuple[Any, ...], out: Any, dtype: Any, order: Any, casting: Any, optimize: Any
) -> Any:
    """A call that is not ready: unseen, or with operands or options that want a look."""
    subscripts: Any = arguments[0] if arguments else None
    operands: list[Any] = []
    try:
        subscripts, operands = split_arguments(arguments)
        return _carry_out(read_request(subscripts, operands, out, dtype, order, casting, optimize))
    except HandToNumpy as reason:
        if settings.strict:
            error = ArgumentError(f"{reason}: numpy's to do, which EINJIT_STRICT forbids")
            raise told(error, subscripts, list(map(np.shape, operands))) from None
        registry.fell_back(str(reason))
    except EinjitError as error:
        raise told(error, subscripts, list(map(np.shape, operands))) from None
    options = {"out": out, "dtype": dtype, "order": order, "casting": casting}
    if not isinstance(optimize, str) or optimize != _AUTO:
        options["optimize"] = optimize
    return np.einsum(*arguments, **options)


def _carry_out(request: Request) -> Any:
    """Find the call or make it ready, then make it."""
    if request.is_copied:
        view = view_of(parse(request.subscripts, list(map(len, request.shapes))), request.given[0])
        if view is not None:
            return view[()]
    direct = [] if request.direct is None else [request.direct]
    text = marked(request.subscripts, request.order, bool(direct))
    key = _key(request, registry.native.describe(text, *request.operands, *direct))
    call = registry.get(key)
    if call is None:
        equation = parse(request.subscripts, list(map(len, request.shapes)))
        extents = equation.extents(request.shapes)
        if request.out is not None:
            shape = tuple(extents[i] for i in equation.output)
            _check_out(request.out, shape)
            if direct and shape != request.out.shape:
                return _carry_out(replace(request, direct=None))
        plan = make_plan(
            equation,
            list(map(Layout.of, request.operands)),
            request.dtype.name,
            out=Layout.of(direct[0]) if direct else None,
            order=request.order,
            optimize=request.optimize,
        )
        if recorder.active:
            recorder.note(request)
        call = registry.add(key, plan)
    result = call(request.subscripts, *request.operands, *direct)
    if request.out is None:
        return result
    if not direct:
        _check_out(request.out, np.shape(result))
        np.copyto(request.out, result, casting="unsafe")
    return request.out


def _key(request: Request, described: bytes | None) -> Hashable:
    """What finds this call again: where nothing is converted the same as in `Native.find`."""
    if described is None:
        return None
    natural = request.dtype == np.result_type(*request.operands)
    automatic = isinstance(request.optimize, str) and request.optimize == _AUTO
    if natural and automatic and (request.out is None or request.direct is not None):
        return described
    return described, request.dtype.name, repr(request.optimize)


def _check_out(out: Any, shape: tuple[int, ...]) -> None:
    """The result's shape is out's, or an extent of 1 is repeated, as numpy does."""
    fits = len(shape) == out.ndim
    if not fits or any(n not in (1, m) for n, m in zip(shape, out.shape, strict=True)):
        raise ShapeError(f"out has shape {out.shape}, the result has shape {shape}")


def _listed(shapes: Sequence[Any]) -> str:
    return ", ".join(map(str, shapes))
