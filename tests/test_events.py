"""Events as another program reads them: CloudEvents JSON, ids that never repeat, gaps that show."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import EdgekitError
from edgekit.events import CAMERA_STATE, OBSERVATION, Author, Event


def _author(boot: str = "b00t") -> Author:
    return Author("cart-17", boot, clock=lambda: 12.3456789, wall=lambda: 1_800_000_000.9996)


def test_an_event_is_a_cloud_event_with_a_time_to_the_millisecond():
    event = _author().event(CAMERA_STATE, "front", {"state": "LOST", "reason": "refused"})

    assert json.loads(event.to_json()) == {
        "specversion": "1.0",
        "id": "cart-17/b00t/1",
        "source": "edgekit/cart-17",
        "type": "edgekit.camera.state",
        "subject": "front",
        "time": "2027-01-15T08:00:01.000Z",
        "datacontenttype": "application/json",
        "boot": "b00t",
        "sequence": "0000000001",
        "monotonic": "12.345679",
        "data": {"state": "LOST", "reason": "refused"},
    }


def test_every_attribute_name_and_value_is_one_that_cloud_events_allows():
    event = json.loads(_author().event(OBSERVATION, "", {}).to_json())
    del event["data"]

    assert all(re.fullmatch("[a-z0-9]{1,20}", name) for name in event)
    assert all(isinstance(value, str) and value for value in event.values())  # an empty subject is left out


@given(
    subject=st.text(),
    wall=st.floats(0, 4e9),
    clock=st.floats(0, 1e9),
    data=st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)),
)
def test_an_event_read_back_equals_itself(subject, wall, clock, data):
    data = {key: value for key, value in data.items() if value not in (float("inf"), float("-inf"))}
    event = Author("cart-17", "b00t", lambda: clock, lambda: wall).event(OBSERVATION, subject, data)

    text = event.to_json()

    assert Event.from_json(text) == event
    assert text.isascii()
    assert "\n" not in text


def test_no_id_is_given_twice_by_many_threads_or_after_a_new_start():
    first, second = Author("cart-17"), Author("cart-17")
    with ThreadPoolExecutor(4) as threads:
        ids = list(threads.map(lambda n: (first, second)[n % 2].event(OBSERVATION, "", {}).id, range(2000)))

    assert len(set(ids)) == 2000
    assert sorted(int(id_.split("/")[2]) for id_ in ids if f"/{first.boot}/" in id_) == list(range(1, 1001))


def test_a_consumer_sees_a_gap_where_an_event_was_dropped():
    author = _author()
    told = [author.event(OBSERVATION, "", {}) for _ in range(5)]
    arrived = [Event.from_json(event.to_json()) for event in told if event.sequence != 3]

    assert [event.sequence for event in arrived] == [1, 2, 4, 5]


@pytest.mark.parametrize("data", [{"score": float("nan")}, {"score": float("inf")}, {"boxes": object()}])
def test_what_json_cannot_hold_is_the_callers_mistake_and_named(data):
    with pytest.raises(ValueError, match="event 'cart-17/b00t/1' holds what JSON cannot"):
        _author().event(OBSERVATION, "", data).to_json()


@pytest.mark.parametrize("device", ["", "cart 17", "cart/17", "kühlregal"])
def test_a_device_whose_name_would_break_an_id_is_refused(device):
    with pytest.raises(ValueError, match="a device's name is of letters"):
        Author(device)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"specversion": "0.3"}, "specversion '0.3'"),
        ({"id": "7"}, "an event's id is 'device/boot/seq'"),
        ({"id": None}, "expected string"),
        ({"time": "2027-01-15T08:00:01"}, "has no zone"),
        ({"time": "yesterday"}, "yesterday"),
        ({"monotonic": "nan"}, "finite"),
        ({"data": 5}, "not iterable"),
        ({"type": ""}, "needs a type"),
    ],
)
def test_what_is_no_event_of_ours_is_refused_with_the_reason(change, told):
    found = json.loads(_author().event(OBSERVATION, "front", {}).to_json()) | change

    with pytest.raises(EdgekitError, match="not an edgekit event: .*" + re.escape(told)):
        Event.from_json(json.dumps(found))


@pytest.mark.parametrize("text", ["", "[]", "7", '{"specversion": "1.0"}', b"\xff"])
def test_no_text_at_all_makes_the_reader_fail_in_another_way(text):
    with pytest.raises(EdgekitError, match="not an edgekit event"):
        Event.from_json(text)
