"""PPPoE discovery (RFC 2516, RFC 4638, TR-101)."""
