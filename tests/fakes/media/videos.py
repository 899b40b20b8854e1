"""The contract of the video task. The real pipeline needs the package `av`."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from ..contract import Args, Case, Contract
from .describing import ranked
from .inputs import LOADER_CALLS, folder


def video_file(shade: int = 0) -> str:
    """Return a video of ten frames of 64 x 48."""
    import av
    import numpy as np

    path = folder() / f"video-{shade}.mp4"
    if not path.exists():
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=8)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for index in range(10):
                frame = np.full((48, 64, 3), shade + 10 * index, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
    return str(path)


VIDEOS: dict[str, Callable[[], Any]] = {
    "file": video_file,
    "list": lambda: [video_file(), video_file(50)],
    "generator": lambda: (video_file(shade) for shade in (0, 50)),
    "empty list": list,
    "tuple": lambda: (video_file(),),
    "None": lambda: None,
    "number": lambda: 1,
    "missing file": lambda: "missing.mp4",
    "list with None": lambda: [video_file(), None],
    "nothing": lambda: Args(),
    "two inputs": lambda: Args(video_file(), 3),
}
CALLS: list[dict[str, Any]] = [
    *({"top_k": top_k} for top_k in (None, 0, 1, 3, 100, -1, 2.0, "x")),
    *({"function_to_apply": f} for f in ("softmax", "sigmoid", "none", None, "SIGMOID", 3)),
    *({"num_frames": 4}, {"frame_sampling_rate": 2}, {"frame_sampling_rate": "x"}, {"unknown": 1}),
    *LOADER_CALLS,
]
VIDEO = Contract(
    "video-classification",
    (
        *(Case(name, make) for name, make in VIDEOS.items()),
        *(Case(f"{form} | {call}", VIDEOS[form], call) for call in CALLS for form in ("file", "list")),
    ),
    describe=ranked(6),
)
CONTRACTS = (VIDEO,) if find_spec("av") else ()
