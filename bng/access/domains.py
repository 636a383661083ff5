"""Which id table, and which page of it, the dataplane uses for a PPPoE session id.

A domain is (port, outer VID); its table grows in pages of 256 ids (`struct session_bind`). bngd is
the one that chooses the indexes, so that the workers only ever write what they are told.
"""


class DomainsFullError(Exception):
    """No domain or page is left."""


class Domains:
    """Indexes of domains and pages, given once and kept."""

    def __init__(self, max_domains: int, max_pages: int) -> None:
        self._max_domains = max_domains
        self._max_pages = max_pages
        self._domains: dict[int, int] = {}
        self._pages: dict[int, int] = {}

    def place(self, port: int, outer_vid: int, session_id: int) -> tuple[int, int]:
        """Return (domain, page) of an id.

        Raises: DomainsFullError when the arena has no more of them.
        """
        key = port << 12 | outer_vid
        domain = self._domains.get(key)
        if domain is None:
            if len(self._domains) == self._max_domains:
                raise DomainsFullError(f"all {self._max_domains} id domains are in use")
            domain = self._domains[key] = len(self._domains)
        key = key << 8 | session_id >> 8
        page = self._pages.get(key)
        if page is None:
            if len(self._pages) == self._max_pages:
                raise DomainsFullError(f"all {self._max_pages} id pages are in use")
            page = self._pages[key] = len(self._pages)
        return domain, page
