"""bngd as another build of it, one that records more of a session: ``python -m`` this.

It is of another version, and its records have keys that this one does not know.
"""

import importlib.metadata
from functools import wraps

from bng.session import restart

VERSION = "99.0"


def main() -> None:
    """Run bngd so."""
    describe = restart.describe_passing

    @wraps(describe)
    def more(session: restart.Session) -> dict[str, object]:
        return {**describe(session), "later": {"than": [1, None]}, "tag": "x" * 20}

    restart.describe_passing = more
    importlib.metadata.version = lambda name: VERSION
    from bng import daemon

    raise SystemExit(daemon.main())


if __name__ == "__main__":
    main()
