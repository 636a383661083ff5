"""``show acls``: the ACLs that the dataplane has, and what their rules decided of."""

from collections import Counter

from bng.box import Box
from bng.io.acl import bypass_lists
from bng.mgmt.registry import Args, CommandError, command
from bng.mgmt.select import text
from dataplane.acl import RuleCount


@command("show acls", "acl", summary="ACLs, or the rules of one, with what they decided of.")
def show_acls(box: Box, args: Args) -> object:
    """Return one row for each ACL, or for each rule of the one that *acl* names."""
    wanted = text(args, "acl")
    if wanted is None:
        return _acls(box)
    if wanted not in box.acls.numbers():
        raise CommandError(f"show acls: there is no ACL {wanted!r}")
    return _rules(box, wanted)


def _acls(box: Box) -> list[dict[str, object]]:
    sizes = box.acls.sizes()
    used_in, used_out = _users(box)
    rows = []
    for name in sorted(sizes):
        counts = box.acls.counts(name)
        sums = (sum(column) for column in zip(*counts, strict=True))
        rows.append(
            {
                "acl": name,
                "rules": len(counts) - 1,
                "sessions_in": used_in[name],
                "sessions_out": used_out[name],
                "memory_bytes": sizes[name],
                **RuleCount(*sums)._asdict(),
            }
        )
    return rows


def _users(box: Box) -> tuple[Counter[str | None], Counter[str | None]]:
    """Return how many sessions have each ACL, by direction."""
    profiles = [s.profile for s in box.manager.table if s.profile is not None]
    names = {number: name for name, number in box.acls.numbers().items()}
    bypassed = Counter(names.get(s.bypassed) for s in box.manager.table)
    used_in, used_out = (
        Counter(getattr(p, key) for p in profiles) for key in ("acl_in", "acl_out")
    )
    return used_in + bypassed, used_out + bypassed


def _rules(box: Box, name: str) -> list[dict[str, object]]:
    """Return the rules in their order, the default last.

    They have no text when the ACL is kept for sessions of users that are no more.
    """
    counts = box.acls.counts(name)
    texts: list[str | None] = [None] * len(counts)
    if name in (lists := bypass_lists(box.config)):
        texts = [*(rule for rule, _ in lists[name]), "translate (default)"]
    for acl in box.config.acl:
        if acl.name == name:
            texts = [*(str(rule) for rule in acl.rules), f"{acl.default} (default)"]
    return [
        {"rule": number, "text": rule, **count._asdict()}
        for number, (rule, count) in enumerate(zip(texts, counts, strict=True), 1)
    ]
