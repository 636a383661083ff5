"""bngd's end of the shared arena: commands, punts, completions, events, tables.

Records cross as bytes, packed here by ``struct`` formats that follow ``dataplane.h``; many records
cross in one call. Tables are read in place through cffi. This is the only module that may use
``Any``: cffi objects have no types.
"""

import errno
import os
import socket
import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from ipaddress import IPv4Address
from typing import Any, NamedTuple

from dataplane._arena import ffi as _ffi
from dataplane._arena import lib as _lib

ffi: Any = _ffi
lib: Any = _lib

NO_SESSION = 0xFFFFFFFF
CODE_PADT = b"\xa7"
"""RFC 2516 §5.5."""
ATTACH_TIMEOUT_S = 5.0
POP_BUFFER_BYTES = 1 << 16
PUNT_MAX_AGE_S = 2.0  # at attach: older punts are discarded

HELLO = struct.Struct("=QIIQIiII")
COMMAND = struct.Struct("=HHIIIQ40s")
BIND = struct.Struct("=QHHHHIIH6sB7x")
NAT_ADDRESS = struct.Struct("=4sIII24x")
UP = struct.Struct("=4sIHHHHH2xIHH12x")
ECHO = struct.Struct("=IIII24x")
POLICER = struct.Struct("=QQQQHB5x")
SESSION_ACL = struct.Struct("=HH36x")
SESSION_FORWARD = struct.Struct("=HHBB34x")
SESSION_BYPASS = struct.Struct("=H38x")
SESSION_STATIC = struct.Struct("=4s4s32x")
ACL_SET = struct.Struct("=III28x")
ROUTE = {4: struct.Struct("=4sI32x"), 16: struct.Struct("=16sI")}
"""By the length of an address."""
ACCESS = struct.Struct("=II32x")
NAT_SET = struct.Struct("=IIIIIII12x")
ACCESS_RANGE = struct.Struct("=HHHH")
COMPLETION = struct.Struct("=QiHH")
PUNT = struct.Struct("=QIIHHHH6s6sBBH")
INJECT = struct.Struct("=BBHIIHHHH6sHI")
INJECT_FRAMED = struct.Struct("=IIBBHIIHHHH6sHI")  # with RECORD_HEAD in front
EVENT = struct.Struct("=IIII")
NAT_LOG = struct.Struct("=QQBBHII4s4sHH")
RECORD_HEAD = struct.Struct("=II")
COMMAND_HEAD = RECORD_HEAD.pack(COMMAND.size, 0)
PADDING = tuple(bytes(-length & 7) for length in range(8))

CMD_FLAG_QUIET = 1
TOKENS_PER_BYTE = 1_000_000_000  # of a policer
INJECT_DISCOVERY = 1
INJECT_SESSION = 2


class CommandType(IntEnum):
    """``enum command_type`` of dataplane.h."""

    NOP = 1
    SESSION_BIND = 2
    SESSION_UP = 3
    SESSION_ECHO = 4
    SESSION_PAUSE = 5
    SESSION_CLOSE = 6
    SESSION_RELEASE = 7
    ROUTE4_ADD = 8
    ROUTE4_DEL = 9
    GATEWAY4_ADD = 10
    GATEWAY4_DEL = 11
    ACCESS_SET = 12
    MEASURE = 14
    SESSION_POLICER = 15
    TRACE = 16
    SESSION_ACL = 17
    ACL_SET = 18
    NAT_SET = 19
    SESSION_MOVE = 20
    NAT_ADDRESS = 21
    SESSION_FORWARD = 22
    SESSION_BYPASS = 23
    SESSION_STATIC = 24
    UNREACHABLE4_ADD = 25
    UNREACHABLE4_DEL = 26
    SESSION_IP6 = 27
    ROUTE6_ADD = 28
    ROUTE6_DEL = 29
    UNREACHABLE6_ADD = 30
    UNREACHABLE6_DEL = 31


class Ring(IntEnum):
    """``enum ring_kind`` of dataplane.h."""

    COMMAND = 0
    COMPLETION = 1
    PUNT = 2
    INJECT = 3
    EVENT = 4
    NAT_LOG = 5
    TRACE = 6


class PuntCause(IntEnum):
    """``enum punt_cause`` of dataplane.h."""

    DISCOVERY = 1
    LCP = 2
    AUTH = 3
    NCP = 4
    PPP_UNKNOWN = 5
    IP6_CONTROL = 6


class EventType(IntEnum):
    """``enum event_type`` of dataplane.h."""

    ECHO_LOST = 1
    IDLE = 2
    LOOP = 3
    PORT_UP = 4
    PORT_DOWN = 5
    NAT_REFUSED = 6


class Direction(IntEnum):
    """``enum direction`` of dataplane.h: IN is from the subscriber."""

    IN = 0
    OUT = 1


class NatRefusal(IntEnum):
    """``enum nat_refusal`` of dataplane.h: why a subscriber got no mapping."""

    PORTS = 1
    EXHAUSTED = 2
    LOG_FULL = 3
    MAPPINGS = 4
    RATE = 5
    TAKEN = 6
    NO_ROOM = 7


class NatFiltering(IntEnum):
    """``enum nat_filtering`` of dataplane.h."""

    ENDPOINT_INDEPENDENT = 0
    ADDRESS_DEPENDENT = 1


class NatMode(IntEnum):
    """``enum nat_mode`` of nat44_shared.h."""

    PORT_BLOCKS = 0
    DETERMINISTIC = 1


class PolicerMode(IntEnum):
    """``enum policer_mode`` of dataplane.h."""

    OFF = 0
    SRTCM = 1
    TRTCM = 2


class AclAction(IntEnum):
    """``enum acl_action`` of dataplane.h."""

    DENY = 0
    PERMIT = 1
    REJECT = 2


class Punt(NamedTuple):
    """A packet for the control plane; *data* as ``struct punt_record`` says."""

    monotonic_ns: int
    session: int
    generation: int
    outer_tpid: int
    outer_vid: int
    inner_tpid: int
    inner_vid: int
    source: bytes
    destination: bytes
    cause: int
    port: int
    full_len: int
    data: bytes

    @property
    def keeps(self) -> bool:
        """Whether it means the same however late it is read: it is a session's, or ends one.

        Who asks for a session asks again; nobody repeats a PADT.
        """
        return self.cause != PuntCause.DISCOVERY or self.data[1:2] == CODE_PADT


class Completion(NamedTuple):
    """The end of a command; *status* is 0 or a negative errno."""

    cookie: int
    status: int
    type: int


class Event(NamedTuple):
    """Something the dataplane saw; *session* is a port index for port events."""

    type: int
    session: int
    generation: int
    arg: int


class NatLogType(IntEnum):
    """``enum nat_log_type`` of dataplane.h."""

    BLOCK_ALLOCATED = 1
    BLOCK_RELEASED = 2
    MAPPING_CREATED = 3
    MAPPING_DELETED = 4
    FORWARD_ADDED = 5
    FORWARD_REMOVED = 6
    STATIC_ADDED = 7
    STATIC_REMOVED = 8


class NatLogRecord(NamedTuple):
    """What a session was given, or lost, of a public address; addresses are packed.

    *protocol* is of IP, 0 for all; *inner_port* of mappings and forwards.
    """

    sequence: int
    wall_ns: int
    type: int
    protocol: int
    inner_port: int
    session: int
    generation: int
    inner: bytes
    outer: bytes
    port_first: int
    port_last: int


class AttachError(Exception):
    """The dataplane cannot be attached. The text says why."""


def bind_record(
    session: int,
    generation: int,
    cookie: int,
    *,
    outer: tuple[int, int],
    inner: tuple[int, int],
    domain: int,
    domain_page: int,
    session_id: int,
    mac: bytes,
    port: int,
    quiet: bool = False,
) -> bytes:
    """Pack CMD_SESSION_BIND; *outer* and *inner* are (TPID, VID), TPID 0 for no tag."""
    body = BIND.pack(0, *outer, *inner, domain, domain_page, session_id, mac, port)
    flags = CMD_FLAG_QUIET if quiet else 0
    return COMMAND.pack(CommandType.SESSION_BIND, flags, session, generation, 0, cookie, body)


class NatSet(NamedTuple):
    """``struct nat_set`` of dataplane.h."""

    filtering: NatFiltering = NatFiltering.ENDPOINT_INDEPENDENT
    remotes_per_session: int = 4_096
    mappings_per_session: int = 0
    mappings_per_s: int = 0
    quarantine_s: int = 0
    quarantine_percent: int = 50
    log_mappings: bool = False


def nat_set_record(cookie: int, nat: NatSet) -> bytes:
    """Pack CMD_NAT_SET."""
    body = NAT_SET.pack(*nat)
    return COMMAND.pack(CommandType.NAT_SET, 0, 0, 0, 0, cookie, body)


def nat_address_record(
    cookie: int, address: bytes, index: int, mode: NatMode, *, on: bool
) -> bytes:
    """Pack CMD_NAT_ADDRESS: for the worker that owns the entry, and for the control thread."""
    body = NAT_ADDRESS.pack(address, index, mode, on)
    return COMMAND.pack(CommandType.NAT_ADDRESS, 0, 0, 0, 0, cookie, body)


def up_record(
    session: int,
    generation: int,
    cookie: int,
    *,
    ip4: bytes,
    nat_address: int,
    features_in: int,
    features_out: int,
    mtu_in: int,
    mtu_out: int,
    mss: int,
    idle_timeout_ms: int,
    nat_blocks: tuple[int, int] = (0, 0),
) -> bytes:
    """Pack CMD_SESSION_UP; *nat_address* is an index + 1, 0 for none.

    *nat_blocks* of a deterministic address: its first block + 1, and how many from there on.
    """
    features = (features_in, features_out)
    sizes = (mtu_in, mtu_out, mss)
    body = UP.pack(ip4, nat_address, *features, *sizes, idle_timeout_ms, *nat_blocks)
    return COMMAND.pack(CommandType.SESSION_UP, 0, session, generation, 0, cookie, body)


def echo_record(
    session: int,
    generation: int,
    *,
    our_magic: int,
    peer_magic: int,
    interval_ms: int,
    failures: int,
) -> bytes:
    """Pack CMD_SESSION_ECHO, quiet."""
    body = ECHO.pack(our_magic, peer_magic, interval_ms, failures)
    return COMMAND.pack(CommandType.SESSION_ECHO, CMD_FLAG_QUIET, session, generation, 0, 0, body)


def policer_record(
    session: int,
    generation: int,
    cookie: int,
    direction: Direction,
    mode: PolicerMode,
    *,
    cir_bps: int = 0,
    pir_bps: int = 0,
    cbs_bytes: int = 0,
    ebs_bytes: int = 0,
    overhead_bytes: int = 0,
) -> bytes:
    """Pack CMD_SESSION_POLICER of one direction, quiet; *ebs_bytes* is PBS with TRTCM."""
    body = POLICER.pack(cir_bps, pir_bps, cbs_bytes, ebs_bytes, overhead_bytes, mode)
    kind = CommandType.SESSION_POLICER
    return COMMAND.pack(kind, CMD_FLAG_QUIET, session, generation, direction, cookie, body)


def session_record(
    kind: CommandType,
    session: int,
    generation: int,
    cookie: int,
    arg: int = 0,
    *,
    quiet: bool = False,
) -> bytes:
    """Pack a session command without a body: PAUSE, CLOSE, RELEASE; MOVE, *arg* is a worker."""
    flags = CMD_FLAG_QUIET if quiet else 0
    return COMMAND.pack(kind, flags, session, generation, arg, cookie, b"")


def route_record(
    kind: CommandType,
    prefix: bytes,
    length: int,
    *,
    session: int = 0,
    generation: int = 0,
    cookie: int = 0,
    quiet: bool = False,
) -> bytes:
    """Pack ROUTE, GATEWAY (IPv4) or UNREACHABLE, _ADD or _DEL, of the family of *prefix*."""
    flags = CMD_FLAG_QUIET if quiet else 0
    body = ROUTE[len(prefix)].pack(prefix, length)
    return COMMAND.pack(kind, flags, session, generation, 0, cookie, body)


def access_record(port: int, ranges: list[tuple[int, int, int, int]], cookie: int) -> bytes:
    """Pack CMD_ACCESS_SET; each range is (outer low, outer high, inner low, inner high)."""
    body = ACCESS.pack(port, len(ranges))
    head = COMMAND.pack(CommandType.ACCESS_SET, 0, 0, 0, 0, cookie, body)
    return head + b"".join(ACCESS_RANGE.pack(*r) for r in ranges)


class Dataplane:
    """An attached dataplane.

    Commands and injected frames are queued and leave with :meth:`flush`, commands first within each
    group, so that a frame never overtakes the command it depends on. Commands wait for room;
    injected frames that find none are dropped and counted in *inject_dropped*.
    """

    def __init__(self, binding: Any, event_fd: int = -1, connection: Any = None) -> None:
        """Use :meth:`attach`; a test may pass a binding of its own."""
        self._binding = self.handle = binding
        self.event_fd = event_fd
        self._connection = connection
        self.header = ffi.cast("struct arena_header *", lib.binding_base(binding))
        self.n_workers: int = self.header.n_workers
        self.control_group: int = self.n_workers
        self.max_sessions: int = self.header.max_sessions
        groups = self.n_workers + 1
        # Framed as the rings' batches are: head, record, padding.
        self._commands: list[list[bytes]] = [[] for _ in range(groups)]
        self._injects: list[list[bytes]] = [[] for _ in range(self.n_workers)]
        self._used = ffi.new("uint32_t *")
        self._dirty: set[int] = set()
        self._buffer = ffi.new("uint8_t[]", POP_BUFFER_BYTES)
        self._view = memoryview(ffi.buffer(self._buffer))
        self.inject_dropped = 0
        self.ports = self._section("struct port_shared *", lib.SECTION_PORT)
        self.workers = self._section("struct worker_shared *", lib.SECTION_WORKER)
        self.session_in = self._section("struct session_in *", lib.SECTION_SESSION_IN)
        self.session_out = self._section("struct session_out *", lib.SECTION_SESSION_OUT)
        self.session_cold = self._section("struct session_cold *", lib.SECTION_SESSION_COLD)
        self.session_ip6 = self._section("struct session_ip6 *", lib.SECTION_SESSION_IP6)
        self.policer = self._section("struct policer *", lib.SECTION_POLICER)
        self.max_acls: int = lib.MAX_ACLS
        self.acl_memory_bytes: int = lib.ACL_MEMORY
        self.acl = self._section("uint64_t *", lib.SECTION_ACL)
        self._acl_memory = self._section("uint8_t *", lib.SECTION_ACL_MEMORY)
        self.nat_config = self._section("struct nat_config *", lib.SECTION_NAT_CONFIG)
        self.nat_address = self._section("struct nat_address *", lib.SECTION_NAT_ADDRESS)
        self.nat_block = self._section("struct nat_block *", lib.SECTION_NAT_BLOCK)
        self.nat_forward = self._section("struct nat_forward *", lib.SECTION_NAT_FORWARD)
        self.nat_protocol = self._section("struct nat_protocol *", lib.SECTION_NAT_PROTOCOL)
        self.nat_slot = self._section("struct nat_slot *", lib.SECTION_NAT_SLOT)
        self.adjacencies = self._section("struct adjacency *", lib.SECTION_ADJACENCY)
        self.mirror = self._section("struct mirror_shared *", lib.SECTION_MIRROR)
        self.node_names = self._section("struct node_name *", lib.SECTION_NODE)
        self.node_runtime = self._section("struct node_runtime *", lib.SECTION_NODE_RUNTIME)
        self.fib4_root = self._words(lib.SECTION_FIB4_ROOT)
        self.fib4_pages = self._words(lib.SECTION_FIB4_PAGE)
        self.fib6_root = self._words(lib.SECTION_FIB6_ROOT)
        self.fib6_heads = self._section("struct fib6_head *", lib.SECTION_FIB6_HEAD)
        self.fib6_slots = self._words(lib.SECTION_FIB6_SLOT)
        self.rings = self._section("struct ring *", lib.SECTION_RING)

    @classmethod
    def attach(cls, path: str) -> "Dataplane":
        """Take the lease on the dataplane that listens at *path*.

        Raises: AttachError when it is not there, has another layout, or another bngd holds it.
        """
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        connection.settimeout(ATTACH_TIMEOUT_S)
        try:
            connection.connect(path)
            data, fds, _, _ = socket.recv_fds(connection, HELLO.size, 32)
        except OSError as error:
            connection.close()
            raise AttachError(f"{path}: {error.strerror or error}") from None
        try:
            size, n_groups = cls._check_hello(path, data)
        except AttachError:
            connection.close()
            for fd in fds:
                os.close(fd)
            raise
        arena_fd, event_fd, *group_fds = fds
        binding = lib.binding_map(arena_fd, size, group_fds, n_groups)
        if binding == ffi.NULL:
            connection.close()
            for fd in fds:
                os.close(fd)
            raise AttachError(f"{path}: cannot map the arena: {os.strerror(ffi.errno)}")
        return cls(binding, event_fd, connection)

    @staticmethod
    def _check_hello(path: str, data: bytes) -> tuple[int, int]:
        if len(data) != HELLO.size:
            raise AttachError(f"{path}: a hello of {len(data)} bytes, expected {HELLO.size}")
        magic, version, layout_hash, size, n_groups, error, lease_pid, _ = HELLO.unpack(data)
        if magic != lib.binding_arena_magic():
            raise AttachError(f"{path}: not a bng dataplane")
        if error == -errno.EBUSY:
            raise AttachError(f"{path}: another bngd (pid {lease_pid}) holds the lease")
        if error:
            raise AttachError(f"{path}: refused: {os.strerror(-error)}")
        ours = (lib.ARENA_LAYOUT_VERSION, lib.binding_layout_hash())
        if (version, layout_hash) != ours:
            raise AttachError(
                f"{path}: arena layout {version}/{layout_hash:08x}, this bngd has "
                f"{ours[0]}/{ours[1]:08x}: restart the dataplane"
            )
        return size, n_groups

    def fileno(self) -> int:
        """Descriptor of the lease: readable (end of file) when the dataplane is gone."""
        return int(self._connection.fileno()) if self._connection is not None else -1

    def close(self) -> None:
        """Give the lease back and unmap."""
        if self._connection is not None:
            self._connection.close()
        if self.event_fd >= 0:
            os.close(self.event_fd)
        lib.binding_unmap(self._binding)

    def _section(self, ctype: str, section: int) -> Any:
        return ffi.cast(ctype, lib.binding_section(self._binding, section))

    # ---- to the dataplane ----

    def command(self, group: int, record: bytes) -> None:
        """Queue a command for a ring group: a worker, or :attr:`control_group`."""
        if len(record) == COMMAND.size:
            self._commands[group].append(COMMAND_HEAD + record)
        else:
            head = RECORD_HEAD.pack(len(record), 0)
            self._commands[group].append(head + record + PADDING[len(record) & 7])
        self._dirty.add(group)

    def push_prepared(self, group: int, records: bytes, length: int) -> int:
        """Push prepared records of *length* bytes each at once; returns how many found room."""
        pushed: int = lib.binding_push(
            self._binding,
            group,
            Ring.COMMAND,
            ffi.from_buffer("uint8_t[]", records),
            length,
            len(records) // length,
        )
        lib.binding_kick(self._binding, group)
        return pushed

    def inject_discovery(
        self,
        worker: int,
        port: int,
        outer: tuple[int, int],
        inner: tuple[int, int],
        destination: bytes,
        payload: bytes,
    ) -> None:
        """Queue a discovery packet: all after the EtherType; C adds Ethernet and tags."""
        size = len(payload)
        head = INJECT_FRAMED.pack(
            INJECT.size + size, 0, INJECT_DISCOVERY, port, 0, NO_SESSION, 0, *outer, *inner,
            destination, 0, 0,
        )  # fmt: skip
        self._injects[worker].append(head + payload + PADDING[size & 7])
        self._dirty.add(worker)

    def inject_session(self, worker: int, session: int, generation: int, frame: bytes) -> None:
        """Queue a PPP frame, from its protocol field on, into a session."""
        size = len(frame)
        head = INJECT_FRAMED.pack(
            INJECT.size + size, 0, INJECT_SESSION, 0, 0, session, generation, 0, 0, 0, 0, b"", 0, 0
        )
        self._injects[worker].append(head + frame + PADDING[size & 7])
        self._dirty.add(worker)

    def flush(self) -> bool:
        """Move what is queued into the rings and wake workers. False: commands still wait."""
        waiting = False
        for group in tuple(self._dirty):
            if self._drain(group):
                self._dirty.discard(group)
            else:
                waiting = True
            lib.binding_kick(self._binding, group)
        return not waiting

    def _drain(self, group: int) -> bool:
        commands = self._commands[group]
        if commands:
            del commands[: self._push_framed(group, Ring.COMMAND, commands)]
            if commands:
                return False
        if group < self.n_workers and (injects := self._injects[group]):
            self.inject_dropped += len(injects) - self._push_framed(group, Ring.INJECT, injects)
            injects.clear()
        return True

    def _push_framed(self, group: int, ring: Ring, framed: list[bytes]) -> int:
        batch = b"".join(framed)
        return int(
            lib.binding_push_framed(self._binding, group, ring, batch, len(batch), self._used)
        )

    # ---- from the dataplane ----

    def _pop(self, group: int, ring: Ring) -> Iterator[tuple[int, int]]:
        used = lib.binding_pop(self._binding, group, ring, self._buffer, POP_BUFFER_BYTES)
        at = 0
        while at < used:
            length = RECORD_HEAD.unpack_from(self._view, at)[0]
            yield at + 8, length
            at += 8 + (length + 7 & ~7)

    def punts(self, worker: int) -> list[Punt]:
        """Take a batch of punted packets of *worker*, oldest first; [] when there are none."""
        view = self._view
        size = PUNT.size
        return [
            Punt._make((*PUNT.unpack_from(view, at), bytes(view[at + size : at + length])))
            for at, length in self._pop(worker, Ring.PUNT)
            if length >= size
        ]

    def completions(self, group: int) -> list[Completion]:
        """Take the completions of a ring group."""
        view = self._view
        return [
            Completion(*COMPLETION.unpack_from(view, at)[:3])
            for at, length in self._pop(group, Ring.COMPLETION)
            if length == COMPLETION.size
        ]

    def events(self, group: int) -> list[Event]:
        """Take the events of a ring group."""
        view = self._view
        return [
            Event(*EVENT.unpack_from(view, at))
            for at, length in self._pop(group, Ring.EVENT)
            if length == EVENT.size
        ]

    def records(self, group: int, ring: Ring) -> list[bytes]:
        """Take a batch of any ring's records, oldest first."""
        return [bytes(self._view[at : at + length]) for at, length in self._pop(group, ring)]

    def discard_stale_punts(self, now_ns: int) -> tuple[list[Punt], int]:
        """At attach: return the punts that can be served, and how many were too old for that."""
        oldest = now_ns - int(PUNT_MAX_AGE_S * 1e9)
        fresh: list[Punt] = []
        stale = 0
        for worker in range(self.n_workers):
            while batch := self.punts(worker):
                young = [p for p in batch if p.keeps or p.monotonic_ns >= oldest]
                stale += len(batch) - len(young)
                fresh += young
        return fresh, stale

    def sleep(self) -> bool:
        """Announce that bngd waits on :attr:`event_fd`. False: records came in, do not wait."""
        return not lib.binding_sleep(self._binding)

    def awake(self) -> None:
        """Take the announcement back: no more wake-ups are written."""
        lib.binding_awake(self._binding)

    def idle(self, group: int) -> bool:
        """Say whether every command queued for a ring group has been carried out."""
        pending = lib.binding_pending(self._binding, group, Ring.COMMAND)
        return not self._commands[group] and not pending

    def read_acl(self, offset: int, size: int) -> bytes:
        """Return an ACL as it stands there, counters and all."""
        return bytes(ffi.buffer(self._acl_memory + offset, size))

    def write_acl(self, offset: int, compiled: bytes) -> None:
        """Write a compiled ACL where no worker reads. Raises: ValueError when it is too long."""
        if offset + len(compiled) > self.acl_memory_bytes:
            raise ValueError(f"an ACL of {len(compiled)} bytes at {offset}")
        ffi.memmove(self._acl_memory + offset, compiled, len(compiled))

    # ---- control records ----

    def write_control(self, session: int, generation: int, data: bytes) -> None:
        """Write bngd's own record of a session.

        Raises: ValueError when the session is out of range or *data* too long.
        """
        status = lib.binding_control_write(
            self._binding, session, generation, data, len(data), zlib.crc32(data)
        )
        if status:
            raise ValueError(f"control record of session {session}: {len(data)} bytes")

    def clear_control(self, session: int) -> None:
        """Forget bngd's own record of a session."""
        lib.binding_control_clear(self._binding, session)

    def read_control(self, session: int) -> tuple[int, bytes] | None:
        """Return (generation, data) of the newest intact record of a session."""
        record = self._section("struct control_record *", lib.SECTION_CONTROL)[session]
        if not record.sequence:
            return None
        for slot in (record.slot[record.sequence & 1], record.slot[1 - (record.sequence & 1)]):
            if slot.sequence and slot.length <= lib.CONTROL_RECORD_LEN:
                data = bytes(ffi.buffer(slot.data, slot.length))
                if zlib.crc32(data) == slot.crc32:
                    return int(slot.generation), data
        return None

    def remembered_control(self, session: int, generation: int) -> bytes | None:
        """Return the data that bngd wrote of a session, even of one that has ended since.

        None when the entry has been used for another one in the meantime.
        """
        if session >= self.max_sessions:
            return None
        record = self._section("struct control_record *", lib.SECTION_CONTROL)[session]
        for slot in sorted(record.slot, key=lambda slot: int(slot.sequence), reverse=True):
            if slot.generation == generation and 0 < slot.length <= lib.CONTROL_RECORD_LEN:
                data = bytes(ffi.buffer(slot.data, slot.length))
                if zlib.crc32(data) == slot.crc32:
                    return data
        return None

    # ---- what show prints ----

    def edge_counters(self) -> dict[tuple[str, str, str], int]:
        """Sum over workers of every edge: (node, next node, drop reason or "") to packets."""
        names = self._section("struct node_name *", lib.SECTION_NODE)
        counters = self._section("uint64_t *", lib.SECTION_EDGE_COUNTER)
        per_worker = lib.MAX_NODES * lib.MAX_EDGES
        sums: dict[tuple[str, str, str], int] = {}
        for n in range(self.header.n_nodes):
            node = ffi.string(names[n].name).decode()
            for e in range(names[n].n_edges):
                edge = names[n].edge[e]
                following = ffi.string(edge.next).decode()
                if not following:
                    continue
                key = (node, following, ffi.string(edge.reason).decode())
                total = sum(
                    counters[w * per_worker + n * lib.MAX_EDGES + e] for w in range(self.n_workers)
                )
                sums[key] = sums.get(key, 0) + total
        return sums

    def port_names(self) -> list[str]:
        """Return the port names; a name's position is the port index."""
        return [ffi.string(self.ports[i].name).decode() for i in range(self.header.n_ports)]

    def id_tables(self) -> Iterator[tuple[int, int, int, dict[int, int]]]:
        """Yield (port, outer VID, domain, pages by the ids' upper 8 bits) of every id table."""
        domains = self._words(lib.SECTION_DOMAIN)
        for at, domain in enumerate(self._words(lib.SECTION_DOMAIN_DIRECTORY)):
            if domain:
                first = (domain - 1) * lib.DOMAIN_PAGES
                entries = domains[first : first + lib.DOMAIN_PAGES]
                pages = {number: page - 1 for number, page in enumerate(entries) if page}
                yield at >> 12, at & 0xFFF, domain - 1, pages

    def _words(self, section: int) -> memoryview:
        """Return a section of 32-bit words."""
        size = self.header.section[section].stride * self.header.section[section].count
        start = lib.binding_section(self._binding, section)
        return memoryview(ffi.buffer(start, size)).cast("B").cast("I")

    def nat_addresses(self) -> list[tuple[int, IPv4Address, int, NatMode]]:
        """Return (index, address, owner worker, mode) of each public address."""
        entries = ((i, self.nat_address[i]) for i in range(self.header.n_nat_addresses))
        return [
            (
                index,
                IPv4Address(int(entry.address).to_bytes(4, "little")),
                int(entry.owner),
                NatMode(entry.mode),
            )
            for index, entry in entries
            if entry.address
        ]

    def nat_free_blocks(self, index: int) -> int:
        """Return how many port blocks a NAT address has left."""
        return int(self.nat_address[index].free_blocks)

    def boot(self) -> int:
        """Return what names this run of the dataplane: when it began, ns since 1970."""
        return int(self.header.boot_wall_ns)

    def epochs(self) -> tuple[int, ...]:
        """Return how many vector boundaries each worker has passed."""
        return tuple(int(self.workers[w].epoch) for w in range(self.n_workers))

    def busy_s(self) -> tuple[float, ...]:
        """Return how long each worker has had something to do, in seconds since the start."""
        hz = int(self.header.tsc_hz)
        return tuple(int(self.workers[w].busy_clocks) / hz for w in range(self.n_workers))

    def secret(self) -> bytes:
        """Return 32 random bytes that live as long as the arena."""
        return bytes(ffi.buffer(self.header.secret))
