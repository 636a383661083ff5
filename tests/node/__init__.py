"""Frames into single nodes and through the whole graph, in embedded mode.

BNG_ARENA names another build of ``dataplane._arena`` to test: the one with sanitizers.
"""

import importlib.util
import os
import sys

if _other := os.environ.get("BNG_ARENA"):
    _spec = importlib.util.spec_from_file_location("dataplane._arena", _other)
    if _spec is None or _spec.loader is None:
        raise ImportError(f"BNG_ARENA={_other}: no extension module")
    _module = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(_module)
    sys.modules["dataplane._arena"] = _module
    import dataplane

    dataplane._arena = _module  # type: ignore[attr-defined]
