"""Makes lines of a records file, without scores."""

from __future__ import annotations

from eval.settings import row_key

SETTINGS = {"experiment": "table1", "segmenter": {"name": "diffseg", "tau": 1.0, "layers": (8, 9)}}
KEY = row_key(SETTINGS)


def ok(image: str, segments: int = 3, key: str = KEY) -> dict[str, object]:
    return {"type": "image", "key": key, "image": image, "status": "ok", "segments": segments}
