"""The package whose modules are the generated sources, entered as they are built.

Those that another process built are found in the cache.
"""

import sys

from einjit.kernel.modules import Finder

sys.meta_path.append(Finder())
