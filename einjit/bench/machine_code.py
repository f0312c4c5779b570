"""Loops for measuring, as LLVM's instructions: no optimiser changes what is written here.

An optimiser would: a chain that starts at a fixed point of v·x + y, for one, it takes out.
"""

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

CHAINS = 12
"""Multiply-adds under way at once: latency times ports asks for 8, and there are 16 registers."""

UNROLLED = 8
"""Vectors that one turn of the inner loop moves in each array."""

WORD = ir.IntType(64)


class Loop:
    """A compiled loop `(address, part, turns)`; it runs without the GIL."""

    def __init__(self, module: ir.Module) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(),
            features=llvm.get_host_cpu_features().flatten(),
            opt=3,
            codemodel="jitdefault",
            jit=True,
        )
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(str(module)), machine)
        self._engine.finalize_object()
        words = [ctypes.c_size_t] * 3
        self._entry = ctypes.CFUNCTYPE(None, *words)(self._engine.get_function_address("loop"))

    def __call__(self, address: int, part: int, turns: int) -> None:
        """Run it so many turns, on arrays of `part` bytes that lie one behind the other.

        Address and part are multiples of the vectors' length.
        """
        self._entry(address, part, turns)


def chains(kind: str, bits: int, lanes: int) -> Loop:
    """Chains v = v·x + y in registers; v = v & x | y for bool.

    `part` is the x of what are no floats: LLVM knows short ways to multiply by a constant.
    """
    element = {32: ir.FloatType(), 64: ir.DoubleType()}[bits] if kind == "float" else None
    vector = ir.VectorType(element or ir.IntType(bits), lanes)
    width = lanes * bits // 8
    module, builder, (address, part, turns) = _begin()
    name = f"llvm.fma.v{lanes}f{bits}"
    fma = ir.Function(module, ir.FunctionType(vector, [vector] * 3), name) if element else None
    factor = _constant(vector, 0.999) if element else _spread(builder, part, vector)
    term = _constant(vector, 0.001 if element else 34)

    def multiply_add(value: Any) -> Any:
        if fma:
            return builder.call(fma, [value, factor, term])
        if kind == "bool":
            return builder.or_(builder.and_(value, factor), term)
        return builder.add(builder.mul(value, factor), term)

    start = [_constant(vector, chain) for chain in range(CHAINS)]
    values = _repeat(builder, turns, start, lambda _, now: [multiply_add(v) for v in now])
    for number, value in enumerate(values):  # else nothing of it would be needed
        offset = ir.Constant(WORD, number * width)
        _store(builder, value, builder.add(address, offset), width)
    builder.ret_void()
    return Loop(module)


def stream(reads: int, writes: int, width: int, past: bool) -> Loop:
    """Read the first arrays, write the last; each turn goes once over `part` bytes of each.

    `past`: the stores go past the caches.
    """
    vector = ir.VectorType(ir.IntType(32), width // 4)
    module, builder, (address, part, turns) = _begin()
    arrays = [address]
    for _ in range(reads + writes - 1):
        arrays.append(builder.add(arrays[-1], part))
    step = ir.Constant(WORD, UNROLLED * width)
    steps = builder.udiv(part, step)

    def move(number: Any, sums: Sequence[Any]) -> list[Any]:
        first = builder.mul(number, step)
        found = []
        for unrolled in range(UNROLLED):
            offset = builder.add(first, ir.Constant(WORD, unrolled * width))
            value = sums[unrolled] if not writes else _constant(vector, 1)
            for array in arrays[:reads]:
                loaded = _load(builder, vector, builder.add(array, offset), width)
                value = builder.xor(value, loaded)
            for array in arrays[reads:]:
                _store(builder, value, builder.add(array, offset), width, past)
            found.append(value)
        return [] if writes else found

    start = [] if writes else [_constant(vector, 0)] * UNROLLED
    sums = _repeat(builder, turns, start, lambda _, now: _repeat(builder, steps, now, move))
    for value in sums:  # else the loads would not be needed
        _store(builder, value, address, width)
    builder.ret_void()
    return Loop(module)


# ---------------------------------------------------------------- instructions


def _begin() -> tuple[ir.Module, Any, Any]:
    """A module, a builder in its function `loop`, and the function's arguments."""
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [WORD] * 3), "loop")
    return module, ir.IRBuilder(function.append_basic_block()), function.args


def _repeat(
    builder: Any,
    count: Any,
    start: Sequence[Any],
    body: Callable[[Any, Sequence[Any]], Sequence[Any]],
) -> Sequence[Any]:
    """Do `body(number, values)` count times, at least once; what it returns it is given next."""
    before = builder.block
    turn = builder.append_basic_block()
    builder.branch(turn)
    builder.position_at_end(turn)
    phis = [builder.phi(value.type) for value in (ir.Constant(WORD, 0), *start)]
    values = body(phis[0], phis[1:])
    number = builder.add(phis[0], ir.Constant(WORD, 1))
    for phi, first, later in zip(
        phis, (ir.Constant(WORD, 0), *start), (number, *values), strict=True
    ):
        phi.add_incoming(first, before)
        phi.add_incoming(later, builder.block)
    done = builder.append_basic_block()
    builder.cbranch(builder.icmp_unsigned("<", number, count), turn, done)
    builder.position_at_end(done)
    return values


def _constant(vector: Any, value: float) -> Any:
    return ir.Constant(vector, [ir.Constant(vector.element, value)] * vector.count)


def _spread(builder: Any, word: Any, vector: Any) -> Any:
    """The low bits of a word, in all lanes."""
    value = word if vector.element == WORD else builder.trunc(word, vector.element)
    none = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(none, value, ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, none, lanes)


def _load(builder: Any, vector: Any, address: Any, width: int) -> Any:
    return builder.load(builder.inttoptr(address, vector.as_pointer()), align=width)


def _store(builder: Any, value: Any, address: Any, width: int, past: bool = False) -> None:
    pointer = builder.inttoptr(address, value.type.as_pointer())
    store = builder.store(value, pointer, align=width)
    if past:
        one = ir.Constant(ir.IntType(32), 1)
        store.set_metadata("nontemporal", builder.module.add_metadata([one]))
