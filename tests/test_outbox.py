"""What was stored in an outbox comes out of it, what did not fit is counted, and no disk makes it raise."""

from __future__ import annotations

import json
import logging
import os
import resource
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from edgekit.events import OBSERVATION, Author, Event
from edgekit.outbox import Limits, Outbox
from edgekit.outbox_file import VERSION, connect

SMALL = 64 * 1024


class Clock:
    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def author() -> Author:
    return Author("cart-17", "b00t")


def _seen(author: Author, size: int = 20) -> Event:
    return author.event(OBSERVATION, "front", {"seen": "x" * size})


def _ids(outbox: Outbox, sink: str = "broker") -> list[int]:
    return [Event.from_json(row.json).sequence for row in outbox.pending(sink, limit=100_000)]


def _deliver_all(outbox: Outbox, sink: str = "broker") -> None:
    outbox.acked(sink, [row.seq for row in outbox.pending(sink, limit=100_000)])


def test_what_is_stored_comes_out_in_order_and_goes_when_it_is_acknowledged(path, author):
    events = [_seen(author) for _ in range(5)]
    with Outbox(path, ["broker"]) as outbox:
        assert outbox.put(*events[:3])
        assert outbox.put(*events[3:])
        rows = outbox.pending("broker")
        outbox.acked("broker", [rows[0].seq, rows[2].seq])

        assert [(row.id, row.json) for row in rows] == [(event.id, event.to_json()) for event in events]
        assert _ids(outbox) == [2, 4, 5]
        assert [row.id for row in outbox.pending("broker", limit=1)] == [events[1].id]
        assert outbox.counts == {"stored": 5, "dropped": {}, "acked": {"broker": 2}, "refused": {"broker": 0}}


def test_an_event_that_a_sink_refuses_is_done_with_and_not_counted_as_delivered(path, author):
    with Outbox(path, ["broker", "server"]) as outbox:
        assert outbox.put(*(_seen(author) for _ in range(3)))
        seqs = [row.seq for row in outbox.pending("broker")]
        outbox.acked("broker", seqs)
        outbox.refused("server", seqs[:1])
        outbox.acked("server", seqs)  # the first is done with already

        assert outbox.depth() == 0
        assert outbox.counts["acked"] == {"broker": 3, "server": 2}
        assert outbox.counts["refused"] == {"broker": 0, "server": 1}


def test_an_event_stays_until_every_sink_has_it(path, author):
    with Outbox(path, ["broker", "file"]) as outbox:
        outbox.put(_seen(author), _seen(author))
        _deliver_all(outbox, "file")

        assert (outbox.depth(), outbox.depth("broker"), outbox.depth("file")) == (2, 2, 0)
        _deliver_all(outbox, "broker")
        assert (outbox.depth(), outbox.depth("broker")) == (0, 0)


def test_what_waits_is_there_after_a_new_start_and_numbers_are_never_given_again(path, author):
    with Outbox(path, ["broker"]) as outbox:
        outbox.put(_seen(author), _seen(author))
        last = outbox.pending("broker")[-1].seq
        outbox.acked("broker", [last])
    with Outbox(path, ["broker"]) as outbox:
        outbox.put(_seen(author))

        assert _ids(outbox) == [1, 3]
        assert outbox.pending("broker")[-1].seq == last + 1  # although `last` was free
        outbox.acked("broker", [last, 0, -1, 10**30])  # of an older outbox, or nonsense: nothing of now goes
        assert _ids(outbox) == [1, 3]


def test_of_several_events_all_are_stored_or_none(path, author):
    with Outbox(path, ["broker"], Limits(max_bytes=SMALL, when_full="drop newest")) as outbox:
        assert not outbox.put(*[_seen(author, 20_000) for _ in range(5)])
        assert outbox.depth() == 0
        assert outbox.counts["dropped"] == {"full": 5}


def test_the_file_and_what_lies_beside_it_can_be_read_by_its_owner_only(path, author):
    with Outbox(path, ["broker"]) as outbox:
        outbox.put(_seen(author))

        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert modes == {"outbox.db": 0o600, "outbox.db-wal": 0o600, "outbox.db-shm": 0o600}


def test_a_commit_waits_for_the_disk_and_the_file_is_an_outbox_without_its_log(path):
    pragmas = {}
    with Outbox(path, ["broker"], connect=lambda each: pragmas.setdefault("connection", connect(each))):
        database = pragmas["connection"]
        told = {name: database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode")}
        alone = path.read_bytes()

    assert told == {"synchronous": 2, "journal_mode": "wal"}
    path.write_bytes(alone)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert database.execute("SELECT count(*) FROM events").fetchone() == (0,)


@pytest.mark.parametrize("when_full", ["drop oldest", "drop newest"])
def test_a_full_outbox_drops_by_its_policy_and_counts_each(path, author, when_full):
    with Outbox(path, ["broker", "file"], Limits(max_bytes=SMALL, when_full=when_full)) as outbox:
        answers = [outbox.put(_seen(author, 1000)) for _ in range(100)]
        waiting = _ids(outbox)

        assert outbox.size_bytes() <= SMALL
        assert len(waiting) + outbox.counts["dropped"]["full"] == 100
        assert outbox.depth("file") == outbox.depth("broker") == len(waiting)
        if when_full == "drop oldest":
            assert all(answers)
            assert waiting == list(range(101 - len(waiting), 101))
        else:
            assert sum(answers) == len(waiting)
            assert waiting[:20] == list(range(1, 21))


def test_room_that_was_acknowledged_is_used_again(path, author):
    with Outbox(path, ["broker"], Limits(max_bytes=SMALL, when_full="drop newest")) as outbox:
        for _ in range(20):
            assert all(outbox.put(_seen(author, 1000)) for _ in range(20))
            _deliver_all(outbox)

        assert outbox.counts["dropped"] == {}
        assert path.stat().st_size <= SMALL


def test_an_event_larger_than_the_outbox_drops_itself_and_no_other(path, author):
    with Outbox(path, ["broker"], Limits(max_bytes=SMALL)) as outbox:
        outbox.put(_seen(author), _seen(author))

        assert not outbox.put(_seen(author, 2 * SMALL))
        assert _ids(outbox) == [1, 2]
        assert outbox.counts["dropped"] == {"full": 1}


def test_what_is_too_old_goes_even_when_nothing_new_comes(path, author):
    clock = Clock()
    with Outbox(path, ["broker"], Limits(max_age_s=60.0), clock) as outbox:
        outbox.put(_seen(author))
        clock.now += 40
        outbox.put(_seen(author))

        assert outbox.oldest_age_s() == 40
        clock.now += 21
        assert _ids(outbox) == [2]
        clock.now += 60
        assert outbox.put(_seen(author))
        assert _ids(outbox) == [3]
        assert outbox.counts["dropped"] == {"too old": 2}


def test_age_is_the_time_that_the_outbox_was_open_so_no_clock_that_jumps_drops_anything(path, author):
    limits = Limits(max_age_s=60.0)
    with Outbox(path, ["broker"], limits, Clock(5.0)) as outbox:
        outbox.put(_seen(author))
    clock = Clock(9e9)  # another boot: the monotonic clock begins somewhere else
    with Outbox(path, ["broker"], limits, clock) as outbox:
        assert outbox.oldest_age_s() == 0
        clock.now -= 1e6  # it must not, and does no harm
        outbox.put(_seen(author))
        clock.now += 30

        assert _ids(outbox) == [1, 2]
        assert outbox.oldest_age_s() == 30


def test_a_sink_that_is_no_longer_named_loses_its_deliveries_and_a_new_one_gets_new_events(path, author):
    with Outbox(path, ["broker", "old"]) as outbox:
        outbox.put(_seen(author), _seen(author))
        _deliver_all(outbox, "broker")
        outbox.put(_seen(author))
    with Outbox(path, ["broker", "new"]) as outbox:
        outbox.put(_seen(author))

        assert outbox.counts["dropped"] == {"sink removed": 3}
        assert (outbox.depth(), _ids(outbox, "broker"), _ids(outbox, "new")) == (2, [3, 4], [4])


def _garbage(path: Path) -> None:
    path.write_bytes(b"this is no database" * 1000)


def _overwritten_pages(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)


def _cut_short(path: Path) -> None:
    os.truncate(path, 4096)


def _of_a_later_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")


def _of_somebody_else(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE basket (product)")


@pytest.mark.parametrize("spoil", [_garbage, _overwritten_pages, _cut_short, _of_a_later_version, _of_somebody_else])
def test_a_file_that_is_damaged_or_not_ours_is_put_aside_as_it_is_and_a_new_one_begins(path, author, spoil, caplog):
    for number in (1, 2):
        with Outbox(path, ["broker"]) as outbox:
            outbox.put(*[_seen(author, 1000) for _ in range(30)])
        spoil(path)
        spoilt = path.read_bytes()

        with Outbox(path, ["broker"]) as outbox:
            assert outbox.put(_seen(author))
            assert outbox.depth() == 1
            assert outbox.counts["dropped"] == {"damaged": 1}
        assert path.with_name(f"outbox.db.damaged-{number}").read_bytes() == spoilt
        assert f"put aside as 'outbox.db.damaged-{number}'" in caplog.text


def test_the_log_of_a_damaged_file_is_put_aside_with_it(path, author):
    killed = f"""
import os
from edgekit.events import Author
from edgekit.outbox import Outbox
outbox = Outbox({str(path)!r}, ["broker"])
outbox.put(Author("cart-17", "b00t").event("x", "", {{}}))
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", killed], check=True)
    _garbage(path)

    with Outbox(path, ["broker"]):
        names = {each.name for each in path.parent.iterdir() if "damaged" in each.name}
    assert {"outbox.db.damaged-1", "outbox.db.damaged-1-wal"} <= names


def test_damage_found_while_in_use_is_put_aside_too_and_a_late_acknowledgement_hits_nothing_new(path, author):
    def forgetful(each: Path) -> sqlite3.Connection:
        connection = connect(each)
        connection.execute("PRAGMA cache_size = 1")  # so that it reads from the file again
        connection.execute("PRAGMA wal_autocheckpoint = 1")
        return connection

    with Outbox(path, ["broker"], connect=forgetful) as outbox:
        outbox.put(*[_seen(author) for _ in range(500)])
        in_flight = [row.seq for row in outbox.pending("broker", limit=1000)]
        _overwritten_pages(path)
        outbox.put(_seen(author))
        outbox.pending("broker", limit=1000)

        assert outbox.counts["dropped"]["damaged"] == 1
        assert outbox.put(_seen(author))
        assert outbox.trouble is None
        waiting = _ids(outbox)
        outbox.acked("broker", in_flight)
        assert _ids(outbox) == waiting
        assert waiting[-1] == 502
    assert path.with_name("outbox.db.damaged-1").exists()


def test_a_disk_on_which_new_files_are_damaged_too_is_not_filled_with_them(path, author):
    class Garbling:
        def execute(self, sql, parameters=()):
            raise sqlite3.DatabaseError("database disk image is malformed")

        def close(self) -> None:
            pass

    def connect_to_it(each: Path) -> Garbling:
        each.touch()
        return Garbling()

    with Outbox(path, ["broker"], connect=connect_to_it) as outbox:
        assert not any(outbox.put(_seen(author)) for _ in range(20))
        assert outbox.pending("broker") == []
    assert len(list(path.parent.glob("*damaged*"))) == 1


def test_a_full_disk_drops_and_counts_and_it_goes_on_when_there_is_room(path, author, caplog):
    caplog.set_level(logging.WARNING)
    with Outbox(path, ["broker"]) as outbox:
        outbox.put(_seen(author))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (min(path.stat().st_size, 16384), hard))
        try:
            answers = [outbox.put(_seen(author), _seen(author)) for _ in range(5)]
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

        assert answers == [False] * 5
        assert outbox.trouble == "disk: disk I/O error"
        assert (outbox.counts["stored"], outbox.counts["acked"]) == (1, {"broker": 0})
        assert outbox.counts["dropped"] == {"disk: disk I/O error": 10}
        assert caplog.text.count("events are dropped until") == 1  # said once, not each time
        assert outbox.put(_seen(author))
        assert outbox.trouble is None
        assert _ids(outbox) == [1, 12]
        assert "can be written again" in caplog.text


class Moody:
    """A real connection that refuses to write while `broken`."""

    broken = False

    def __init__(self, path: Path) -> None:
        self._connection = connect(path)

    def execute(self, sql, parameters=()):
        if Moody.broken and sql.startswith("BEGIN"):
            raise sqlite3.OperationalError("database or disk is full")
        return self._connection.execute(sql, parameters)

    def close(self) -> None:
        self._connection.close()


def test_acknowledgements_that_cannot_be_written_are_remembered_and_not_sent_again(path, author, monkeypatch):
    with Outbox(path, ["broker"], connect=Moody) as outbox:
        outbox.put(*[_seen(author) for _ in range(3)])
        first = outbox.pending("broker")[0].seq
        monkeypatch.setattr(Moody, "broken", True)
        outbox.acked("broker", [first])

        assert _ids(outbox) == [2, 3]
        assert len(outbox.pending("broker", limit=2)) == 2
        assert outbox.counts["acked"] == {"broker": 0}
        monkeypatch.setattr(Moody, "broken", False)
        assert _ids(outbox) == [2, 3]
        assert outbox.counts["acked"] == {"broker": 1}
    with Outbox(path, ["broker"]) as outbox:
        assert _ids(outbox) == [2, 3]


def test_a_folder_that_is_not_there_yet_is_waited_for(tmp_path, author):
    folder = tmp_path / "mounted-later"
    with Outbox(folder / "outbox.db", ["broker"]) as outbox:
        assert not outbox.put(_seen(author))
        assert (outbox.pending("broker"), outbox.depth(), outbox.oldest_age_s()) == ([], 0, None)
        assert outbox.trouble == "disk: No such file or directory"
        folder.mkdir()
        assert outbox.put(_seen(author))
        assert _ids(outbox) == [2]


def test_a_file_that_is_removed_under_the_outbox_is_not_written_to_as_a_ghost(path, author):
    with Outbox(path, ["broker"]) as outbox:
        outbox.put(_seen(author))
        path.unlink()

        assert outbox.put(_seen(author))
        with Outbox(path, ["broker"]) as other:
            assert _ids(other) == [2]
            assert other.pending("broker")[0].seq == 2  # 1 may still be on its way to the broker


def test_another_process_that_holds_the_file_is_trouble_that_passes(path, author):
    with Outbox(path, ["broker"]) as outbox, closing(sqlite3.connect(path, isolation_level=None)) as other:
        outbox.put(_seen(author))
        other.execute("BEGIN IMMEDIATE")
        assert not outbox.put(_seen(author))
        assert _ids(outbox) == [1]  # reading goes on
        other.execute("ROLLBACK")

        assert outbox.put(_seen(author))
        assert outbox.counts["dropped"] == {"disk: database is locked": 1}


def test_many_threads_put_deliver_and_look_at_once(path):
    author = Author("cart-17", "b00t")
    delivered: list[str] = []
    done = threading.Event()

    def put() -> None:
        for _ in range(50):
            assert outbox.put(_seen(author))

    def relay() -> None:
        while not done.is_set() or outbox.depth("broker"):
            rows = outbox.pending("broker", limit=7)
            delivered.extend(row.id for row in rows)
            outbox.acked("broker", [row.seq for row in rows])
            outbox.oldest_age_s()

    with Outbox(path, ["broker"]) as outbox:
        writers = [threading.Thread(target=put) for _ in range(4)]
        reader = threading.Thread(target=relay)
        for thread in (*writers, reader):
            thread.start()
        for thread in writers:
            thread.join()
        done.set()
        reader.join()

        assert (outbox.counts["stored"], outbox.counts["dropped"]) == (200, {})
        assert outbox.counts["acked"] == {"broker": 200}
    assert len(delivered) == len(set(delivered)) == 200


def test_a_backlog_of_one_sink_does_not_slow_the_other(path, author):
    with Outbox(path, ["down", "up"]) as outbox:
        outbox.put(*[_seen(author) for _ in range(20_000)])
        outbox.acked("up", [row.seq for row in outbox.pending("up", limit=20_000)])
        outbox.put(_seen(author))
        began = time.perf_counter()

        for _ in range(50):
            assert len(outbox.pending("up")) == 1
        assert time.perf_counter() - began < 1.0
        assert outbox.depth() == 20_001


@pytest.mark.parametrize("old", [False, True], ids=["new file", "file without the index"])
def test_counting_what_waits_reads_no_event(path, author, old):
    with Outbox(path, ["broker"]) as outbox:
        outbox.put(*[_seen(author) for _ in range(3)])
    if old:
        with closing(sqlite3.connect(path)) as database:
            database.execute("DROP INDEX IF EXISTS waiting")

    opened = []

    def connected(path: Path) -> sqlite3.Connection:
        opened.append(connect(path))
        return opened[-1]

    with Outbox(path, ["broker"], connect=connected) as outbox:
        assert outbox.depth() == 3
        [plan] = opened[0].execute("EXPLAIN QUERY PLAN SELECT count(*) FROM events").fetchall()
        assert "INDEX waiting" in plan[-1]


def test_what_waits_in_a_file_without_the_index_is_delivered_from_a_full_disk(path, author):
    with Outbox(path, ["broker"]) as outbox:
        outbox.put(_seen(author))
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP INDEX IF EXISTS waiting")

    class Full(Moody):
        def execute(self, sql, parameters=()):
            if sql.startswith("CREATE"):
                raise sqlite3.OperationalError("database or disk is full")
            return super().execute(sql, parameters)

    with Outbox(path, ["broker"], connect=Full) as outbox:
        assert _ids(outbox) == [1]
        assert outbox.depth() == 1


def test_the_log_beside_the_file_does_not_grow_for_ever(path, author):
    with Outbox(path, ["broker"]) as outbox:
        for _ in range(300):
            outbox.put(*[_seen(author, 1000) for _ in range(20)])
            _deliver_all(outbox)

        assert path.with_name("outbox.db-wal").stat().st_size < 6 * 1024 * 1024


def test_closed_is_closed_and_may_be_said_twice(path, author):
    outbox = Outbox(path, ["broker"])
    outbox.close()
    outbox.close()

    with pytest.raises(ValueError, match="closed"):
        outbox.put(_seen(author))


@pytest.mark.parametrize("sinks", [[], ["broker", "broker"], "broker"])
def test_sinks_that_are_none_or_twice_the_same_are_refused(path, sinks):
    with pytest.raises(ValueError, match="sinks must be names"):
        Outbox(path, sinks)


def test_a_sink_that_is_not_named_is_refused_with_those_that_are(path):
    with Outbox(path, ["broker", "file"]) as outbox:
        for ask in (outbox.pending, outbox.depth, lambda sink: outbox.acked(sink, [1])):
            with pytest.raises(ValueError, match="no sink 'brokre'; there are: broker, file"):
                ask("brokre")


@pytest.mark.parametrize("wrong", [{"max_bytes": 1000}, {"max_age_s": 0.0}, {"when_full": "drop all"}])
def test_limits_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=r"need max_bytes|no policy"):
        Limits(**wrong)


def test_an_event_that_is_not_json_is_the_callers_mistake_and_changes_nothing(path, author):
    with Outbox(path, ["broker"]) as outbox:
        with pytest.raises(ValueError, match="holds what JSON cannot"):
            outbox.put(_seen(author), author.event(OBSERVATION, "", {"score": float("nan")}))

        assert (outbox.depth(), outbox.counts["dropped"]) == (0, {})


def test_importing_it_loads_nothing_beyond_the_standard_library():
    code = (
        "import sys, json; import edgekit.outbox;"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules} - set(sys.stdlib_module_names))))"
    )
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
    assert not set(loaded) & {"cv2", "pydantic", "paho", "starlette", "apsw", "onnxruntime", "openvino"}
