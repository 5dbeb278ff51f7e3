"""Paths that begin with a tilde, and users without a home folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from diffseg.backbones import MissingWeights
from diffseg.backbones.weights import files as weights
from diffseg.files.paths import NoHome, expanded
from eval.config import ConfigError
from experiments.running.arguments import parse


def test_only_a_tilde_at_the_start_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/people/me")
    assert expanded("~/a b/cat.jpg") == Path("/people/me/a b/cat.jpg")
    for path in ("cat.jpg", "a~/cat.jpg", "/x/~/cat.jpg"):
        assert expanded(path) == Path(path)


def test_an_unknown_user_is_named() -> None:
    with pytest.raises(NoHome, match=r"^~nobody-of-this-name/x: there is no user nobody-of-this-name on this machine"):
        expanded("~nobody-of-this-name/x")


def test_an_unknown_home_folder_is_an_error_that_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose user has no entry in its passwd file."""
    for name in ("HOME", "DIFFSEG_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # what it does for such a user
    with pytest.raises(MissingWeights, match=r"no home folder .* DIFFSEG_CACHE=DIR"):
        weights.cache_folder()
    with pytest.raises(MissingWeights, match=r"^path: ~/sd14: .* HOME"):
        weights.locate("~/sd14", ["config.json"])
    with pytest.raises(NoHome, match=r"^~/x: this user has no home folder"):
        expanded("~/x")
    with pytest.raises(ConfigError, match=r"^results_dir: ~/out: this user has no home folder"):
        parse("results_dir=~/out", swept=False)
