"""Programs that `cold` runs in processes of their own."""

FIRST_CALLS = """
import json, sys, time
start = time.perf_counter()
import einjit
imported = time.perf_counter() - start
import numpy as np
seconds = []
for equation, sizes, dtype in json.loads(sys.argv[1]):
    shapes = [[sizes[k] for k in term] for term in equation.partition("->")[0].split(",")]
    operands = [np.random.default_rng(0).random(shape, dtype) for shape in shapes]
    start = time.perf_counter()
    result = einjit.einsum(equation, *operands)
    seconds.append(time.perf_counter() - start)
    np.testing.assert_allclose(result, np.einsum(equation, *operands, optimize=True), rtol=1e-4)
print(json.dumps([imported, *seconds]))
"""
"""Prints the seconds that the import and each first call took."""

YARDSTICK = """
import time
import numpy as np
from numba import njit, prange

@njit(parallel=True)
def before(a):
    for i in prange(a.size):
        a[i] += 1

@njit(parallel=True)
def product(a, b, c):
    for i in prange(a.shape[0]):
        for k in range(b.shape[1]):
            total = 0.0
            for j in range(a.shape[1]):
                total += a[i, j] * b[j, k]
            c[i, k] = total

before(np.ones(10))
a = np.ones((8, 8))
start = time.perf_counter()
product(a, a, a.copy())
print(time.perf_counter() - start)
"""

FIRST_RESULTS = {
    "einjit": """
import numpy as np, einjit
a = np.ones((256, 256))
einjit.einsum("ij,jk->ik", a, a)
""",
    "numpy": """
import numpy as np
a = np.ones((256, 256))
np.einsum("ij,jk->ik", a, a, optimize=True)
""",
    "torch": """
import torch
a = torch.ones((256, 256))
torch.einsum("ij,jk->ik", a, a)
""",
    "jax": """
import jax, jax.numpy as jnp
a = jnp.ones((256, 256))
jax.jit(lambda a: jnp.einsum("ij,jk->ik", a, a))(a).block_until_ready()
""",
}
"""Whole programs: from the start of a process to its first result."""
