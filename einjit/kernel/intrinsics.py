"""What generated source calls beside plain Python, as LLVM instructions."""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

WORD = ir.IntType(64)


@intrinsic
def pointer(typingctx: Any, address: Any, kind: Any) -> Any:
    """A pointer to elements of type `kind` at an address: `pointer(a, float64)[i]`."""
    pointed = types.CPointer(kind.dtype)

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(pointed))

    return pointed(types.intp, kind), emit


@intrinsic(prefer_literal=True)
def scratch(typingctx: Any, n: Any, kind: Any) -> Any:
    """A pointer to `n` (a constant) elements of a type on the stack, at a cache line's start."""
    if not isinstance(n, types.IntegerLiteral):
        return None
    pointed, count = types.CPointer(kind.dtype), n.literal_value

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        size = ir.Constant(WORD, count)
        room = cgutils.alloca_once(builder, context.get_data_type(kind.dtype), size=size)
        room.align = 64
        return room

    return pointed(types.literal(count), kind), emit


@intrinsic
def minimum(typingctx: Any, one: Any, two: Any) -> Any:
    """The smaller of two sizes. `min` itself would bring code for exceptions into the kernel."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(builder.icmp_signed("<", *args), *args)

    return types.intp(types.intp, types.intp), emit


@intrinsic
def times(typingctx: Any, one: Any, two: Any) -> Any:
    """The product of two complex numbers by the four products of their parts, as in numpy.

    Unlike Python's from 3.14 on, it does not look for infinities among NaNs.
    """

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        a, b, c = (context.make_complex(builder, one, value) for value in (*args, None))
        c.real = builder.fsub(builder.fmul(a.real, b.real), builder.fmul(a.imag, b.imag))
        c.imag = builder.fadd(builder.fmul(a.real, b.imag), builder.fmul(a.imag, b.real))
        return c._getvalue()

    return one(one, one), emit


@intrinsic
def widen(typingctx: Any, half: Any) -> Any:
    """The float32 of a float16 that is held in 16 bits."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fpext(builder.bitcast(args[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.uint16), emit


@intrinsic
def narrow(typingctx: Any, value: Any) -> Any:
    """The 16 bits of the float16 nearest to a float32."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(builder.fptrunc(args[0], ir.HalfType()), ir.IntType(16))

    return types.uint16(types.float32), emit
