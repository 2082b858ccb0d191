"""Peers take turns in processes of their own; nothing is installed unasked; and the figures are what they say."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from edgekit.benchmarks.peers.environments import PLAIN, PeerError, python_of
from edgekit.benchmarks.peers.figures import COLUMNS, promises, rows
from edgekit.benchmarks.peers.pipe import LOOPS, Measured, Peer, Running, Start, in_turn
from edgekit.doctor import tiny_model
from edgekit.measure import Rounds, Samples

LOOP = """
import os, sys
sys.path.insert(0, {loops!r})
from serve import serve

def start(asked, picture):
    assert picture.shape == (72, 128, 3)
    print("a library that prints")
    if asked["breaks"]:
        raise RuntimeError("no such model")
    def loop(frame):
        sum(range(asked["work"]))
        return int(frame[0, 0, 0])
    return loop, {{"cores": str(len(os.sched_getaffinity(0))), "path": os.environ.get("PYTHONPATH", "")}}

serve(start)
"""


@pytest.fixture
def peer(tmp_path):
    """A peer in this Python that computes sums, by name and amount of work; it finds 3 and 5 things in its frames."""
    frames = np.zeros((2, 72, 128, 3), np.uint8)
    frames[:, 0, 0, 0] = 3, 5
    np.save(tmp_path / "frames.npy", frames)
    script = tmp_path / "loop.py"
    script.write_text(LOOP.format(loops=str(LOOPS)))
    core = max(os.sched_getaffinity(0))

    def make(name: str, work: int = 0, breaks: bool = False) -> Peer:
        asked = {"frames": str(tmp_path / "frames.npy"), "core": core, "work": work, "breaks": breaks}
        return Peer(name, Path(sys.executable), str(script), asked)

    return make


def test_a_peer_stays_on_one_core_and_finds_no_package_by_our_path(peer, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    with Running(peer("a")) as running:
        assert running.facts == {"cores": "1", "path": ""}
        assert running.start.cpu_s > 0
        assert running.start.peak_mb > 5


def test_each_block_has_as_many_frames_as_were_asked_for_and_goes_on_where_the_last_ended(peer):
    with Running(peer("a")) as running:
        assert [found for _, _, found in running.block(3)] == [3, 5, 3]
        assert [found for _, _, found in running.block(1)] == [5]


def test_the_peer_with_ten_times_the_work_takes_longer_in_every_round(peer):
    measured = in_turn([peer("light", 100_000), peer("heavy", 1_000_000)], Rounds(3, 4, 1), starts=2)
    light, heavy = measured["light"], measured["heavy"]
    assert [len(each.samples.cpu_ms) for each in (light, heavy)] == [12, 12]
    assert all(a < b for a, b in zip(light.samples.cpu_round_medians, heavy.samples.cpu_round_medians, strict=True))
    assert len(light.starts) == 2
    assert light.found == (3, 5)


def test_a_peer_that_breaks_off_says_why(peer):
    with pytest.raises(PeerError, match=r"^b broke off: RuntimeError: no such model$"):
        in_turn([peer("a"), peer("b", breaks=True)], Rounds(1, 1, 0), starts=1)


def test_nothing_is_installed_unasked_and_the_commands_are_shown(tmp_path):
    with pytest.raises(PeerError, match=r"--install runs:\n.*-m venv .*plain\n.*pip install .*onnxruntime"):
        python_of(PLAIN, tmp_path)
    assert not list(tmp_path.iterdir())


def _measured(ms: float, cpu_s: float = 0.5, peak_mb: float = 100.0) -> Measured:
    times = (ms,) * 4
    return Measured(Samples(times, times, (), 2), (Start(cpu_s, peak_mb),), (20, 20), {})


FIELD = {
    "edgekit, onnxruntime": _measured(10.4),
    "bare engine, onnxruntime": _measured(10.0),
    "edgekit, onnxruntime, INT8": _measured(5.4),
    "bare engine, onnxruntime, INT8": _measured(5.0),
    "Ultralytics, onnxruntime": _measured(12.0, 2.5, 390.0),
    "edgekit, openvino": _measured(8.0),
    "bare engine, openvino": _measured(7.0),
    "edgekit, openvino, INT8": _measured(6.8),
    "bare engine, openvino, INT8": _measured(5.0),
    "Ultralytics, openvino": _measured(9.0, 1.0, 400.0),
    "edgekit, litert": _measured(8.0),
    "bare engine, litert": _measured(7.5),
    "edgekit, litert, INT8": _measured(4.5),
    "bare engine, litert, INT8": _measured(4.0),
    "Ultralytics, litert": _measured(10.0, 2.0, 500.0),
}


def test_promises_are_held_against_ultralytics_in_the_same_engine():
    kept = {each.what.removesuffix(", against Ultralytics"): (each.kept, each.result) for each in promises(FIELD, 320)}
    assert kept == {
        "frame, onnxruntime, 320, float": ("met", "0.87x (0.87 to 0.87)"),
        "frame, onnxruntime, 320, INT8": ("met", "0.45x (0.45 to 0.45)"),
        "beyond the engine, onnxruntime, 320": ("met", "0.20x (0.20 to 0.20)"),
        "start, onnxruntime, 320": ("met", "0.20x"),
        "memory, onnxruntime, 320": ("not met", "0.26x"),
        "frame, openvino, 320, float": ("not met", "0.89x (0.89 to 0.89)"),
        "frame, openvino, 320, INT8": ("not met", "0.76x (0.76 to 0.76)"),
        "beyond the engine, openvino, 320": ("not met", "0.50x (0.50 to 0.50)"),
        "start, openvino, 320": ("not met", "0.50x"),
        "memory, openvino, 320": ("met", "0.25x"),
        "frame, litert, 320, float": ("met", "0.80x (0.80 to 0.80)"),
        "frame, litert, 320, INT8": ("met", "0.45x (0.45 to 0.45)"),
        "beyond the engine, litert, 320": ("met", "0.20x (0.20 to 0.20)"),
        "start, litert, 320": ("met", "0.25x"),
        "memory, litert, 320": ("met", "0.20x"),
    }


def test_the_first_start_stands_apart_and_what_a_peer_says_of_itself_is_in_table_and_promises():
    ours = replace(FIELD["edgekit, openvino"], starts=(Start(3.0, 100.0), Start(0.2, 100.0), Start(0.2, 100.0)))
    theirs = replace(FIELD["Ultralytics, openvino"], facts={"floats": "bf16", "nms": "opencv"})
    field = FIELD | {"edgekit, openvino": ours, "Ultralytics, openvino": theirs}
    told = {row[0]: dict(zip(COLUMNS, row, strict=True)) for row in rows(field)}
    how = {each.what: each.how for each in promises(field, 320)}

    assert told["edgekit, openvino"]["first start, CPU s"] == "3.00"
    assert told["edgekit, openvino"]["later"] == "0.20"
    assert told["Ultralytics, openvino"]["ran"] == "floats bf16, nms opencv"
    assert "they ran floats bf16, nms opencv" in how["frame, openvino, 320, float, against Ultralytics"]
    assert "first ones 3.00 and 1.00 CPU s" in how["start, openvino, 320, against Ultralytics"]


def test_a_peer_s_floats_are_those_that_openvino_compiled_for(monkeypatch):
    openvino = pytest.importorskip("openvino")
    monkeypatch.syspath_prepend(str(LOOPS))
    held, facts = import_module("of_ultralytics"), {}
    monkeypatch.setattr(openvino, "Core", openvino.Core)
    held._hold_to("f32", openvino, facts)
    x = openvino.opset13.parameter([1, 4], np.float32)
    openvino.Core().compile_model(openvino.Model([openvino.opset13.relu(x)], [x], "net"), "CPU")

    assert facts == {"floats": "f32"}


def test_a_peer_runs_litert_on_one_thread_whatever_it_asks_for(monkeypatch, tmp_path):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    monkeypatch.syspath_prepend(str(LOOPS))
    monkeypatch.setattr(interpreter, "Interpreter", interpreter.Interpreter)
    net = tmp_path / "net.tflite"
    net.write_bytes(tiny_model("litert")[0].model)

    def more_threads() -> int:
        before = len(list(Path("/proc/self/task").iterdir()))
        lite = interpreter.Interpreter(str(net), num_threads=4)
        lite.allocate_tensors()
        return len(list(Path("/proc/self/task").iterdir())) - before

    as_it_asks = more_threads()
    import_module("of_ultralytics")._one_thread_of_litert(interpreter)

    assert (as_it_asks, more_threads()) == (3, 0)


def test_the_table_counts_from_the_bare_engine_of_the_same_engine_and_precision():
    beyond = {row[0]: row[3] for row in rows(FIELD)}
    assert beyond["edgekit, openvino, INT8"] == "1.80"
    assert beyond["Ultralytics, onnxruntime"] == "2.00"
    assert beyond["bare engine, openvino"] == ""
