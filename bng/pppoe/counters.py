"""The names under which discovery counts what it received, sent and dropped."""

from typing import Final

COUNTERS: Final = (
    # received, sent
    *("padi", "padr", "padt", "pado_sent", "pads_sent", "pads_error_sent", "padr_repeated"),
    # dropped: no packet, or not for us
    *("malformed", "source_not_unicast", "destination_wrong", "port_unknown", "draining"),
    *("code_not_for_ac", "session_id_not_zero", "too_long", "reply_too_long"),
    # dropped: not this client, not now
    *("held_off", "service_name_count", "service_not_offered", "cookie_missing", "cookie_bad"),
    *("limit_half_open", "limit_vlan", "limit_port", "limit_sessions", "limit_delayed_pado"),
    "limit_waiting_padi",
    *("session_ids_exhausted", "padt_unknown", "padt_wrong_client"),
    # admitted slower than configured: packets were read late
    "behind",
    # taken all the same
    "line_info_malformed",
    "line_sub_options_ignored",
)
