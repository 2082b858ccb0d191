"""What was written is whole, however the writing ended."""

from __future__ import annotations

import logging
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.errors import EdgekitError
from edgekit.sinks import Row, SinkDown
from edgekit.sinks.jsonl import JsonLines, JsonlSettings


def test_lines_are_there_as_soon_as_they_are_written_and_stay_when_the_file_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "seen.jsonl"
    with JsonLines(path) as lines:
        lines.write('{"frame":0}')
        assert path.read_text() == '{"frame":0}\n'
    with JsonLines(path) as lines:
        lines.write('{"frame":1}')
    assert path.read_text() == '{"frame":0}\n{"frame":1}\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"frame":0}\n{"fra', '{"frame":0}\n'),
        ('{"fra', ""),
        ("", ""),
        ('{"frame":0}\n' + "x" * 200_000, '{"frame":0}\n'),
    ],
    ids=["torn", "only a torn one", "empty", "torn and long"],
)
def test_a_line_that_a_power_cut_tore_is_removed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, before: str, after: str
) -> None:
    path = tmp_path / "seen.jsonl"
    path.write_text(before)
    with caplog.at_level(logging.WARNING), JsonLines(path) as lines:
        lines.write("{}")
    assert path.read_text() == after + "{}\n"
    assert ("cut off" in caplog.text) == (before != after)


@pytest.mark.parametrize("how", ["removed", "renamed", "replaced"])
def test_a_file_that_is_taken_away_while_it_is_open_is_begun_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    path, aside = tmp_path / "seen.jsonl", tmp_path / "aside"
    with caplog.at_level(logging.WARNING), JsonLines(path) as lines:
        lines.write('{"frame":0}')
        lines.write('{"frame":1}')
        assert not caplog.text
        if how == "removed":
            path.unlink()
        else:
            path.rename(aside)
        if how == "replaced":
            path.write_text("{}\n")
        lines.write('{"frame":2}')
        lines.write('{"frame":3}')
        lines.sync()
    before = "{}\n" if how == "replaced" else ""
    assert path.read_text() == before + '{"frame":2}\n{"frame":3}\n'
    assert caplog.text.count("was removed or replaced") == 1
    if how != "removed":
        assert aside.read_text() == '{"frame":0}\n{"frame":1}\n'


def test_a_sink_whose_folder_was_removed_waits_until_it_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "stick"
    folder.mkdir()
    sink = JsonlSettings(str(folder / "events.jsonl")).open()
    sink.send(Row(1, "a", "{}"))
    assert sink.acked() == [1]
    (folder / "events.jsonl").unlink()
    folder.rmdir()
    with pytest.raises(SinkDown, match="No such file"):
        sink.send(Row(2, "b", "{}"))
    assert not sink.up
    folder.mkdir()
    sink.send(Row(2, "b", "{}"))
    assert (sink.acked(), sink.up) == ([2], True)
    sink.close()
    assert (folder / "events.jsonl").read_text() == "{}\n"


def test_a_dash_is_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    with JsonLines("-") as lines:
        lines.write("{}")
    assert capsys.readouterr().out == "{}\n"


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=r"nowhere/seen.jsonl: No such file"):
        JsonLines(tmp_path / "nowhere" / "seen.jsonl")


def test_a_full_disk_is_named() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with JsonLines("/dev/full") as lines, pytest.raises(EdgekitError, match="/dev/full: No space left"):
        lines.write("{}")


def test_a_line_that_the_disk_had_no_room_for_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "seen.jsonl"
    size = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with JsonLines(path) as lines:
        lines.write('{"whole": 1}')
        resource.setrlimit(resource.RLIMIT_FSIZE, (20, size[1]))
        try:
            with pytest.raises(EdgekitError, match=r"seen\.jsonl: File too large"):
                lines.write('{"not whole": 2}')
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, size)
            signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_text() == '{"whole": 1}\n'


def test_a_round_of_events_is_on_the_disk_before_it_counts_as_arrived(
    tmp_path: Path, rows: Callable[[int], list[Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(os.readlink(f"/proc/self/fd/{file}")), fsync(file)))
    path = tmp_path / "events.jsonl"
    sink = JsonlSettings(str(path)).open()
    sent = rows(3)
    for row in sent:
        sink.send(row)
    assert synced == []
    assert sink.acked() == [row.seq for row in sent]
    assert synced == [str(path), str(tmp_path)]  # the file, and once the folder that names it
    assert sink.acked() == []
    assert path.read_text().splitlines() == [row.json for row in sent]
    sink.close()


def test_what_a_round_wrote_before_its_file_was_renamed_is_on_the_disk_too(
    tmp_path: Path, rows: Callable[[int], list[Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(os.readlink(f"/proc/self/fd/{file}")), fsync(file)))
    path, aside = tmp_path / "events.jsonl", tmp_path / "events.jsonl.1"
    sink = JsonlSettings(str(path)).open()
    first, second = rows(2)
    sink.send(first)
    path.rename(aside)
    sink.send(second)
    assert sink.acked() == [first.seq, second.seq]
    sink.close()
    assert synced == [str(aside), str(tmp_path), str(path), str(tmp_path)]


def test_a_file_that_cannot_be_written_is_tried_again_until_it_can(
    tmp_path: Path, rows: Callable[[int], list[Row]], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "stick" / "events.jsonl"
    sink = JsonlSettings(str(path)).open()
    [row] = rows(1)
    for _ in range(3):
        with pytest.raises(SinkDown, match=r"stick/events\.jsonl: No such file"):
            sink.send(row)
    assert caplog.text.count("No such file") == 1
    assert not sink.up
    path.parent.mkdir()
    sink.send(row)
    assert sink.acked() == [row.seq]
    assert sink.up
    sink.close()


def test_a_full_disk_is_told_and_nothing_counts_as_arrived(rows: Callable[[int], list[Row]]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    sink = JsonlSettings("/dev/full").open()
    with pytest.raises(SinkDown, match="/dev/full: No space left"):
        sink.send(rows(1)[0])
    assert sink.acked() == []


def test_when_the_reader_of_stdout_has_gone_events_stay_in_the_outbox() -> None:
    code = (
        "import sys; from edgekit.events import Author; from edgekit.sinks import Row, SinkDown\n"
        "from edgekit.sinks.jsonl import JsonlSettings\n"
        "sink = JsonlSettings('-').open(); sys.stdin.readline()\n"
        "for seq in (1, 2):\n"
        "    try: sink.send(Row(seq, 'a/b/1', '{}'))\n"
        "    except SinkDown as error: print(error, sink.acked(), file=sys.stderr)\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], text=True, **pipes) as writer:
        assert writer.stdout is not None
        writer.stdout.close()
        _, told = writer.communicate("go on\n")
    assert told.count("the reader of stdout has gone []") == 2
