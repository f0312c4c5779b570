"""Ten contractions of real data, each held against np.einsum and timed.

The data are scikit-learn's digits: 1,797 images of 8×8 pixels, each of one of ten digits. The
script ends with status 1 if a result is wrong.
"""

import statistics
import sys
import time

import numpy as np
from sklearn.datasets import load_digits

import einjit

BUDGET = 0.4  # seconds for the later calls of one row
HEADER = (
    *("subscripts", "shapes", "result"),
    *("first ms", "einjit µs", "numpy µs", "ratio", "error"),
)


def contractions():
    """The arguments of each call: subscripts, operands."""
    digits = load_digits()
    images = digits.images  # n, h, w: grey levels 0.0 to 16.0
    pixels = digits.data  # n, p: the same, an image a row
    centred = pixels - pixels.mean(axis=0)
    metric = np.linalg.pinv(np.cov(centred.T))  # p, q: of the Mahalanobis distance
    is_class = np.eye(10, dtype=np.int64)[digits.target]  # n, c: one-hot labels
    is_level = np.eye(17, dtype=np.int64)[pixels.astype(int)]  # n, p, g: one-hot grey levels
    share = is_class / is_class.sum(axis=0)  # n, c: what an image counts for in its class's mean

    return [
        ("nc,nhw->chw", share, images),  # mean image of each class
        ("ip,jp->ij", pixels, pixels),  # Gram matrix
        ("np,nq->pq", centred, centred),  # scatter matrix of the pixels
        ("nhw->nh", images),  # sum of each row of pixels
        ("np,np->n", pixels, pixels),  # squared norm of each image
        ("np,pq,nq->n", centred, metric, centred),  # squared distance to the mean, in one call
        ("...ij,...jk->...ik", images, images),  # each image times itself
        ("nii->n", images),  # trace of each image
        ("nhw->nwh", images),  # each image transposed: a view
        ("npg,nc->cg", is_level, is_class),  # how often each class has each grey level, exact
    ]


def timed(function, *args):
    """The result, and the seconds it took."""
    start = time.perf_counter()
    result = function(*args)
    return result, time.perf_counter() - start


def later_call(function, *args):
    """The median of the seconds that a call takes."""
    seconds = []
    while len(seconds) < 3 or (sum(seconds) < BUDGET and len(seconds) < 1000):
        seconds.append(timed(function, *args)[1])
    return statistics.median(seconds)


def agree(ours, theirs):
    """Integers must be equal, floats close."""
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return False
    return np.allclose(ours, theirs) if theirs.dtype.kind == "f" else np.array_equal(ours, theirs)


def shape_text(array):
    """(2, 3) as 2x3."""
    return "x".join(map(str, array.shape))


def main():
    """Print a row a contraction; 1 if a result is wrong, else 0."""
    rows, wrong = [], []
    for subscripts, *operands in contractions():
        # The same call as np.einsum's. The first one compiles; later ones find the kernel.
        ours, first = timed(einjit.einsum, subscripts, *operands)
        theirs = np.einsum(subscripts, *operands)
        if not agree(ours, theirs):
            wrong.append(subscripts)
        einjit_time = later_call(einjit.einsum, subscripts, *operands)
        numpy_time = later_call(np.einsum, subscripts, *operands)
        rows.append(
            (
                subscripts,
                ", ".join(map(shape_text, operands)),
                shape_text(ours),
                f"{1e3 * first:.1f}",
                f"{1e6 * einjit_time:.1f}",
                f"{1e6 * numpy_time:.1f}",
                f"{numpy_time / einjit_time:.1f}",
                f"{np.abs(ours - theirs).max() / np.abs(theirs).max():.0e}",
            )
        )

    table = [HEADER, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        left = [cell.ljust(width) for cell, width in zip(row[:3], widths, strict=False)]
        right = [cell.rjust(width) for cell, width in zip(row[3:], widths[3:], strict=True)]
        print("  ".join([*left, *right]))

    # The registry knows what was compiled. The first row also compiled the code all calls share.
    stats = einjit.registry.stats()
    print(f"\n{len(einjit.registry)} kernels compiled in {stats['seconds']:.1f} s")
    print("results that differ from numpy's: " + (", ".join(wrong) or "none"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
