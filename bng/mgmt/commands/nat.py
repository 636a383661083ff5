"""``nat drain``, ``nat undrain``: a public address takes no new sessions, or takes them again."""

from ipaddress import AddressValueError, IPv4Address

from bng.box import Box
from bng.mgmt.registry import Args, CommandError, command
from bng.mgmt.select import text


@command("nat drain", "address", summary="Give no new session a public address.")
def nat_drain(box: Box, args: Args) -> object:
    """Begin to drain an address; it stays in the table and routed. Ends with bngd."""
    return _hold(box, args, "nat drain")


@command("nat undrain", "address", summary="Give a public address to new sessions again.")
def nat_undrain(box: Box, args: Args) -> object:
    """Undo `nat_drain`."""
    return _hold(box, args, "nat undrain")


def _hold(box: Box, args: Args, name: str) -> object:
    given = text(args, "address")
    if given is None:
        raise CommandError(f"{name}: say which address")
    try:
        entry = box.manager.nat.hold(IPv4Address(given), name == "nat drain")
    except AddressValueError as error:
        raise CommandError(f"{name}: {error}") from None
    except KeyError:
        raise CommandError(f"{name}: {given} is no address of a NAT pool") from None
    return {"address": given, "state": entry.shown, "sessions": entry.sessions}
