"""Where frames come from: a camera, a video or GIF, a folder of pictures, a network address, a rendered scene, arrays.

    with open_source("rtsp://user:secret@10.0.0.7/stream") as camera:
        for frame in camera:
            ...

Passwords in addresses appear in no error, no log and no frame: `redact` takes them out.
"""

from edgekit.runtime.settings import CameraMode
from edgekit.runtime.sources.files import Pictures
from edgekit.runtime.sources.opencv import Capture
from edgekit.runtime.sources.opening import open_source
from edgekit.runtime.sources.played import Arrays, Paced
from edgekit.runtime.sources.source import Clock, Source

__all__ = ["Arrays", "CameraMode", "Capture", "Clock", "Paced", "Pictures", "Source", "open_source"]
