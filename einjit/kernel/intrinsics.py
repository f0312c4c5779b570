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


@intrinsic
def restrict(typingctx: Any, address: Any, kind: Any) -> Any:
    """A pointer as C's `restrict` has it: what is written through it is read through no other, so
    loops need not ask at run time whether it is."""
    pointed = types.CPointer(kind.dtype)

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte = ir.IntType(8).as_pointer()
        place = builder.call(_apart(builder.module), [builder.inttoptr(args[0], byte)])
        known = ir.FunctionType(ir.VoidType(), [byte])  # to others: what is written is not lost
        builder.asm(known, "", "r,~{memory}", [place], True)
        return builder.bitcast(place, context.get_value_type(pointed))

    return pointed(types.intp, kind), emit


def _apart(module: Any) -> Any:
    """A function that gives what it is given, of which LLVM knows no more than its promise: that
    nothing else points there. It keeps the promise only of functions that it cannot look into."""
    name = "einjit.apart"
    found = module.globals.get(name)
    if found is not None:
        return found
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(byte, [byte])
    function = ir.Function(module, kind, name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    function.return_value.add_attribute("noalias")
    builder = ir.IRBuilder(function.append_basic_block())
    builder.ret(builder.asm(kind, "", "=r,0", [function.args[0]], False))
    return function


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
