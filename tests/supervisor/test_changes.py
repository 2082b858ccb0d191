"""What a camera sees becomes an event when it has changed and the change has settled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.supervisor.changes import Changes, counts


def seen(*labels: str) -> dict[str, int]:
    return counts({"detections": [{"label": label} for label in labels]})


def test_things_are_counted_by_product_where_it_is_known_and_else_by_label():
    cola = {"label": "bottle", "product": {"label": "cola 0.5 l", "score": 0.9}}

    assert counts({"detections": [cola, {"label": "bottle"}, cola]}) == {"bottle": 1, "cola 0.5 l": 2}


def test_one_errant_frame_is_no_event():
    changes = Changes(settle=3)
    views = [seen("can")] * 5 + [seen()] + [seen("can")] * 5

    assert [told for view in views if (told := changes.update(view)) is not None] == [{"can": 1}]


def test_a_change_is_told_once_when_it_has_settled():
    changes = Changes(settle=3)
    told = [changes.update(view) for view in [seen()] * 4 + [seen("can")] * 4]

    assert told == [None, None, {}, None, None, None, {"can": 1}, None]


def test_a_view_that_flickers_is_never_told():
    changes = Changes(settle=2)
    views = [seen("can"), seen("can", "can")] * 20

    assert all(changes.update(view) is None for view in views)


def test_the_order_of_the_detections_is_no_change():
    changes = Changes(settle=1)
    changes.update(seen("can", "bottle"))

    assert changes.update(seen("bottle", "can")) is None


def test_after_the_view_was_lost_what_is_there_is_told_again():
    changes = Changes(settle=2)
    assert [changes.update(seen("can")) for _ in range(3)] == [None, {"can": 1}, None]
    changes.forget()

    assert [changes.update(seen("can")) for _ in range(3)] == [None, {"can": 1}, None]


@given(st.integers(1, 4), st.lists(st.sampled_from(["", "a", "ab"]), max_size=40))
def test_what_is_told_has_been_seen_so_many_times_in_a_row_and_is_never_told_twice(settle, views):
    changes = Changes(settle)
    told: list[dict[str, int]] = []
    for index, view in enumerate(views):
        found = changes.update(seen(*view))
        if found is not None:
            assert views[index + 1 - settle : index + 1] == [view] * settle
            assert not told or told[-1] != found
            told.append(found)

    if views[-settle:] and len(views) >= settle and len(set(views[-settle:])) == 1:
        assert told[-1] == seen(*views[-1])


@pytest.mark.parametrize("settle", [1, 3])
def test_an_empty_view_is_told_at_the_beginning(settle):
    changes = Changes(settle)

    assert [changes.update(seen()) for _ in range(settle)][-1] == {}
