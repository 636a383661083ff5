"""The only place for asyncio, sockets, clock and entropy."""
