"""The hot path below Python: find a call, allocate its output, start its kernel.

Functions that CPython calls as built-ins (METH_FASTCALL: the object they are bound to, an array of
arguments, their number), and the one parallel loop. All addresses are words. What is constant for a
call lies in its block, an array of words that the built-in is bound to (`layout`).
"""

from numba import prange

from einjit.kernel.intrinsics import minimum
from einjit.kernel.layout import (
    ADMIT,
    ALIGNED,
    AS_SCALAR,
    BYTE_ORDER,
    CALLS,
    CHUNK,
    CLOCK,
    DATA,
    DEBT,
    DEFAULT_HANDLER,
    DESCR,
    DRIVER,
    FLAGS,
    HANDLER,
    HEADER,
    HITS,
    INTO,
    ITEM_SIZE,
    KERNEL,
    KEY_WORDS,
    LOCK,
    LONGEST_TEXT,
    MARK,
    MARK_LENGTH,
    MOST_POINTERS,
    N_INPUTS,
    NATIVE,
    NDARRAY,
    NDIM,
    NEW,
    NONE,
    NOT_APPLICABLE,
    OUT_DESCR,
    OUT_NDIM,
    PATIENCE,
    PROCESS,
    RELEASE,
    SCALAR,
    SET_BASE,
    SET_HANDLER,
    SHAPE,
    STR,
    STRIDES,
    TILES,
    TIME,
    TYPE,
    TYPE_NUMBER,
    USAGE,
    WAKE,
    WRITEABLE,
)
from einjit.kernel.memory import (
    Py_DecRef,
    Py_IncRef,
    PyBytes_FromStringAndSize,
    PyDict_GetItemWithError,
    PyErr_Clear,
    PyEval_RestoreThread,
    PyEval_SaveThread,
    PyLong_AsSsize_t,
    PyObject_CallNoArgs,
    PyThread_acquire_lock,
    PyThread_release_lock,
    PyUnicode_AsUTF8AndSize,
    byte,
    call1,
    call2,
    call4,
    call6,
    call8,
    fetch_add,
    get_num_threads,
    half_word,
    memcpy,
    put,
    room,
    word,
)

RUNS = 64
"""Runs that tiles are dealt out in at most."""

LINE_WORDS = 8
"""Words of a cache line: what lies between words that different threads write."""

RUN_WORDS = RUNS * LINE_WORDS


def find(process: int, args: int, n_args: int) -> int:
    """The call for (subscripts, *operands), or None: unseen, or not plain ndarrays.

    With no calls in `process`, the key itself: the text, and each operand's type, shape, strides.
    Where the last operand is the output, None is given too if that is not writeable, or lies in
    memory that spans some of an operand's.
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
    memcpy(key + 8, characters, n_text)
    put(key + 8 + n_text, word(process + 8 * MARK))
    n_text += word(process + 8 * MARK_LENGTH)
    put(key, n_text)
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
    if word(process + 8 * INTO) != 0:
        start_of_output, end_of_output = 0, 0
        for turn in range(1, n_args):  # the output first
            array = word(args + 8 * (n_args - turn))
            shape, strides = word(array + SHAPE), word(array + STRIDES)
            start = word(array + DATA)
            end = start + word(word(array + DESCR) + ITEM_SIZE)
            for axis in range(half_word(array + NDIM)):
                reach = (word(shape + 8 * axis) - 1) * word(strides + 8 * axis)
                start, end = start + minimum(reach, 0), end + reach - minimum(reach, 0)
            if turn == 1:
                start_of_output, end_of_output = start, end
                fits = (half_word(array + FLAGS) & WRITEABLE) != 0
            else:
                fits = start >= end_of_output or start_of_output >= end
            if not fits:
                Py_IncRef(nothing)
                return nothing
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
        new, handler = word(process + 8 * NEW), word(block + 8 * HANDLER)
        if handler != 0:
            before = call1(word(process + 8 * SET_HANDLER), (handler,))
            if before == 0:
                Py_DecRef(descr)
                return 0
            if before != word(process + 8 * DEFAULT_HANDLER):  # the program's own stays
                Py_DecRef(call1(word(process + 8 * SET_HANDLER), (before,)))
        out = call8(new, (array_type, descr, n_dim, shape, strides, 0, 0, 0))
        if handler != 0:
            Py_DecRef(call1(word(process + 8 * SET_HANDLER), (before,)))
            Py_DecRef(before)
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
        driver, time = word(process + 8 * DRIVER), word(block + 8 * TIME)
        if driver == 0 and time != 0:
            debt = word(process + 8 * DEBT) + time
            put(process + 8 * DEBT, debt)
            if debt > word(process + 8 * PATIENCE):
                done = PyObject_CallNoArgs(word(process + 8 * WAKE))
                if done == 0:
                    PyErr_Clear()
                else:
                    Py_DecRef(done)
                driver = word(process + 8 * DRIVER)
        n_threads = 1
        if driver != 0 and time != 0:
            admitted = PyObject_CallNoArgs(word(process + 8 * ADMIT))
            if admitted == 0:
                PyErr_Clear()
            else:
                n_threads = PyLong_AsSsize_t(admitted)
                Py_DecRef(admitted)
        thread = PyEval_SaveThread()
        if n_threads < 2:
            call4(kernel, (0, tiles, operands, sizes))
        else:
            lock = word(process + 8 * LOCK)
            if lock != 0:
                PyThread_acquire_lock(lock, 1)
            chunk = word(block + 8 * CHUNK)
            call6(driver, (kernel, tiles, chunk, operands, sizes, n_threads))
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


def drive(kernel: int, tiles: int, chunk: int, operands: int, sizes: int) -> None:
    """Run a kernel's tiles: each thread begins with a run of its own, `chunk` tiles at a time, and
    then helps with the runs of others.

    A thread finds in its caches what it wrote or read there in the call before; that a slow one is
    helped makes the others wait less for it. Which thread runs which tile changes no bit of the
    result.
    """
    threads = minimum(get_num_threads(), (tiles + chunk - 1) // chunk)
    runs = minimum(threads, RUNS)
    taken = room(RUN_WORDS)
    for i in range(runs):
        put(taken + 8 * LINE_WORDS * i, 0)
    for thread in prange(threads):
        for turn in range(runs):
            run = (thread + turn) % runs
            start, stop = tiles * run // runs, tiles * (run + 1) // runs
            first = start + fetch_add(taken + 8 * LINE_WORDS * run, chunk)
            while first < stop:
                call4(kernel, (first, minimum(stop, first + chunk), operands, sizes))
                first = start + fetch_add(taken + 8 * LINE_WORDS * run, chunk)
