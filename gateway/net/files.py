"""How many files may be open: each connection is one, and the store, TLS and the status need some too."""

import sys
from typing import Final

FILES_KEPT: Final = 64
"""That no connection gets."""


def files_max() -> int:
    """Open files up to which connections are taken; 0 where the system sets no limit."""
    if sys.platform == "win32":
        return 0
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 0 if soft == resource.RLIM_INFINITY else max(soft - FILES_KEPT, soft // 2)
