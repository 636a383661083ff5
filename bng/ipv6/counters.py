"""What the IPv6 side counts, of all sessions together; each message adds to at least one."""

COUNTERS = (
    # taken
    "router_solicitation",
    "solicit",
    "request",
    "confirm",
    "renew",
    "rebind",
    "release",
    "decline",
    "information_request",
    # sent
    "router_advertisement_sent",
    "neighbor_advertisement_sent",
    "advertise_sent",
    "reply_sent",
    "relayed",
    "relay_reply",
    # said in an answer
    "unspec_fail",
    "no_addrs_avail",
    "no_binding",
    "not_on_link",
    "use_multicast",
    "no_prefix_avail",
    # happened
    "lease_expired",
    # dropped
    "malformed",
    "not_for_us",
    "not_for_server",
    "source_not_link_local",
    "sent_unicast",
    "client_id_missing",
    "server_id_missing",
    "server_id_unexpected",
    "server_id_wrong",
    "ia_unexpected",
    "too_many_ias",
    "no_addresses_to_confirm",
    "busy",
    "reply_too_long",
    "too_many_leases",
    "not_installed",
)


def new_counters() -> dict[str, int]:
    """Return all counters at 0."""
    return dict.fromkeys(COUNTERS, 0)
