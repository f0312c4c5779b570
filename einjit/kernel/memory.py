"""Raw memory and the C APIs of Python, for compiled code that works below arrays.

An address is a word, the width of a pointer.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from einjit.kernel.layout import SLOT_HEADER


def _load(bits: int) -> Any:
    @intrinsic
    def load(typingctx: Any, address: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = ir.IntType(bits)
            value = builder.load(builder.inttoptr(args[0], kind.as_pointer()))
            return builder.sext(value, ir.IntType(64)) if bits < 64 else value

        return types.intp(types.intp), emit

    return load


def _call(n: int) -> Any:
    """An intrinsic that calls the function at an address with `n` words."""

    @intrinsic
    def call(typingctx: Any, address: Any, args: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            word = ir.IntType(64)
            kind = ir.FunctionType(word, [word] * n)
            function = builder.inttoptr(values[0], kind.as_pointer())
            return builder.call(function, cgutils.unpack_tuple(builder, values[1], n))

        return types.intp(types.intp, types.UniTuple(types.intp, n)), emit

    return call


word, half_word, byte = _load(64), _load(32), _load(8)
call1, call2, call3, call4, call6, call8 = (_call(n) for n in (1, 2, 3, 4, 6, 8))
call9, call13 = _call(9), _call(13)


@intrinsic
def put(typingctx: Any, address: Any, value: Any) -> Any:
    """Store a word."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[1], builder.inttoptr(args[0], ir.IntType(64).as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), emit


@intrinsic
def set_loop(typingctx: Any, loops: Any, number: Any, loop: Any) -> Any:
    """Store a loop that `scatter` runs: its extent and its two strides."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        first = builder.mul(args[1], ir.Constant(ir.IntType(64), 3))
        words = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        for i, value in enumerate(cgutils.unpack_tuple(builder, args[2], 3)):
            at = builder.add(first, ir.Constant(ir.IntType(64), i))
            builder.store(value, builder.gep(words, [at]))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.UniTuple(types.intp, 3)), emit


@intrinsic(prefer_literal=True)
def place(typingctx: Any, address: Any, size: Any, pairs: Any) -> Any:
    """The address of an element of `size` (a constant) bytes: `pairs` are its index along an axis
    and the axis' stride in elements, axis by axis."""
    if not isinstance(size, types.IntegerLiteral):
        return None

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values = [
            context.cast(builder, value, kind, types.intp)
            for value, kind in zip(cgutils.unpack_tuple(builder, args[2]), pairs, strict=True)
        ]
        total = ir.Constant(ir.IntType(64), 0)
        for index, stride in zip(values[::2], values[1::2], strict=True):
            total = builder.add(total, builder.mul(index, stride))
        bytes_ = builder.mul(total, ir.Constant(ir.IntType(64), size.literal_value))
        return builder.add(args[0], bytes_)

    return types.intp(types.intp, size, pairs), emit


@intrinsic
def parts(typingctx: Any, extent: Any, length: Any) -> Any:
    """How many parts of this length, the last one shorter, make up an extent."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        one = ir.Constant(ir.IntType(64), 1)
        return builder.udiv(builder.sub(builder.add(args[0], args[1]), one), args[1])

    return types.intp(types.intp, types.intp), emit


@intrinsic(prefer_literal=True)
def row_of(typingctx: Any, n: Any, line: Any) -> Any:
    """The length of a row of `n` elements in a box: an odd number of lines of `line` (a constant)
    elements, so that rows fall into all of the cache's sets."""
    if not isinstance(line, types.IntegerLiteral):
        return None

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word_type = ir.IntType(64)
        one, size = ir.Constant(word_type, 1), ir.Constant(word_type, line.literal_value)
        lines = builder.udiv(builder.sub(builder.add(args[0], size), one), size)
        return builder.mul(builder.or_(lines, one), size)

    return types.intp(types.intp, line), emit


@intrinsic
def fetch_add(typingctx: Any, address: Any, value: Any) -> Any:
    """Add to a word that several threads add to; what it was before."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", place, args[1], "monotonic")

    return types.intp(types.intp, types.intp), emit


@intrinsic(prefer_literal=True)
def room(typingctx: Any, n: Any) -> Any:
    """The address of `n` (a constant) words on the stack."""
    if not isinstance(n, types.IntegerLiteral):
        return None
    count = n.literal_value

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        size = ir.Constant(ir.IntType(64), count)
        where = cgutils.alloca_once(builder, ir.IntType(64), size=size)
        return builder.ptrtoint(where, ir.IntType(64))

    return types.intp(types.literal(count)), emit


@intrinsic
def take(typingctx: Any, slots: Any) -> Any:
    """The address of a free slot's room, from now on the caller's; waits while none is free.

    `slots` is the address of `arena.Arena`'s words.
    """
    word_type = ir.IntType(64)

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        words = builder.inttoptr(args[0], word_type.as_pointer())
        n, first, step = (
            builder.load(builder.gep(words, [ir.Constant(word_type, i)])) for i in range(3)
        )
        before = builder.block
        attempt = builder.append_basic_block("attempt")
        taken = builder.append_basic_block("taken")
        builder.branch(attempt)
        builder.position_at_end(attempt)
        number = builder.phi(word_type)
        number.add_incoming(ir.Constant(word_type, 0), before)
        slot = builder.add(first, builder.mul(number, step))
        lock = builder.inttoptr(slot, word_type.as_pointer())
        free, held = ir.Constant(word_type, 0), ir.Constant(word_type, 1)
        done = builder.extract_value(builder.cmpxchg(lock, free, held, "acquire", "monotonic"), 1)
        after = builder.add(number, held)
        after = builder.select(builder.icmp_signed("<", after, n), after, free)
        number.add_incoming(after, attempt)
        builder.cbranch(done, taken, attempt)
        builder.position_at_end(taken)
        return builder.add(slot, ir.Constant(word_type, SLOT_HEADER))

    return types.intp(types.intp), emit


@intrinsic
def give(typingctx: Any, room_: Any) -> Any:
    """Give a slot back, by the address that `take` gave."""
    word_type = ir.IntType(64)

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        slot = builder.sub(args[0], ir.Constant(word_type, SLOT_HEADER))
        lock = builder.inttoptr(slot, word_type.as_pointer())
        builder.store_atomic(ir.Constant(word_type, 0), lock, "release", 8)
        return context.get_dummy_value()

    return types.void(types.intp), emit


def _external(name: str, *args: Any, returns: Any = types.intp) -> Any:
    return types.ExternalFunction(name, returns(*args))


_W = types.intp
Py_IncRef = _external("Py_IncRef", _W, returns=types.void)
Py_DecRef = _external("Py_DecRef", _W, returns=types.void)
PyBytes_FromStringAndSize = _external("PyBytes_FromStringAndSize", _W, _W)
PyDict_GetItemWithError = _external("PyDict_GetItemWithError", _W, _W)
PyUnicode_AsUTF8AndSize = _external("PyUnicode_AsUTF8AndSize", _W, _W)
PyObject_CallNoArgs = _external("PyObject_CallNoArgs", _W)
PyThread_acquire_lock = _external("PyThread_acquire_lock", _W, _W)
PyThread_release_lock = _external("PyThread_release_lock", _W, returns=types.void)
PyLong_AsSsize_t = _external("PyLong_AsSsize_t", _W)
PyErr_Clear = _external("PyErr_Clear", returns=types.void)
PyEval_SaveThread = _external("PyEval_SaveThread")
PyEval_RestoreThread = _external("PyEval_RestoreThread", _W, returns=types.void)
memcpy = _external("memcpy", _W, _W, _W)
memset = _external("memset", _W, _W, _W)
mmap = _external("mmap", _W, _W, _W, _W, _W, _W)
munmap = _external("munmap", _W, _W)
madvise = _external("madvise", _W, _W, _W)

# numba's own, without the Python around them. They take and give C ints, in words as numba's
# compiled code has it.
get_num_threads = _external("get_num_threads")
set_num_threads = _external("set_num_threads", _W, returns=types.void)
