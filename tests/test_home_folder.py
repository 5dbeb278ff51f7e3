"""Users without a home folder."""

from __future__ import annotations

import pytest

from diffseg import paths
from diffseg.backbones import MissingWeights
from diffseg.backbones.weights import locating
from eval.config import ConfigError
from experiments.running.arguments import parse


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """No home folder, as in a container whose user has no entry in its passwd file."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("DIFFSEG_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # what it does for such a user


@pytest.mark.usefixtures("no_home")
def test_an_unknown_home_folder_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(MissingWeights, match=r"no home folder .* DIFFSEG_CACHE=DIR"):
        locating.cache_folder()
    with pytest.raises(MissingWeights, match=r"^path: ~/sd14: .* HOME"):
        locating.locate("~/sd14", ["config.json"])
    with pytest.raises(paths.NoHome, match=r"^~/x: this user has no home folder"):
        paths.expanded("~/x")
    with pytest.raises(ConfigError, match=r"^results_dir: ~/out: this user has no home folder"):
        parse("results_dir=~/out", swept=False)
