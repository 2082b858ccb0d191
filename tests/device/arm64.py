"""Proves the device side on 64-bit ARM without a board, in Raspberry Pi OS Bookworm's Python (`make test-arm64`).

edgekit and its engines are installed from aarch64 wheels into an unpacked Debian Bookworm, by its own pip. qemu then
runs there, as the CPU of each board and with nothing that this CPU lacks: the device side's tests, the golden vectors
of edgekit's tiny model, and those of every bundle that is named. It proves what is computed, and says nothing of how
fast: under emulation one second of a board takes a minute.

    python tests/device/arm64.py --bundle cart.ekb --board "Raspberry Pi 4" --quick
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "out" / "arm64"
DEBIAN, SITE, WHEELS = PLACE / "debian", PLACE / "site", PLACE / "wheels"
MIRROR = "http://deb.debian.org/debian"
PYTHON = "/usr/bin/python3.11"
EDGEKIT = "edgekit[onnx,openvino,tflite,mqtt,web]"
TESTING = ["pytest", "pytest-timeout", "hypothesis", "httpx2", "onnx"]
TOOLS = {"qemu-aarch64-static": "qemu-user-static", "debootstrap": "debootstrap", "proot": "proot"}

# What the CPU has a hand in: engines, pixels, boxes. Files, brokers and settings are the same code everywhere, and what
# watches processes or the clock proves nothing at a sixtieth of the speed.
QUICK = ["tests/engines/test_sessions.py", "tests/test_decode.py", "tests/test_preprocess.py", "tests/test_verify.py"]
TESTS = [
    "tests/engines",
    *(f"tests/runtime/test_{name}.py" for name in ("assign", "motion", "pipeline", "products", "track")),
    *(f"tests/test_{name}.py" for name in ("boxes", "decode", "doctor", "preprocess", "verify")),
]

# The guard gives a model a minute to load, and here that is a second of a board.
PATIENT = "import sys; from edgekit.engines import guard; guard._PATIENCE_S['cpu'] = 1800.0; "
COMMAND = ["-c", PATIENT + "from edgekit.cli import main; main()"]
PYTEST = ["-c", PATIENT + "import pytest; sys.exit(pytest.main(sys.argv[1:]))"]


@dataclass(frozen=True)
class Board:
    """A CPU that qemu plays, and what the kernel of the board says of it.

    The engines read their kernels' choice from /proc/cpuinfo and MIDR_EL1. qemu shows the host's there, by which
    ONNX Runtime and LiteRT die of SIGSEGV and OpenVINO's code generator does not start.
    """

    name: str
    cpu: str
    features: str
    variant: int
    part: int
    revision: int

    @property
    def cpuinfo(self) -> str:
        fields = (
            f"Features\t: {self.features}\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
            f"CPU variant\t: {self.variant:#x}\nCPU part\t: {self.part:#x}\nCPU revision\t: {self.revision}\n"
        )
        return "\n".join(f"processor\t: {core}\n{fields}" for core in range(os.cpu_count() or 1))

    @property
    def midr(self) -> str:
        """The main ID register: implementer (0x41, Arm), variant, architecture (0xf, by features), part, revision."""
        return f"{0x41 << 24 | self.variant << 20 | 0xF << 16 | self.part << 4 | self.revision:#018x}\n"


BOARDS = (
    Board(
        "Raspberry Pi 5",
        "cortex-a76",
        "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
        variant=4,
        part=0xD0B,
        revision=1,
    ),
    Board("Raspberry Pi 4", "cortex-a72", "fp asimd evtstrm crc32 cpuid", variant=0, part=0xD08, revision=3),
)


def check_tools() -> None:
    """Leaves with what to install, where something is missing."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        packages = " ".join(TOOLS[tool] for tool in missing)
        sys.exit(f"not on this host: {', '.join(missing)}; nothing was tested: apt-get install {packages}")
    if not DEBIAN.exists() and os.geteuid() != 0:
        sys.exit(f"debootstrap unpacks {DEBIAN} as root only, once; nothing was tested: sudo make test-arm64")


def unpack_debian() -> None:
    """Debian's packages, unpacked and not configured: nothing of it starts, and Python and pip need no more."""
    if DEBIAN.exists():
        return
    fresh = PLACE / "debian.part"
    shutil.rmtree(fresh, ignore_errors=True)
    options = ["--arch=arm64", "--foreign", "--variant=minbase", "--include=python3,python3-pip"]
    subprocess.run(["debootstrap", *options, "bookworm", fresh, MIRROR], check=True, stdout=subprocess.DEVNULL)
    for package in sorted((fresh / "var" / "cache" / "apt" / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", package, fresh], check=True)
        package.unlink()
    fresh.rename(DEBIAN)


def download_wheels() -> None:
    """edgekit's own wheel, and for aarch64 and the glibc 2.36 of Bookworm those of what it needs."""
    shutil.rmtree(WHEELS, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", WHEELS, ROOT], check=True)
    platforms = [*(f"manylinux_2_{minor}_aarch64" for minor in range(36, 16, -1)), "manylinux2014_aarch64"]
    target = [f"--platform={each}" for each in platforms]
    target += ["--python-version=3.11", "--implementation=cp", "--only-binary=:all:"]
    places = ["--constraint", ROOT / "constraints.txt", "--find-links", WHEELS, "--dest", WHEELS]
    subprocess.run([*pip, "download", *target, *places, EDGEKIT, *TESTING], check=True)


def install(board: Board) -> None:
    """By the pip of Bookworm, which takes what it holds to be made for its machine and nothing else."""
    shutil.rmtree(SITE, ignore_errors=True)
    pip = ["-m", "pip", "install", "--quiet", "--root-user-action=ignore", "--no-index", "--no-compile"]
    emulate(board, [*pip, "--find-links", str(WHEELS), "--target", str(SITE), EDGEKIT, *TESTING]).check_returncode()


def emulate(board: Board, arguments: Sequence[str], folders: Sequence[Path] = ()) -> subprocess.CompletedProcess[bytes]:
    """Run Bookworm's Python as if on `board`, its output going where this script's goes.

    Every folder of the host keeps its path inside: proot 5.1 translates no path of faccessat2, which Python uses.
    """
    same = (Path("/proc"), Path("/sys"), Path("/dev"), Path("/tmp"), ROOT, *folders)
    binds = [word for bind in (*map(str, same), *_identity(board)) for word in ("-b", bind)]
    proot = ["proot", "-r", str(DEBIAN), "-q", f"qemu-aarch64-static -cpu {board.cpu}", "-w", str(ROOT), *binds]
    variables = {"PATH": "/usr/bin:/bin", "HOME": "/root", "PYTHONPATH": str(SITE), "PYTHONDONTWRITEBYTECODE": "1"}
    variables |= {"OPENVINO_TELEMETRY_OPT_OUT": "1", "EDGEKIT_COMPILED": "", "OMP_NUM_THREADS": "1"}
    variables["CI"] = "1"  # hypothesis then has patience with slow machines
    environment = ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in variables.items())]
    return subprocess.run([*proot, *environment, PYTHON, "-P", *arguments], check=False)


def _identity(board: Board) -> list[str]:
    """What is bound over the host's word on its CPU."""
    cpuinfo, midr = PLACE / f"{board.cpu}.cpuinfo", PLACE / f"{board.cpu}.midr"
    cpuinfo.write_text(board.cpuinfo)
    midr.write_text(board.midr)
    cores = (f"/sys/devices/system/cpu/cpu{core}/regs/identification/midr_el1" for core in range(os.cpu_count() or 1))
    return [f"{cpuinfo}:/proc/cpuinfo", *(f"{midr}:{core}" for core in cores)]


def tiny_bundle() -> Path:
    """edgekit's tiny model with a golden frame, computed by ONNX Runtime on this host."""
    sys.path.insert(0, str(ROOT / "tests"))
    from tiny import golden_bundle

    return golden_bundle(PLACE / "tiny.ekb")


def prove(board: Board, bundles: Sequence[Path], tests: Sequence[str]) -> list[str]:
    """What failed on this board."""
    data = Path(os.environ.get("EDGEKIT_DATA") or ROOT.parent / "shared" / "data")
    steps = {"doctor": [*COMMAND, "doctor"]}
    steps |= {f"verify {bundle.name}": [*COMMAND, "verify", str(bundle)] for bundle in bundles}
    steps["tests"] = [*PYTEST, "-q", "-p", "no:cacheprovider", "--timeout=3600", *tests]
    failed = []
    for name, arguments in steps.items():
        print(f"\n{board.name} ({board.cpu}): {name}", flush=True)
        began = time.monotonic()
        folders = [each.parent for each in bundles] + [data] * data.is_dir()
        if emulate(board, arguments, folders).returncode:
            failed.append(f"{board.name}: {name}")
        print(f"{time.monotonic() - began:.0f} s", flush=True)
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--bundle", type=Path, action="append", default=[], help="hold its golden vectors; repeatable")
    parser.add_argument("--board", choices=[each.name for each in BOARDS], help="this board only")
    parser.add_argument("--quick", action="store_true", help="the tests of sessions, pixels and decoders only")
    asked = parser.parse_args()
    check_tools()
    PLACE.mkdir(parents=True, exist_ok=True)
    unpack_debian()
    download_wheels()
    install(BOARDS[0])
    boards = [each for each in BOARDS if asked.board in (None, each.name)]
    bundles = [tiny_bundle(), *(each.resolve() for each in asked.bundle)]
    failed = [each for board in boards for each in prove(board, bundles, QUICK if asked.quick else TESTS)]
    if failed:
        sys.exit(f"64-bit ARM fails at: {'; '.join(failed)}")
    print("\n64-bit ARM: all as it should be")


if __name__ == "__main__":
    main()
