"""Makes lines of a records file, without scores, and reads them."""

from __future__ import annotations

from eval.storage.records import RecordFile

from eval.settings import row_key

SETTINGS = {"experiment": "table1", "segmenter": {"name": "diffseg", "tau": 1.0, "layers": (8, 9)}}
KEY = row_key(SETTINGS)


def ok(image: str, segments: int = 3, key: str = KEY) -> dict[str, object]:
    return {"type": "image", "key": key, "image": image, "status": "ok", "segments": segments}


def done(records: RecordFile, key: str) -> set[str]:
    """Ids of the pictures that were evaluated for a row."""
    return {each["image"] for each in records.records(key, records.images(key)) if each["status"] == "ok"}


def failed(image: str) -> dict[str, object]:
    return {"type": "image", "key": KEY, "image": image, "status": "failed", "reason": "no proposal is left"}
