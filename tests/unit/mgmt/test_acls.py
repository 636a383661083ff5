"""``show acls``: rules and what they decided of, through reloads."""

from typing import Any

from tests.support.managed_box import Managed

from .test_live_features import reload, up, user

RULES = ["deny udp any 192.0.2.9 port 54", "permit udp any 192.0.2.9 port 53"]
ACLS: list[dict[str, Any]] = [
    {"name": "mail", "default": "deny", "rules": ["permit tcp any any port 25"]},
    {"name": "some", "default": "permit", "rules": RULES},
]
NONE = {"in_packets": 0, "in_bytes": 0, "out_packets": 0, "out_bytes": 0}


def show(box: Managed, acl: str | None = None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = box.ask("show acls", acl=acl)["data"]
    return rows


def with_acls(box: Managed, acls: list[dict[str, Any]], **attributes: Any) -> None:
    box.write(acl=acls)
    reload(box, user00001=user(acl_in="some", **attributes))


def test_without_acls_there_is_nothing_to_show(dialled: Managed) -> None:
    assert show(dialled) == []
    assert dialled.ask("show acls", acl="some")["error"] == "show acls: there is no ACL 'some'"


def test_acls_are_shown_with_their_sessions_and_sums(dialled: Managed) -> None:
    with_acls(dialled, ACLS, acl_out="some")
    up(dialled, 3)
    mail, some = show(dialled)
    assert mail == {
        "acl": "mail",
        "rules": 1,
        "sessions_in": 0,
        "sessions_out": 0,
        "memory_bytes": mail["memory_bytes"],
        **NONE,
    }
    assert (some["sessions_in"], some["sessions_out"]) == (1, 1)
    assert (some["in_packets"], some["in_bytes"]) == (3, 3_000)
    assert some["out_packets"] == 3, "one Destination Unreachable for each: there is no route"


def test_rules_are_shown_in_their_order_the_default_last(dialled: Managed) -> None:
    with_acls(dialled, ACLS)
    up(dialled, 3)
    assert show(dialled, "some") == [
        {"rule": 1, "text": RULES[0], **NONE},
        {"rule": 2, "text": RULES[1], **NONE, "in_packets": 3, "in_bytes": 3_000},
        {"rule": 3, "text": "permit (default)", **NONE},
    ]


def test_a_reload_keeps_the_counts_of_what_it_does_not_change(dialled: Managed) -> None:
    with_acls(dialled, ACLS)
    up(dialled, 3)
    with_acls(dialled, [{**ACLS[0], "default": "permit"}, ACLS[1]])
    up(dialled, 1)
    assert [row["in_packets"] for row in show(dialled, "some")] == [0, 4, 0]
    with_acls(dialled, [ACLS[0], {**ACLS[1], "rules": RULES[:1]}])
    up(dialled, 2)
    assert [row["in_packets"] for row in show(dialled, "some")] == [0, 2]


def test_an_acl_kept_for_a_session_has_rules_without_text(dialled: Managed) -> None:
    with_acls(dialled, ACLS)
    up(dialled, 2)
    dialled.write()
    reload(dialled, user00001=None)
    rows = show(dialled, "some")
    assert [(row["text"], row["in_packets"]) for row in rows] == [(None, 0), (None, 2), (None, 0)]
