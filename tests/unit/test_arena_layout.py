"""The layout hash sees every field that two processes must agree on."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2] / "dataplane"
OUTSIDE = {"attach_hello"}  # carries the hash


def structs() -> dict[str, set[str]]:
    """Return the fields of every struct of the shared headers, reserved ones left out."""
    texts = [path.read_text() for path in (ROOT / "include").glob("*.h")]
    shared = "".join(t.split("/* cdef begin */")[1].split("/* cdef end */")[0] for t in texts)
    shared = re.sub(r"/\*.*?\*/", "", shared, flags=re.DOTALL)
    found = {}
    for name, body in re.findall(r"^struct (\w+) \{\n(.*?)^\};", shared, re.DOTALL | re.MULTILINE):
        body = re.sub(r"union \{([^}]*)\};", r"\1", body)  # without a name: fields like others
        body = re.sub(r"union \{.*?\}", "union", body, flags=re.DOTALL)
        names = re.findall(r"(\w+)(?:\[\w+\])?(?=[,;])", body)
        found[name] = {field for field in names if not field.startswith("reserved")}
    return found


def test_the_layout_hash_covers_every_struct_and_field() -> None:
    rows = (ROOT / "src" / "layout.c").read_text()
    sizes = set(re.findall(r"SIZE\((\w+)\)", rows.split("layout[] =")[1]))
    fields = set(re.findall(r"FIELD\((\w+), (\w+)\)", rows.split("layout[] =")[1]))
    known = structs()
    assert {"session_in", "command", "ring"} <= known.keys()
    assert {"mac", "tx", "mtu"} <= known["port_shared"]
    assert {"outer_low", "outer_high"} <= known["access_range"]
    wanted = {name for name in known if name not in OUTSIDE}
    assert sizes == wanted
    assert fields == {(name, field) for name in wanted for field in known[name]}
