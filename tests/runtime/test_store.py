"""A store file, from its mistakes to a whole run: real engine, real video file, real outputs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from boards import BOARDS
from painted import LABELS, find_squares, paint

from edgekit.errors import BundleError, ContractError, SettingsError, SourceError
from edgekit.frames import Image
from edgekit.host import Host
from edgekit.runtime.annotate import annotate
from edgekit.runtime.pipeline import Observation, Pipeline
from edgekit.runtime.settings import address_within
from edgekit.runtime.sources import Arrays, open_source
from edgekit.runtime.store import Output, Store, run, run_store

FRAMES = 70


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with two bundles, a clip in which a red and a blue thing stand still, and the red one goes away."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from tiny_bundles import write_classifier, write_detector

    write_detector(tmp_path / "shelf.ekb")
    write_classifier(tmp_path / "products.ekb")
    writer = cv2.VideoWriter(str(tmp_path / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 15, (160, 120))
    for i in range(FRAMES):
        writer.write(paint(*([("red", 20, 40)] if i < 40 else []), ("blue", 100, 80)))
    writer.release()
    return tmp_path


def store_file(folder: Path, text: str) -> Path:
    (folder / "store.toml").write_text(text)
    return folder / "store.toml"


WHOLE = """
profile = "generic"

[source]
address = "clip.mp4"
name = "aisle 3"

[detector]
bundle = "shelf.ekb"
variant = "onnx-float"
score = 0.4

[classifier]
bundle = "products.ekb"

[track]
keep = 10

[classify]
sightings = 2

[output]
jsonl = "seen.jsonl"
video = "seen.mp4"
"""


def test_a_store_runs_from_a_video_through_two_models_to_lines_and_a_video(shop: Path) -> None:
    summary = run_store(Store.read(store_file(shop, WHOLE)))
    assert (summary.frames, summary.dropped, summary.tracks, summary.ending) == (FRAMES, 0, 2, "the source ended")
    assert summary.things == 40 + FRAMES
    assert summary.unreadable == ()
    assert set(summary.stages_ms) == {"wait", "preprocess", "detect", "decode", "track", "crop", "classify"}
    assert summary.frame_ms is not None
    assert summary.frame_p90_ms is not None
    assert summary.frame_p90_ms >= summary.frame_ms > 0

    lines = [json.loads(line) for line in (shop / "seen.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(FRAMES))
    assert {line["source"] for line in lines} == {"aisle 3"}
    assert [len(line["detections"]) for line in lines] == [2] * 40 + [1] * 30
    red, blue = sorted(lines[20]["detections"], key=lambda thing: thing["box"][0])
    assert (red["label"], red["product"]["label"], red["box"]) == ("red", "cherry", [20.0, 40.0, 40.0, 60.0])
    assert (blue["label"], blue["product"]["label"]) == ("blue", "plum")
    assert cv2.VideoCapture(str(shop / "seen.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == FRAMES


def test_a_limit_ends_the_run_and_says_so(shop: Path) -> None:
    seen: list[Observation] = []
    summary = run_store(Store.read(store_file(shop, WHOLE)), seen.append, limit=5)
    assert (summary.frames, len(seen), summary.ending) == (5, 5, "the limit was reached")
    assert summary.frame_p90_ms is None


def test_the_threshold_of_the_store_file_counts_not_the_bundles(shop: Path) -> None:
    store = Store.read(store_file(shop, WHOLE.replace("score = 0.4", "score = 0.999")))
    assert run_store(store, limit=5).things == 0


def test_ctrl_c_ends_the_run_with_whole_outputs(tmp_path: Path) -> None:
    def at_the_third(seen: Observation) -> None:
        if seen.index == 2:
            raise KeyboardInterrupt

    output = Output(jsonl=str(tmp_path / "seen.jsonl"), video=tmp_path / "seen.mp4")
    source = Arrays([paint(("red", 20, 40))] * 9)
    summary = run(Pipeline(find_squares, LABELS), source, output, at_the_third)
    assert summary.ending == "interrupted"
    assert [json.loads(line)["frame"] for line in (tmp_path / "seen.jsonl").read_text().splitlines()] == [0, 1, 2]
    assert cv2.VideoCapture(str(tmp_path / "seen.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 3


ENDLESS = """
from pathlib import Path
import signal
import sys
sys.path.insert(0, sys.argv[1])
from painted import LABELS, find_squares, paint
from edgekit.runtime.pipeline import Pipeline
from edgekit.runtime.sources import Arrays, Paced
from edgekit.runtime.store import Output, run
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts its background jobs with it ignored
camera = Paced(Arrays([paint(("red", 20, 40))] * 100_000, fps=30))
jsonl, video = sys.argv[2:4] if len(sys.argv) > 3 else ("-", None)
print(run(Pipeline(find_squares, LABELS), camera, Output(jsonl, video and Path(video))).ending, file=sys.stderr)
"""


def test_sigint_ends_a_live_loop_with_exit_code_0_and_whole_outputs(tmp_path: Path) -> None:
    jsonl, video = tmp_path / "seen.jsonl", tmp_path / "seen.mp4"
    command = [sys.executable, "-c", ENDLESS, str(Path(__file__).parent), str(jsonl), str(video)]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not jsonl.exists() or jsonl.read_text().count("\n") < 5:
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=20)
    assert (child.returncode, said) == (0, "interrupted\n")
    lines = [json.loads(line) for line in jsonl.read_text().splitlines()]
    assert cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FRAME_COUNT) == lines[-1]["frame"] - lines[0]["frame"] + 1
    assert sorted(each.name for each in tmp_path.iterdir()) == ["seen.jsonl", "seen.mp4"]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Both signals raise KeyboardInterrupt, as in `edgekit run`, whatever the tests were started with."""
    before = {each: signal.signal(each, signal.default_int_handler) for each in (signal.SIGINT, signal.SIGTERM)}
    yield
    assert {signal.getsignal(each) for each in before} == {signal.default_int_handler}
    for each, handler in before.items():
        signal.signal(each, handler)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_between_a_frames_line_and_its_picture_comes_after_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def interrupting(picture: Image, seen: Observation) -> Image:
        if seen.index == 2:
            os.kill(os.getpid(), number)
        return annotate(picture, seen)

    monkeypatch.setattr("edgekit.runtime.store.annotate", interrupting)
    output = Output(jsonl=str(tmp_path / "seen.jsonl"), video=tmp_path / "seen.mp4")
    summary = run(Pipeline(find_squares, LABELS), Arrays([paint(("red", 20, 40))] * 9), output)

    assert (summary.frames, summary.ending) == (3, "interrupted")
    assert len((tmp_path / "seen.jsonl").read_text().splitlines()) == 3
    assert cv2.VideoCapture(str(tmp_path / "seen.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 3


@pytest.mark.usefixtures("interruptible")
def test_a_second_signal_does_not_wait_for_what_may_never_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reached = []

    def twice(picture: Image, seen: Observation) -> Image:
        os.kill(os.getpid(), signal.SIGINT)
        reached.append("the first is held")
        os.kill(os.getpid(), signal.SIGINT)
        reached.append("the second is held too")
        return annotate(picture, seen)

    monkeypatch.setattr("edgekit.runtime.store.annotate", twice)
    output = Output(video=tmp_path / "seen.mp4")
    summary = run(Pipeline(find_squares, LABELS), Arrays([paint(("red", 20, 40))] * 9), output)

    assert reached == ["the first is held"]
    assert (summary.frames, summary.ending) == (0, "interrupted")


def test_a_reader_of_stdout_that_goes_away_ends_the_loop_quietly() -> None:
    command = [sys.executable, "-c", ENDLESS, str(Path(__file__).parent)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stderr is not None
    assert json.loads(child.stdout.readline())["frame"] >= 0
    child.stdout.close()
    assert (child.wait(timeout=20), child.stderr.read()) == (0, "interrupted\n")
    child.stderr.close()


def test_a_model_that_fails_leaves_the_lines_before_it_and_no_half_video(tmp_path: Path) -> None:
    pictures = [paint(("red", 20, 40))] * 3

    def fails(seen: Observation) -> None:
        if seen.index == 1:
            raise ContractError("frame 1 of arrays: the detector gave boxes that are not finite")

    output = Output(jsonl=str(tmp_path / "seen.jsonl"), video=tmp_path / "seen.mp4")
    with pytest.raises(ContractError):
        run(Pipeline(find_squares, LABELS), Arrays(pictures), output, fails)
    assert len((tmp_path / "seen.jsonl").read_text().splitlines()) == 2
    assert sorted(each.name for each in tmp_path.iterdir()) == ["seen.jsonl", "seen.mp4"]
    assert cv2.VideoCapture(str(tmp_path / "seen.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 2


def test_pictures_that_cannot_be_read_are_in_the_summary(tmp_path: Path) -> None:
    pipeline = Pipeline(find_squares, LABELS, track=None)
    cv2.imwrite(str(tmp_path / "a.png"), paint(("red", 20, 40)))
    (tmp_path / "b.png").write_bytes(b"")
    summary = run(pipeline, open_source(tmp_path))
    assert (summary.frames, summary.things, summary.tracks) == (1, 1, 0)
    assert "b.png" in summary.unreadable[0]


def test_paths_are_relative_to_the_store_file(tmp_path: Path) -> None:
    store = Store.read(store_file(tmp_path, WHOLE))
    assert store.source.address == str(tmp_path / "clip.mp4")
    assert store.detector.bundle == tmp_path / "shelf.ekb"
    assert store.output.jsonl == str(tmp_path / "seen.jsonl")


NO_FILES = [
    "/dev/video0",
    "0",
    "rtsp://user:secret@10.0.0.7/s",
    "rtsps://10.0.0.7/s",
    "http://10.0.0.7/video.mjpg",
    "https://10.0.0.7/still.jpg?size=1/2",
    "scene:shelf?seed=3",
    "picamera:0?size=640x480",
    "csi:0?size=1280x720&fps=30",
    "gst:filesrc location=clips/a.mp4 ! decodebin",
    "ftp://10.0.0.7/a.mp4",  # no kind at all, which whoever opens it says
]


@pytest.mark.parametrize("address", NO_FILES)
def test_addresses_that_are_no_files_stay_as_they_are(tmp_path: Path, address: str) -> None:
    text = f'[source]\naddress = "{address}"\n[detector]\nbundle = "shelf.ekb"\n[output]\njsonl = "-"\n'
    store = Store.read(store_file(tmp_path, text))
    assert store.source.address == address
    assert store.output.jsonl == "-"
    assert address_within(address, tmp_path) == address


@pytest.mark.parametrize("address", ["clip.mp4", "stills", "a:b/clip.mp4", "scenes/a.gif", "12.mp4", "."])
def test_a_file_or_folder_is_taken_from_the_folder_that_is_given(tmp_path: Path, address: str) -> None:
    assert address_within(address, tmp_path) == str(tmp_path / address)
    assert address_within(str(tmp_path / address), Path("elsewhere")) == str(tmp_path / address)
    assert address_within(7, tmp_path) == 7


def test_a_board_is_recognised_where_the_store_file_names_no_profile(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pi = Host.probe(BOARDS["raspberry-pi-5"].write(tmp_path / "pi"), arch="aarch64")
    monkeypatch.setattr(Host, "probe", lambda: pi)
    with Store.read(store_file(shop, WHOLE.replace('profile = "generic"', ""))).open() as pipeline:
        assert pipeline.detector.session.plan.threads == 3
    with Store.read(store_file(shop, WHOLE)).open() as pipeline:
        assert pipeline.detector.session.plan.threads == 2


def test_tracking_can_be_left_out(shop: Path) -> None:
    text = WHOLE.replace("[track]\nkeep = 10", "").replace('profile = "generic"', "track = false")
    summary = run_store(Store.read(store_file(shop, text)), limit=3)
    assert summary.tracks == 0
    assert "track" not in summary.stages_ms


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("keep = 10", "kepe = 10", "unknown key 'track.*kepe', did you mean 'keep'"),
        ("keep = 10", "sightings = 10", "unknown key 'track.*sightings', which is of another table"),
        ("keep = 10", "keep = 10\nsightngs = 10", "unknown key 'track.TrackSettings.sightngs'($|;)"),
        ("score = 0.4", 'score = "high"', "detector.score"),
        ("score = 0.4", "score = 7.0", "score must be in 0..1; got 7.0"),
        ('bundle = "shelf.ekb"', "", "'detector.bundle' is missing"),
        ('video = "seen.mp4"', 'video = "seen.avi"', "must end in .mp4"),
        ("sightings = 2", "sightings = 0", "must be at least 1"),
        ('bundle = "products.ekb"', 'bundle = "products.ekb"\nscore = 0.5', "a classifier has no score threshold"),
    ],
)
def test_a_mistake_in_a_store_file_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Store.read(store_file(tmp_path, WHOLE.replace(old, new)))


def test_a_password_is_in_no_message(tmp_path: Path) -> None:
    text = WHOLE.replace('address = "clip.mp4"', 'address = "rtsp://user:s3cret@10.0.0.7/s"\npase = "file"')
    with pytest.raises(SettingsError) as caught:
        Store.read(store_file(tmp_path, text))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("clip.mp4", "film.mp4", SourceError, "film.mp4: no such file"),
        ('"shelf.ekb"', '"shop.ekb"', BundleError, "shop.ekb: No such file"),
        ('"shelf.ekb"', '"products.ekb"', ContractError, "products.ekb holds a classifier, not a detector"),
        ('"products.ekb"', '"shelf.ekb"', ContractError, "shelf.ekb holds a detector, not a classifier"),
        ("onnx-float", "onnx-int4", BundleError, "no variant 'onnx-int4'; there are: onnx-float"),
    ],
)
def test_what_is_not_there_or_not_what_it_should_be_is_one_clear_error(
    shop: Path, old: str, new: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run_store(Store.read(store_file(shop, WHOLE.replace(old, new))))
    assert not (shop / "seen.jsonl").exists()
    assert not (shop / "seen.mp4").exists()
