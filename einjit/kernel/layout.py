"""What the compiled hot path and the Python that prepares it agree on: offsets and words.

The offsets are those of the C structures that numpy's and Python's C API make public
(`PyArrayObject_fields`, `PyArray_Descr`), which every compiled extension relies on.
"""

# Offsets in C structures, in bytes. PyObject_HEAD ends with the type.
HEAD = object.__basicsize__
TYPE = HEAD - 8
DATA, NDIM, SHAPE, STRIDES, DESCR, FLAGS = (HEAD + at for at in (0, 8, 16, 24, 40, 48))
BYTE_ORDER, TYPE_NUMBER, ITEM_SIZE = HEAD + 10, HEAD + 12, HEAD + 24
ALIGNED, WRITEABLE = 0x100, 0x400
NATIVE, NOT_APPLICABLE = ord("="), ord("|")

# Words of a process: what calls share. DRIVER is the parallel loop's address, 0 until it is there;
# DEBT the nanoseconds spent without it, and WAKE is called when they are more than PATIENCE; LOCK
# is held during a launch where the threading layer takes one at a time, else 0; ADMIT is asked
# before each how many threads it may use; SET_HANDLER sets what allocates the memory of
# arrays, which is DEFAULT_HANDLER where the program has set none. MARK and MARK_LENGTH are what
# follows the text in the key of calls with options; INTO says that the last operand is the output.
CLOCK, HITS, NONE, STR, NDARRAY, NEW, SCALAR, SET_BASE, CALLS = range(9)
DRIVER, DEBT, PATIENCE, WAKE, LOCK, ADMIT, SET_HANDLER, DEFAULT_HANDLER = range(9, 17)
MARK, MARK_LENGTH, INTO = range(17, 20)
PROCESS_WORDS = 20

# Words of a block: what is constant for a call. TIME is one thread's nanoseconds where more threads
# are worth their launch, else 0; RELEASE says whether the GIL is given back meanwhile; HANDLER is
# what allocates the result, 0 for numpy's own way. Behind them: the output's shape, its strides in
# bytes, which operand the kernel takes first, second and so on, and its sizes.
PROCESS, KERNEL, TILES, CHUNK, TIME, RELEASE, USAGE, N_INPUTS = range(8)
OUT_DESCR, OUT_NDIM, AS_SCALAR, HANDLER, HEADER = range(8, 13)

# Words of the pool of large results' memory: how it is mapped, what the system is told of blocks
# in use and of those it may take (0: nothing), the bytes that may lie idle and do, the address and
# capacity of each idle block, the one that was left first at the front. A block begins with its
# capacity.
ALLOCATE, RELEASED, PROTECTION, MAP, HUGE, LEND, LIMIT, IDLE_BYTES, IDLE, KEPT = range(10)
MOST_IDLE = 16
BLOCK_HEADER = 64
SETTLE = 2 << 20  # blocks are whole huge pages

LONGEST_TEXT = 1024
KEY_WORDS = 2048
MOST_POINTERS = 64

SLOT_HEADER = 64
"""Bytes of an arena's slot before its room: the lock, and what keeps the room at a line's start."""


def marked(subscripts: str, order: str, written: bool = False) -> str:
    """What stands for the subscripts in the key of a call with an order or an output that is
    written; no equation reads so."""
    if order == "K" and not written:
        return subscripts
    return f"{subscripts}\0{order}{'out' if written else ''}"
