"""Vector dataplane: C workers and their cffi binding."""

from pathlib import Path


def program() -> Path:
    """Return where the C program bng-dataplane is installed.

    Raises: FileNotFoundError when it was not built.
    """
    for directory in __path__:
        path = Path(directory, "bng-dataplane")
        if path.exists():
            return path
    raise FileNotFoundError("bng-dataplane was not built: pip install .")
