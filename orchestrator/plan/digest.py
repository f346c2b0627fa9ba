"""The digest of an action: the hash of everything that decides its output, and of nothing else.

In it: sources' digests, recipe, flags, exact versions of compiler, libc and development packages,
host and target. Not in it: run id, paths, image ids, tags, dates.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

SCHEMA = 1
"""Raised when the meaning of an input changes, so that older artifacts are no longer found."""


def digest(kind: str, inputs: Mapping[str, Any], parents: tuple[str, ...] = ()) -> str:
    """SHA-256 (hex) of canonical JSON of the inputs and the sorted digests of the parents."""
    canonical = json.dumps(
        {"schema": SCHEMA, "kind": kind, "inputs": inputs, "parents": sorted(parents)},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=True,
    )
    return hashlib.sha256(canonical.encode()).hexdigest()
