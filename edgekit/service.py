"""The systemd service of a store file: a unit that starts at boot, is watched, restarted for ever, and may do little.

The sandbox is what `systemd-analyze security` grades; what is left open is what a camera loop needs, and each of these
has its comment in the unit. See systemd.exec(5), systemd.service(5), systemd.syntax(7).
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgekit.errors import EdgekitError
from edgekit.files import write_text

_UNITS = Path("/etc/systemd/system")
_HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))  # by ProtectHome= and PrivateTmp=
_STEPS_SINCE = 254  # the systemd that learned RestartSteps=; Debian 12 has 252, Debian 13 has 257

GROUPS = ("video", "render")
DEVICES = ("char-video4linux", "char-media", "char-dma_heap", "char-drm")


@dataclass(frozen=True)
class Service:
    """What the unit says. All paths are absolute, as the booted system sees them.

    store: the store file. command: the program `edgekit`. arguments: what follows `edgekit run store.toml`. name: of
    the unit, and of its folders in /var/lib and /var/cache. user: a system user that exists; without one systemd makes
    one up while the service runs. groups: who may open the cameras and the GPU. devices: what systemd lets be opened, a
    path in /dev or a group of /proc/devices. reads: what it needs of the folders that a service does not see (/home,
    /root, /tmp). writes: folders beside /var/lib/<name> that it writes to; they belong to `user`. credentials: files
    with a secret, by name, which only root need be able to read; the store file then says
    'file:/run/credentials/<unit>/<name>'. watchdog_s: without a sign of progress for so long, systemd starts it anew.
    restart_s, restart_longest_s: the waits before. systemd: its version, where it is known.
    """

    store: Path
    command: Path
    arguments: tuple[str, ...] = ()
    name: str = "edgekit"
    user: str | None = None
    groups: tuple[str, ...] = GROUPS
    devices: tuple[str, ...] = DEVICES
    reads: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()
    credentials: Mapping[str, Path] = field(default_factory=dict)
    watchdog_s: int = 30
    restart_s: int = 2
    restart_longest_s: int = 60
    systemd: int | None = None

    def __post_init__(self) -> None:
        for path in (self.store, self.command, *self.reads, *self.writes, *self.credentials.values()):
            if not path.is_absolute() or ".." in path.parts:
                raise ValueError(f"a service's paths are absolute and without '..'; got '{path}'")
        for name in (self.name, *self.credentials):
            if not re.fullmatch(r"[A-Za-z0-9_-]{1,60}", name):
                raise ValueError(f"a service's name is of letters, digits, '-' and '_'; got '{name}'")
        for name in (*self.groups, *filter(None, [self.user])):
            if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,30}", name):
                raise ValueError(f"users and groups are of small letters, digits, '-' and '_'; got '{name}'")
        if self.user == "root":
            raise ValueError("the service does not run as root: name a system user, or none")
        if self.writes and self.user is None:
            raise ValueError(
                f"a user that systemd makes up owns nothing outside /var/lib/{self.name}; "
                f"name a system user that may write to {', '.join(map(str, self.writes))}"
            )
        if not 0 < self.restart_s <= self.restart_longest_s or self.watchdog_s < 1:
            raise ValueError(
                "need watchdog_s >= 1 and 0 < restart_s <= restart_longest_s; "
                f"got {self.watchdog_s}, {self.restart_s}, {self.restart_longest_s}"
            )

    @property
    def unit(self) -> str:
        """The unit's name, as `systemctl` takes it."""
        return f"{self.name}.service"


@dataclass(frozen=True)
class Installed:
    """Where the unit was written, and what to type next, in order."""

    path: Path
    commands: tuple[str, ...]


def unit(service: Service) -> str:
    """The text of the unit file."""
    start = " ".join(_argument(word) for word in (str(service.command), "run", str(service.store), *service.arguments))
    return f"""\
[Unit]
Description=edgekit: {_line(service.store)}
# Not after the network is up: cameras and broker are tried for ever, and the outbox keeps what happens until then.
After=network.target
# Never "start request repeated too quickly": a device in a shop that stays down is the worst outcome.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={start}
# It says that it is ready when its loop runs, and pings only while frames and the outbox make progress.
TimeoutStartSec=120
WatchdogSec={service.watchdog_s}
Restart=always
{_restart(service)}
# It ends its children in order itself; what is left after the time is killed.
KillMode=mixed
TimeoutStopSec=20
# A child that was killed for its memory is started anew by the supervisor; systemd's default would stop all.
OOMPolicy=continue
# A core would hold frames and passwords.
LimitCORE=0

{_account(service)}
StateDirectory={service.name}
StateDirectoryMode=0750
# What an engine has compiled for this board, for a quicker start.
CacheDirectory={service.name}
CacheDirectoryMode=0750
WorkingDirectory=%S/{service.name}
UMask=0077

NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
# The groups of the cameras still count: the kernel compares numbers, though inside they have no names.
PrivateUsers=yes
PrivateTmp=yes
PrivateIPC=yes
PrivateMounts=yes
ProtectSystem=strict
ProtectHome=tmpfs
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
KeyringMode=private
{_paths(service)}
# Cameras over the network, a broker, the page; AF_UNIX for the children and for systemd.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6

# Not PrivateDevices=yes: cameras are /dev/video*, /dev/media* and /dev/dma_heap/*, GPUs are /dev/dri/*.
DevicePolicy=closed
{_devices(service)}

# Not ProcSubset=pid: /proc/meminfo and /proc/pressure tell of free memory, /proc/cpuinfo what the engines may use.
# Not MemoryDenyWriteExecute=yes: OpenVINO writes its kernels at run time, and fails with "can't protect".
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
# Of @resources: OpenVINO and ONNX Runtime pin threads to cores, OpenVINO binds memory to a NUMA node, and a child may
# be made nicer.
SystemCallFilter=sched_setaffinity mbind setpriority
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


def install(service: Service, check: Callable[[Path], object], root: Path | str = "/") -> Installed:
    """Write the unit into the system under `root`, whole or not at all. Nothing is started or enabled.

    check: reads the store file and raises an EdgekitError where it is none. `EdgekitError` too where the program, the
    user or a group does not exist there, where the service's user could not read the store, and where the folder may
    not be written to.
    """
    root = Path(root)
    check(_under(root, service.store))
    _must_start(service, root)
    path = _under(root, _UNITS) / service.unit
    there = path.exists()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgekitError(f"{path.parent}: {error.strerror or error}") from error
    if not os.access(path.parent, os.W_OK):
        raise EdgekitError(f"{path.parent} may not be written to by you: type the same after sudo, or give --root DIR")
    write_text(path, unit(service))
    return Installed(path, _next(service, root, there))


def systemd_version() -> int | None:
    """The major version of the systemd that is installed here; None where there is none."""
    try:
        said = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.match(r"systemd (\d+)", said.stdout)
    return None if version is None else int(version[1])


def hidden(path: Path) -> bool:
    """Whether a service does not see `path` unless it is among its `reads`."""
    return any(path.is_relative_to(each) for each in _HIDDEN)


def _restart(service: Service) -> str:
    growing = f"RestartSteps=5\nRestartMaxDelaySec={service.restart_longest_s}"
    if service.systemd is not None and service.systemd >= _STEPS_SINCE:
        return f"RestartSec={service.restart_s}\n{growing}"
    commented = "\n".join(f"#{line}" for line in growing.splitlines())
    return (
        f"RestartSec={service.restart_s}\n"
        f"# Longer waits after each failure, for systemd {_STEPS_SINCE} and later:\n"
        f"{commented}"
    )


def _account(service: Service) -> str:
    lines = ["DynamicUser=yes" if service.user is None else f"User={service.user}"]
    if service.groups:
        lines.append(f"SupplementaryGroups={' '.join(service.groups)}")
    return "\n".join(lines)


def _paths(service: Service) -> str:
    """What is seen of the hidden folders, and what may be written to."""
    reads = {path for path in (service.store.parent, *service.reads) if hidden(path)}
    lines = [f"BindReadOnlyPaths={_word(path)}" for path in sorted(reads) if reads.isdisjoint(path.parents)]
    lines += [f"{'BindPaths' if hidden(path) else 'ReadWritePaths'}={_word(path)}" for path in service.writes]
    lines += [f"LoadCredential={name}:{_line(path)}" for name, path in service.credentials.items()]
    return "\n".join(lines)


def _devices(service: Service) -> str:
    return "\n".join(f"DeviceAllow={_word(each)} rw" for each in service.devices)


def _argument(text: str) -> str:
    """One word of ExecStart=, where '$' begins a variable too."""
    return _word(text.replace("$", "$$"))


def _word(text: Path | str) -> str:
    """One word among others on a line: quoted where it must be, '%' doubled, since it begins a specifier."""
    line = _line(text)
    if re.fullmatch(r"[\w@%+=,./$-]+", line, re.ASCII):  # without ':', which ends a path of BindPaths=
        return line
    return '"' + line.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _line(text: Path | str) -> str:
    """A whole value of a setting."""
    line = str(text)
    if not line.isprintable():
        raise ValueError(f"a unit file cannot hold {line!r}: it has a line break or a control character in it")
    return line.replace("%", "%%")


def _under(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _must_start(service: Service, root: Path) -> None:
    """All that would let the unit fail at every start, found while somebody is there to read it."""
    command, store = _under(root, service.command), _under(root, service.store)
    if not os.access(command, os.X_OK):
        raise EdgekitError(f"{command} is no program that can be run: name that of edgekit with --command")
    if service.user is None:
        _must_be_open(store, root, seen_alone=hidden(service.store))
    _must_exist("user", filter(None, [service.user]), root / "etc/passwd", "sudo useradd --system {}")
    _must_exist(
        "group", service.groups, root / "etc/group", "sudo groupadd --system {}, or give --group for each other"
    )


def _must_be_open(store: Path, root: Path, seen_alone: bool) -> None:
    """To everybody: the store file and its folders, or where only its own folder is bound into the service, that."""
    folders = [each for each in store.parents if each.is_relative_to(root) and each != root]
    closed = [each for each in folders[: 1 if seen_alone else None] if not each.stat().st_mode & 0o001]
    closed += [] if store.stat().st_mode & 0o004 else [store]
    if closed:
        raise EdgekitError(
            f"{closed[0]} cannot be read by the user that systemd makes up: chmod o+rX it, or give --user"
        )


def _must_exist(what: str, names: Iterable[str], table: Path, remedy: str) -> None:
    try:
        known = {line.partition(":")[0] for line in table.read_text(encoding="utf-8").splitlines()}
    except OSError as error:
        raise EdgekitError(f"{table}: {error.strerror or error}") from error
    for name in names:
        if name not in known:
            raise EdgekitError(f"no {what} '{name}' in {table}: {remedy.format(name)}")


def _next(service: Service, root: Path, there: bool) -> tuple[str, ...]:
    if root != Path("/"):
        return (f"systemctl --root={root} enable {service.unit}",)
    start = [f"systemctl enable {service.unit}", f"systemctl restart {service.unit}"] if there else []
    return (
        "systemctl daemon-reload",
        *(start or [f"systemctl enable --now {service.unit}"]),
        f"journalctl --unit={service.unit} --follow",
    )
