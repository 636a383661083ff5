"""PPP: the RFC 1661 automaton, LCP, authentication and the NCPs. Sans-IO."""
