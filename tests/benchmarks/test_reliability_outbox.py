"""The three rigs that hurt the outbox: each keeps its promise and each catches its control."""

from __future__ import annotations

import random

import pytest

from edgekit.benchmarks.reliability import disk_full, power_cut, writer_kill
from edgekit.benchmarks.reliability.platter import SECTOR, Platter
from edgekit.benchmarks.reliability.sqlite_disk import Operation


def test_no_stored_event_is_lost_when_its_writer_is_killed():
    figures = writer_kill.run(200, seed=1)

    assert figures.counts["kills"] == 200
    assert figures.counts["stored"] > 1000
    assert figures.counts["kills_while_opening"] > 0
    assert figures.kept, figures
    assert figures.caught, figures.control


def test_no_stored_event_is_lost_when_the_power_is_cut():
    figures = power_cut.run(20_000, seed=1)

    assert figures.counts["cuts"] == 20_000
    assert figures.counts["disks"] > 5000
    assert figures.counts["lives"] > power_cut.LIVES
    assert figures.kept, figures
    assert figures.caught, figures.control


def test_a_failing_disk_raises_nothing_loses_nothing_and_is_counted():
    figures = disk_full.run(200, seed=1)

    refused = {name: count for name, count in figures.counts.items() if name.startswith("refused")}
    assert figures.counts["faults"] == 200
    assert len(refused) == 10
    assert all(refused.values()), refused  # each kind of fault was felt
    assert figures.kept, figures
    assert figures.caught, figures.control


@pytest.mark.parametrize("rig", [power_cut, disk_full])
def test_a_rig_finds_the_same_again_with_the_same_seed(rig):
    first, second = rig.run(60, seed=5), rig.run(60, seed=5)

    untimed = [{name: n for name, n in each.counts.items() if not name.endswith("_ms")} for each in (first, second)]
    assert untimed[0] == untimed[1]


def _write(name: str, offset: int, data: bytes) -> Operation:
    return Operation("write", name, offset, data)


def _images(platter: Platter, count: int = 400) -> set[tuple[tuple[str, bytes], ...]]:
    return {tuple(sorted(image.items())) for image in platter.images(random.Random(1), count)}


def test_what_was_synced_is_on_every_disk_and_the_rest_is_there_in_part():
    platter = Platter({"a": b"old"})
    platter.apply(_write("a", 0, b"new"))
    platter.apply(Operation("sync", "a"))
    assert platter.settled
    assert _images(platter) == {(("a", b"new"),)}

    platter.apply(_write("a", 3, b"1"))
    platter.apply(_write("a", 4, b"2"))
    assert not platter.settled
    assert _images(platter) == {(("a", data),) for data in (b"new", b"new1", b"new12", b"new\x002")}


def test_a_write_is_torn_where_sectors_meet_and_nowhere_else():
    platter = Platter({"a": bytes(2 * SECTOR)})
    platter.apply(_write("a", SECTOR - 2, b"xxxx"))

    assert {dict(image)["a"][SECTOR - 2 : SECTOR + 2] for image in _images(platter)} == {
        bytes(4),
        b"xx\0\0",
        b"\0\0xx",
        b"xxxx",
    }


def test_a_new_name_is_durable_when_its_folder_was_synced():
    platter = Platter({})
    for operation in (Operation("create", "a"), _write("a", 0, b"1"), Operation("sync", "a")):
        platter.apply(operation)
    assert _images(platter) == {(), (("a", b"1"),)}

    platter.apply(Operation("sync folder", ""))
    platter.apply(Operation("delete", "a"))
    assert _images(platter) == {(), (("a", b"1"),)}

    platter.apply(Operation("sync folder", ""))
    assert _images(platter) == {()}


def test_a_truncation_may_be_lost_too():
    platter = Platter({"a": b"123456"})
    platter.apply(Operation("truncate", "a", 2))

    assert _images(platter) == {(("a", b"12"),), (("a", b"123456"),)}
