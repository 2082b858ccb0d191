"""What an address may show."""

from __future__ import annotations

import pytest

from edgekit.redact import redact


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://admin:hunter2@10.0.0.7:554/stream1", "rtsp://***@10.0.0.7:554/stream1"),
        ("rtsp://admin:p@ss/w?rd@10.0.0.7/s", "rtsp://***@10.0.0.7/s"),
        ("rtsp://10.0.0.7/s?user=admin&password=hunter2", "rtsp://10.0.0.7/s?***"),
        ("rtsp://10.0.0.7/s", "rtsp://10.0.0.7/s"),
        ("/videos/a@b?.mp4", "/videos/a@b?.mp4"),
    ],
)
def test_passwords_are_taken_out_of_addresses(address: str, shown: str) -> None:
    assert redact(address) == shown
