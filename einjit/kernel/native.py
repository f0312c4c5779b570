"""The hot path below Python: find a call, allocate its output, start its kernel.

Three functions, compiled once a process, that CPython calls as built-ins (METH_FASTCALL). They read
ndarrays through the public layout of numpy's C API (`PyArrayObject_fields`, `PyArray_Descr`; what
every compiled extension reads) and call Python and numpy by their C APIs. All addresses are words.

`find` returns the call that is ready for subscripts and operands of these dtypes, shapes and
strides; `run` makes a kernel's output and fills it; `view` makes a view. What is constant for a
call lies in its block, an array of words that the built-in function is bound to.
"""

import ctypes
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from numba.core import types

from einjit.kernel.build import CompiledC, Kernel, compile_c
from einjit.kernel.memory import (
    Py_DecRef,
    Py_IncRef,
    PyBytes_FromStringAndSize,
    PyDict_GetItemWithError,
    PyErr_Clear,
    PyEval_RestoreThread,
    PyEval_SaveThread,
    PyThread_acquire_lock,
    PyThread_release_lock,
    PyUnicode_AsUTF8AndSize,
    byte,
    call1,
    call2,
    call4,
    call5,
    call8,
    half_word,
    memcpy,
    put,
    room,
    word,
)

Words = npt.NDArray[np.intp]

# Offsets in C structures, in bytes. PyObject_HEAD ends with the type.
HEAD = object.__basicsize__
TYPE = HEAD - 8
DATA, NDIM, SHAPE, STRIDES, DESCR, FLAGS = (HEAD + at for at in (0, 8, 16, 24, 40, 48))
BYTE_ORDER, TYPE_NUMBER = HEAD + 10, HEAD + 12
ALIGNED, WRITEABLE = 0x100, 0x400
NATIVE, NOT_APPLICABLE = ord("="), ord("|")

# Words of a process: what calls share. LOCK, if there is one, is held during a parallel launch.
CLOCK, HITS, NONE, STR, NDARRAY, NEW, SCALAR, SET_BASE, CALLS, LOCK = range(10)

# Words of a block. After them: the output's shape, its strides in bytes, which operand the kernel
# takes first, second and so on, and its sizes.
PROCESS, KERNEL, TILES, CHUNK, DRIVER, RELEASE, USAGE, N_INPUTS = range(8)
OUT_DESCR, OUT_NDIM, AS_SCALAR, HEADER = range(8, 12)

LONGEST_TEXT = 1024
KEY_WORDS = 2048

MOST_POINTERS = 64


BUILTIN = types.intp(types.intp, types.intp, types.intp)  # (bound object, arguments, their number)


def find(process: int, args: int, n_args: int) -> int:
    """The call for (subscripts, *operands), or None: unseen, or not plain ndarrays.

    With no calls in `process`, the key itself: the text, and each operand's type, shape, strides.
    """
    process = word(process + DATA)
    nothing = word(process + 8 * NONE)
    if n_args > MOST_POINTERS or n_args < 1:
        Py_IncRef(nothing)
        return nothing
    text = word(args)
    if word(text + TYPE) != word(process + 8 * STR):
        Py_IncRef(nothing)
        return nothing
    key = room(KEY_WORDS)
    length = room(1)
    characters = PyUnicode_AsUTF8AndSize(text, length)
    n_text = word(length)
    if characters == 0:  # a lone surrogate: the parser says so better
        PyErr_Clear()
    if characters == 0 or n_text > LONGEST_TEXT:
        Py_IncRef(nothing)
        return nothing
    put(key, n_text)
    memcpy(key + 8, characters, n_text)
    at = key + 8 + n_text
    for i in range(1, n_args):
        array = word(args + 8 * i)
        plain = word(array + TYPE) == word(process + 8 * NDARRAY)
        if plain:
            descr = word(array + DESCR)
            order = byte(descr + BYTE_ORDER)
            n_dim = half_word(array + NDIM)
            plain = (
                (half_word(array + FLAGS) & ALIGNED) != 0
                and (order == NATIVE or order == NOT_APPLICABLE)
                and at + 16 * n_dim + 8 <= key + 8 * KEY_WORDS
            )
        if not plain:
            Py_IncRef(nothing)
            return nothing
        put(at, n_dim | (half_word(descr + TYPE_NUMBER) << 32))
        at += 8
        shape, strides = word(array + SHAPE), word(array + STRIDES)
        for axis in range(n_dim):
            put(at, word(shape + 8 * axis))
            put(at + 8, word(strides + 8 * axis))
            at += 16
    found = PyBytes_FromStringAndSize(key, at - key)
    calls = word(process + 8 * CALLS)
    if calls != 0 and found != 0:
        made = found
        found = PyDict_GetItemWithError(calls, made)
        Py_DecRef(made)
        if found == 0:
            found = nothing
        else:
            put(process + 8 * HITS, word(process + 8 * HITS) + 1)
        Py_IncRef(found)
    return found


def run(block: int, args: int, n_args: int) -> int:
    """Contract (subscripts, *operands), or into a last argument that is the output."""
    block = word(block + DATA)
    process = word(block + 8 * PROCESS)
    n_inputs = word(block + 8 * N_INPUTS)
    n_dim = word(block + 8 * OUT_NDIM)
    shape = block + 8 * HEADER
    strides = shape + 8 * n_dim
    order = strides + 8 * n_dim
    sizes = order + 8 * n_inputs
    given = n_args > n_inputs + 1
    if given:
        out = word(args + 8 * n_inputs + 8)
        Py_IncRef(out)
    else:
        descr = word(block + 8 * OUT_DESCR)
        Py_IncRef(descr)  # the new array takes this reference
        array_type = word(process + 8 * NDARRAY)
        new = word(process + 8 * NEW)
        out = call8(new, (array_type, descr, n_dim, shape, strides, 0, 0, 0))
        if out == 0:
            return 0
    operands = room(MOST_POINTERS)
    for i in range(n_inputs):
        put(operands + 8 * i, word(word(args + 8 + 8 * word(order + 8 * i)) + DATA))
    put(operands + 8 * n_inputs, word(out + DATA))
    usage = word(block + 8 * USAGE)
    now = word(process + 8 * CLOCK) + 1
    put(process + 8 * CLOCK, now)
    put(usage, word(usage) + 1)
    put(usage + 8, now)
    kernel, tiles = word(block + 8 * KERNEL), word(block + 8 * TILES)
    if word(block + 8 * RELEASE) == 0:
        call4(kernel, (0, tiles, operands, sizes))
    else:
        thread = PyEval_SaveThread()
        driver, chunk = word(block + 8 * DRIVER), word(block + 8 * CHUNK)
        if driver == 0:
            call4(kernel, (0, tiles, operands, sizes))
        else:
            lock = word(process + 8 * LOCK)
            if lock != 0:
                PyThread_acquire_lock(lock, 1)
            call5(driver, (kernel, tiles, chunk, operands, sizes))
            if lock != 0:
                PyThread_release_lock(lock)
        PyEval_RestoreThread(thread)
    if word(block + 8 * AS_SCALAR) != 0 and not given:
        out = call1(word(process + 8 * SCALAR), (out,))
    return out


def view(block: int, args: int, n_args: int) -> int:
    """A view of the operand of (subscripts, operand), writeable where the operand is."""
    block = word(block + DATA)
    process = word(block + 8 * PROCESS)
    array = word(args + 8)
    n_dim = word(block + 8 * OUT_NDIM)
    shape = block + 8 * HEADER
    strides = shape + 8 * n_dim
    descr = word(array + DESCR)
    Py_IncRef(descr)  # the new array takes this reference
    writeable = half_word(array + FLAGS) & WRITEABLE
    out = call8(
        word(process + 8 * NEW),
        (
            word(process + 8 * NDARRAY),
            descr,
            n_dim,
            shape,
            strides,
            word(array + DATA),
            writeable,
            0,
        ),
    )
    if out == 0:
        return 0
    Py_IncRef(array)  # the view takes this one
    call2(word(process + 8 * SET_BASE), (out, array))
    if word(block + 8 * AS_SCALAR) != 0:
        out = call1(word(process + 8 * SCALAR), (out,))
    return out


class _MethodDef(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


METH_FASTCALL = 0x80


class Native:
    """The three functions, compiled, and the words they share.

    `calls` is the dictionary that `find` looks in: key → a callable (subscripts, *operands).
    """

    def __init__(self, calls: dict[Any, Any]) -> None:
        self.calls = calls
        self.process = self._process(calls)
        self._describing = self._process(None)
        self._compiled = {f.__name__: compile_c(f, BUILTIN) for f in (find, run, view)}
        self._definitions = {
            name: _MethodDef(name.encode(), compiled.address, METH_FASTCALL, None)
            for name, compiled in self._compiled.items()
        }
        self.find = self._bind("find", self.process)
        self.describe = self._bind("find", self._describing)
        self._check()

    @property
    def clock(self) -> int:
        """Kernels called so far."""
        return int(self.process[CLOCK])

    @property
    def hits(self) -> int:
        """Calls that `find` found."""
        return int(self.process[HITS])

    @hits.setter
    def hits(self, count: int) -> None:
        self.process[HITS] = count

    def launch_in_turn(self) -> None:
        """Let one large call run at a time: its lock is held while the GIL is not."""
        if not self.process[LOCK]:
            allocate = ctypes.pythonapi.PyThread_allocate_lock
            allocate.restype, allocate.argtypes = ctypes.c_size_t, []
            self.process[LOCK] = allocate()

    @staticmethod
    def _process(calls: dict[Any, Any] | None) -> Words:
        table = _numpy_api()
        words = np.zeros(10, np.intp)
        words[NONE], words[STR], words[NDARRAY] = id(None), id(str), id(np.ndarray)
        # Places in numpy's C API table, the same since numpy 1.7.
        words[NEW], words[SCALAR], words[SET_BASE] = table[94], table[76], table[282]
        words[CALLS] = 0 if calls is None else id(calls)
        return words

    def _bind(self, name: str, words: Words, needs: Any = None) -> Callable[..., Any]:
        """A built-in function bound to `words`, which keeps what it `needs` alive."""
        definition = ctypes.addressof(self._definitions[name])
        bound: Callable[..., Any] = _new_builtin(definition, words, (self, needs))
        return bound

    def _check(self) -> None:
        """Compare what is read from a known array with what numpy says of it."""
        array = np.zeros((3, 5), np.int16)[:, ::2]
        key = self.describe("ij", array)
        wanted = np.array([2 | (array.dtype.num << 32), 3, 10, 3, 4], np.intp).tobytes()
        if key != np.intp(2).tobytes() + b"ij" + wanted:
            raise ImportError(
                f"numpy {np.__version__} on Python {sys.version.split()[0]} lays out arrays in a "
                "way that einjit does not know"
            )

    def bind_run(
        self,
        *,
        kernel: Kernel,
        driver: CompiledC | None,
        tiles: int,
        chunk: int,
        release: bool,
        order: tuple[int, ...],
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        sizes: tuple[int, ...],
        scalar: bool,
    ) -> Callable[..., Any]:
        """A built-in (subscripts, *operands[, out]) that runs a kernel; strides in bytes.

        `order` says which operand the kernel takes first, second and so on. With a driver, `chunk`
        tiles at a time run in parallel; with `release`, the GIL is given back meanwhile.
        """
        block = self._block(dtype, shape, strides, scalar, (*order, *sizes))
        block[KERNEL], block[USAGE] = kernel.address, _address(kernel.usage)
        block[TILES], block[CHUNK], block[RELEASE] = tiles, chunk, release
        block[DRIVER] = 0 if driver is None else driver.address
        block[N_INPUTS] = len(order)
        return self._bind("run", block, (kernel, driver, dtype))

    def bind_view(
        self,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        scalar: bool,
    ) -> Callable[..., Any]:
        """A built-in (subscripts, operand) that makes a view; strides in bytes."""
        return self._bind("view", self._block(dtype, shape, strides, scalar, ()))

    def _block(
        self,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        scalar: bool,
        sizes: tuple[int, ...],
    ) -> Words:
        block = np.zeros(HEADER, np.intp)
        block[PROCESS], block[OUT_DESCR] = _address(self.process), id(dtype)
        block[OUT_NDIM], block[AS_SCALAR] = len(shape), scalar
        return np.concatenate([block, np.array([*shape, *strides, *sizes], np.intp)])


_new_builtin = ctypes.pythonapi.PyCFunction_NewEx
_new_builtin.restype = ctypes.py_object
_new_builtin.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.py_object]


def _address(words: Words) -> int:
    address: int = words.__array_interface__["data"][0]
    return address


def _numpy_api() -> Any:
    """numpy's table of C functions, which `import_array()` gives to compiled extensions."""
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    capsule = np._core._multiarray_umath._ARRAY_API  # type: ignore[attr-defined]
    return ctypes.cast(pointer_of(capsule, None), ctypes.POINTER(ctypes.c_void_p))
