"""Paths that begin with a tilde."""

from __future__ import annotations

from pathlib import Path

import pytest

from diffseg.paths import NoHome, expanded


def test_only_a_tilde_at_the_start_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/people/me")
    assert expanded("~/a b/cat.jpg") == Path("/people/me/a b/cat.jpg")
    for path in ("cat.jpg", "a~/cat.jpg", "/x/~/cat.jpg"):
        assert expanded(path) == Path(path)


def test_an_unknown_user_is_named() -> None:
    with pytest.raises(NoHome, match=r"^~nobody-of-this-name/x: there is no user nobody-of-this-name on this machine"):
        expanded("~nobody-of-this-name/x")
