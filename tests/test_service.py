"""The systemd unit of a store file. systemd's own programs are the oracle of its syntax, grade and call filter."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from edgekit.cli import service as command
from edgekit.errors import EdgekitError, SettingsError
from edgekit.service import Installed, Service, hidden, install, systemd_version, unit

SERVICE = Service(store=Path("/etc/edgekit/store.toml"), command=Path("/opt/edgekit/bin/edgekit"))
AWKWARD = Path('/home/a b/50% "x":y\\z$HOME')
SYSTEMD = Path("/lib/systemd/systemd")
NOBODY = 65534

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None or not SYSTEMD.exists(), reason="no systemd is installed here"
)


def lines(text: str, key: str) -> list[str]:
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(key + "=")]


def test_it_is_watched_restarted_for_ever_and_not_root():
    text = unit(SERVICE)
    said = {
        key: lines(text, key) for key in ("Type", "NotifyAccess", "WatchdogSec", "Restart", "StartLimitIntervalSec")
    }
    assert said == {
        "Type": ["notify"],
        "NotifyAccess": ["main"],
        "WatchdogSec": ["30"],
        "Restart": ["always"],
        "StartLimitIntervalSec": ["0"],
    }
    assert lines(text, "ExecStart") == ["/opt/edgekit/bin/edgekit run /etc/edgekit/store.toml"]
    assert (lines(text, "DynamicUser"), lines(text, "User")) == (["yes"], [])
    assert lines(text, "SupplementaryGroups") == ["video render"]


def test_a_system_user_takes_the_place_of_a_made_up_one():
    text = unit(replace(SERVICE, user="shop", groups=(), writes=(Path("/srv/seen"),)))
    assert (lines(text, "DynamicUser"), lines(text, "User"), lines(text, "SupplementaryGroups")) == ([], ["shop"], [])
    assert lines(text, "ReadWritePaths") == ["/srv/seen"]


@pytest.mark.parametrize(("version", "known"), [(None, False), (252, False), (253, False), (254, True), (257, True)])
def test_growing_waits_are_a_comment_where_systemd_does_not_know_them(version, known):
    text = unit(replace(SERVICE, systemd=version))
    assert lines(text, "RestartSteps") == (["5"] if known else [])
    assert lines(text, "#RestartSteps") == ([] if known else ["5"])


def test_what_a_service_does_not_see_is_bound_into_it():
    at_home = replace(
        SERVICE,
        store=Path("/home/pi/shop/store.toml"),
        reads=(Path("/home/pi/venv"), Path("/home/pi/venv/lib"), Path("/usr")),
        user="pi",
        writes=(Path("/home/pi/seen"),),
    )
    text = unit(at_home)
    assert lines(text, "BindReadOnlyPaths") == ["/home/pi/shop", "/home/pi/venv"]
    assert lines(text, "BindPaths") == ["/home/pi/seen"]
    assert hidden(Path("/root/x"))
    assert not hidden(Path("/srv/homestead"))


WRONG: list[tuple[dict[str, object], str]] = [
    ({"store": Path("store.toml")}, "absolute and without '..'; got 'store.toml'"),
    ({"store": Path("/etc/../x.toml")}, "without '..'"),
    ({"name": "edge kit"}, "got 'edge kit'"),
    ({"name": "../x"}, "letters, digits"),
    ({"user": "root"}, "does not run as root"),
    ({"user": "a\nExecStartPre=/bin/sh"}, "small letters"),
    ({"groups": ("video\n",)}, "small letters"),
    ({"credentials": {"m:q": Path("/etc/x")}}, "got 'm:q'"),
    ({"writes": (Path("/srv/seen"),)}, "name a system user that may write to /srv/seen"),
    ({"watchdog_s": 0}, "watchdog_s >= 1"),
    ({"restart_s": 90}, "restart_s <= restart_longest_s"),
]


@pytest.mark.parametrize(("change", "says"), WRONG, ids=[says for _, says in WRONG])
def test_a_service_that_cannot_be_is_refused(change, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        replace(SERVICE, **change)


@pytest.mark.parametrize("field", ["store", "command"])
def test_a_line_break_in_a_path_cannot_add_a_setting(field):
    with pytest.raises(ValueError, match="line break"):
        unit(replace(SERVICE, **{field: Path("/etc/x\nExecStartPre=/bin/sh")}))


# -- what systemd itself makes of it


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may read; pytest's own are for one user only, and systemd's test mode refuses root."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def understood(text: str, folder: Path) -> str:
    """All that systemd has read of the unit, as its test mode dumps it."""
    (folder / "edgekit.service").write_text(text)
    (folder / "default.target").write_text("[Unit]\nRequires=edgekit.service\n")
    root = os.geteuid() == 0
    dump = subprocess.run(
        [str(SYSTEMD), "--test", "--system", "--no-pager"],
        env={"SYSTEMD_UNIT_PATH": f"{folder}:", "SYSTEMD_LOG_TARGET": "console", "HOME": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        user=NOBODY if root else None,
        group=NOBODY if root else None,
        extra_groups=[] if root else None,
    )
    units = re.split(r"^\s*-> Unit ", dump.stdout, flags=re.MULTILINE)
    found = [each for each in units if each.startswith("edgekit.service:")]
    if not found:
        pytest.skip(f"systemd's test mode does not run here: {dump.stderr[-200:]}")
    return found[0]


def dumped(dump: str, key: str) -> list[str]:
    return re.findall(rf"^\s*{key}: (.*)$", dump, re.MULTILINE)


@needs_systemd
def test_systemd_reads_an_awkward_path_back_as_it_was_meant(folder):
    awkward = replace(
        SERVICE,
        store=AWKWARD / "store.toml",
        arguments=(";", "--web"),
        user="daemon",
        writes=(Path("/srv/x y:z"), Path("/home/w%n")),
        credentials={"mqtt": Path("/etc/a b%.txt")},
    )
    dump = understood(unit(awkward), folder)
    assert dumped(dump, "Description") == [f"edgekit: {AWKWARD}/store.toml"]
    assert dumped(dump, "BindReadOnlyPaths") == [f"{AWKWARD}:{AWKWARD}:rbind"]
    assert dumped(dump, "ReadWritePaths") == ["/srv/x y:z"]
    assert dumped(dump, "BindPaths") == ["/home/w%n:/home/w%n:rbind"]
    assert dumped(dump, "WorkingDirectory") == ["/var/lib/edgekit"]
    assert dumped(dump, "Restart") == ["always"]
    assert dumped(dump, "WatchdogSec") == ["30s"]
    assert dumped(dump, "OOMPolicy") == ["continue"]
    # the dump quotes the words again, by the same rules
    assert dumped(dump, "Command Line") == [
        '/opt/edgekit/bin/edgekit run "/home/a b/50% \\"x\\":y\\\\z\\$\\$HOME/store.toml" ";" --web'
    ]


@needs_systemd
def test_systemd_finds_nothing_wrong_with_it(folder):
    """The control: of an unknown setting, a missing program and an unquoted space it does complain."""
    program = folder / "a b" / "50%" / "edgekit"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = unit(replace(SERVICE, command=program, systemd=systemd_version()))
    path = folder / "edgekit.service"

    def complaints(text: str) -> str:
        path.write_text(text)
        said = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, timeout=60)
        return "".join(line for line in said.stderr.splitlines() if "edgekit" in line or "a b" in line)

    assert complaints(text) == ""
    assert "Unknown key" in complaints(text.replace("UMask=", "UMaks="))
    assert "not executable" in complaints(text.replace('"', ""))


@needs_systemd
@pytest.mark.parametrize("user", [None, "daemon"])
def test_its_exposure_is_at_most_two(folder, user):
    path = folder / "edgekit.service"

    def exposure(text: str) -> tuple[int, float]:
        path.write_text(text)
        grade = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", path],
            capture_output=True,
            text=True,
            timeout=60,
        )
        return grade.returncode, float(re.findall(r"exposure level for .*: ([\d.]+)", grade.stdout)[0])

    text = unit(replace(SERVICE, user=user))
    code, level = exposure(text)
    assert (code, level <= 2.0) == (0, True)
    code, level = exposure(text.replace("SystemCallFilter", "#").replace("CapabilityBoundingSet", "#"))
    assert (code, level > 2.0) == (1, True)  # the threshold does tell


INSIDE = """
import ctypes, mmap, os, socket, sqlite3, sys, tempfile, threading
ring = os.memfd_create("ring"); os.ftruncate(ring, 1 << 20); mmap.mmap(ring, 1 << 20)[0] = 1
socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
assert ctypes.CDLL(None).prctl(1, 9, 0, 0, 0) == 0  # PR_SET_PDEATHSIG
os.nice(5); os.sched_setaffinity(0, os.sched_getaffinity(0))
thread = threading.Thread(target=lambda: None); thread.start(); thread.join()
outbox = sqlite3.connect(os.path.join(sys.argv[1], "outbox.db")); outbox.execute("pragma journal_mode=wal")
outbox.execute("create table events (id)"); outbox.commit()
try:
    os.chroot("/")
except PermissionError:
    print("confined")
"""


@needs_systemd
def test_the_engines_and_the_runtime_work_under_its_system_call_filter(folder):
    """Each engine that is installed runs a model under the list that systemd makes of the filter."""
    calls = dumped(understood(unit(SERVICE), folder), "SystemCallFilter")[0].replace(" ", ",")
    assert "memfd_create" in calls
    assert "chroot" not in calls

    def confined(*command: object) -> subprocess.CompletedProcess[str]:
        confine = [sys.executable, str(Path(__file__).with_name("confined.py")), calls]
        return subprocess.run([*confine, *map(str, command)], capture_output=True, text=True, timeout=120)

    ran = confined(sys.executable, "-c", INSIDE, folder)
    if "libseccomp.so.2" in ran.stderr:
        pytest.skip("libseccomp is not installed here")
    assert (ran.stdout, ran.stderr) == ("confined\n", "")
    doctor = [Path(sysconfig.get_path("scripts")) / "edgekit", "doctor"]
    free = subprocess.run(doctor, capture_output=True, text=True, timeout=120)
    assert results(free.stdout)  # at least one engine is installed here
    assert results(confined(*doctor).stdout) == results(free.stdout)


def results(table: str) -> list[str]:
    """The engines that ran, of doctor's table."""
    return [line.split()[0] for line in table.splitlines() if " ok " in line]


# -- writing it


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A system in a folder, with a program, a store file and the groups of Debian."""
    files = {
        "opt/edgekit/bin/edgekit": "#!/bin/sh\n",
        "etc/edgekit/store.toml": "",
        "etc/group": "root:x:0:\nvideo:x:44:\nrender:x:108:\n",
        "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nshop:x:990:990::/:/usr/sbin/nologin\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "opt/edgekit/bin/edgekit").chmod(0o755)
    (tmp_path / "etc/edgekit/store.toml").chmod(0o644)
    return tmp_path


def read(path: Path) -> None:
    path.read_text()


def test_it_is_written_whole_and_says_what_to_type_next(image):
    done = install(SERVICE, read, image)
    path = image / "etc/systemd/system/edgekit.service"
    assert done == Installed(path, (f"systemctl --root={image} enable edgekit.service",))
    assert path.read_text() == unit(SERVICE)
    assert [each.name for each in path.parent.iterdir()] == ["edgekit.service"]


def test_a_service_that_runs_is_restarted_by_hand_and_a_new_one_enabled():
    from edgekit.service import _next

    assert _next(SERVICE, Path("/"), there=False)[:2] == (
        "systemctl daemon-reload",
        "systemctl enable --now edgekit.service",
    )
    assert "systemctl restart edgekit.service" in _next(SERVICE, Path("/"), there=True)


def test_a_store_file_that_does_not_parse_is_refused_and_nothing_written(image):
    def check(path: Path) -> None:
        assert path == image / "etc/edgekit/store.toml"
        raise SettingsError(f"{path}: not TOML")

    with pytest.raises(SettingsError, match="not TOML"):
        install(SERVICE, check, image)
    assert not (image / "etc/systemd").exists()


def no_program(image: Path) -> None:
    (image / "opt/edgekit/bin/edgekit").chmod(0o644)


def no_group(image: Path) -> None:
    (image / "etc/group").write_text("video:x:44:\n")


def private_store(image: Path) -> None:
    (image / "etc/edgekit/store.toml").chmod(0o600)


def private_folder(image: Path) -> None:
    (image / "etc").chmod(0o750)


def no_etc(image: Path) -> None:
    (image / "etc/group").unlink()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (no_program, "is no program that can be run"),
        (no_group, "no group 'render' in"),
        (private_store, "cannot be read by the user that systemd makes up"),
        (private_folder, "etc cannot be read by the user that systemd makes up"),
        (no_etc, "etc/group: No such file or directory"),
    ],
)
def test_what_would_fail_at_every_start_is_found_at_once(image, damage: Callable[[Path], None], says):
    damage(image)
    with pytest.raises(EdgekitError, match=says):
        install(SERVICE, read, image)
    assert not (image / "etc/systemd").exists()


def test_a_user_that_is_not_there_is_refused_with_the_command_that_makes_it(image):
    install(replace(SERVICE, user="shop"), read, image)
    with pytest.raises(EdgekitError, match=r"no user 'till' in .*: sudo useradd --system till"):
        install(replace(SERVICE, user="till"), read, image)


def test_a_private_store_is_fine_for_its_own_user(image):
    private_store(image)
    install(replace(SERVICE, user="shop"), read, image)


@needs_systemd
def test_the_version_of_systemd_is_read():
    version = systemd_version()
    assert version is not None
    assert version > 200


# -- the command

STORE = "[source]\naddress = 0\n[detector]\nbundle = 'shelf.ekb'\n"


@pytest.fixture
def typed() -> Callable[..., tuple[int, str]]:
    app = typer.Typer()
    command.register(app)
    app.callback()(lambda: None)

    def run(*words: object) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["service", "install", *map(str, words)])
        assert result.exception is None or isinstance(result.exception, SystemExit | EdgekitError), result.exception
        return result.exit_code, result.output + str(result.exception or "")

    return run


def test_the_command_prints_the_unit_of_this_installation_and_writes_nothing(typed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/store.toml").write_text(STORE)
    code, text = typed("shop/store.toml", "--print", "--argument=--web", "--device=/dev/nvmap")
    assert code == 0
    program = Path(sysconfig.get_path("scripts")) / "edgekit"
    assert lines(text, "ExecStart") == [f"{program} run {Path.cwd()}/shop/store.toml --web"]
    assert "/dev/nvmap rw" in lines(text, "DeviceAllow")


def test_the_command_installs_into_an_image_and_prints_what_to_type(typed, image):
    (image / "etc/edgekit/store.toml").write_text(STORE)
    words = ("/etc/edgekit/store.toml", "--root", image, "--command", "/opt/edgekit/bin/edgekit")
    code, text = typed(*words, "--credential", "mqtt=/etc/edgekit/mqtt.txt")
    assert code == 0
    assert f"systemctl --root={image} enable edgekit.service" in text
    written = (image / "etc/systemd/system/edgekit.service").read_text()
    assert lines(written, "LoadCredential") == ["mqtt:/etc/edgekit/mqtt.txt"]


def test_the_command_refuses_a_store_file_that_does_not_parse(typed, image):
    (image / "etc/edgekit/store.toml").write_text("[sorce]\n")
    code, text = typed("/etc/edgekit/store.toml", "--root", image, "--command", "/opt/edgekit/bin/edgekit")
    assert code == 1
    assert "did you mean 'source'" in text


def test_a_wrong_option_is_a_usage_error(typed):
    assert typed("/x.toml", "--print", "--user", "root")[0] == 2
    assert typed("/x.toml", "--print", "--credential", "mqtt")[0] == 2
