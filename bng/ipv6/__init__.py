"""Subscriber IPv6: router advertisements and DHCPv6. Sans-IO."""
