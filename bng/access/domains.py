"""Which id table, and which page of it, the dataplane uses for a PPPoE session id.

A domain is (port, outer VID); its table grows in pages of 256 ids (`struct session_bind`). bngd is
the one that chooses the indexes, so that the workers only ever write what they are told.
"""

from collections.abc import Mapping


class DomainsFullError(Exception):
    """No domain or page is left."""


class Domains:
    """Indexes of domains and pages, given once and kept for the life of the arena."""

    def __init__(self, max_domains: int, max_pages: int) -> None:
        self._max_domains = max_domains
        self._max_pages = max_pages
        self._domains: dict[int, int] = {}
        self._pages: dict[int, int] = {}
        self._next_domain = 0
        self._next_page = 0

    def adopt(self, port: int, outer_vid: int, domain: int, pages: Mapping[int, int]) -> None:
        """Take over what the arena has: *pages* are indexes by the ids' upper 8 bits."""
        key = port << 12 | outer_vid
        self._domains[key] = domain
        self._next_domain = max(self._next_domain, domain + 1)
        for number, page in pages.items():
            self._pages[key << 8 | number] = page
            self._next_page = max(self._next_page, page + 1)

    def place(self, port: int, outer_vid: int, session_id: int) -> tuple[int, int]:
        """Return (domain, page) of an id.

        Raises: DomainsFullError when the arena has no more of them.
        """
        key = port << 12 | outer_vid
        domain = self._domains.get(key)
        if domain is None:
            if self._next_domain == self._max_domains:
                raise DomainsFullError(f"all {self._max_domains} id domains are in use")
            domain = self._domains[key] = self._next_domain
            self._next_domain += 1
        key = key << 8 | session_id >> 8
        page = self._pages.get(key)
        if page is None:
            if self._next_page == self._max_pages:
                raise DomainsFullError(f"all {self._max_pages} id pages are in use")
            page = self._pages[key] = self._next_page
            self._next_page += 1
        return domain, page
