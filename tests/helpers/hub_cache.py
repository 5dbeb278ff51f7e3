"""A made-up Hugging Face cache."""

from __future__ import annotations

import hashlib
from pathlib import Path

REVISION = "0123456789abcdef0123456789abcdef01234567"


def hex_sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def add_to_hub(cache: Path, files: dict[str, bytes], name: str = "owner/name") -> Path:
    """Writes a repository laid out as huggingface_hub does. Returns its snapshot folder."""
    repository = cache / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(REVISION)
    (repository / "blobs").mkdir()
    snapshot = repository / "snapshots" / REVISION
    for file, content in files.items():
        blob = repository / "blobs" / hex_sha256(content)
        blob.write_bytes(content)
        (snapshot / file).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / file).symlink_to(blob)
    return snapshot
