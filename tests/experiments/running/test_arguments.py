"""Arguments before Hydra reads them: paths with special characters, the home folder, and errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from eval.config import ConfigError
from experiments.running.arguments import PATH_KEYS, parse, quote_path, read_arguments
from tests.helpers.hard_names import FOLDER_NAMES, WITH_COMMAS


def read_by_hydra(argument: str) -> object:
    return OverridesParser.create().parse_overrides([argument])[0].value()


@pytest.mark.parametrize("name", [*FOLDER_NAMES, *WITH_COMMAS])
@pytest.mark.parametrize("key", ["dataset.root", "+segmenter.folder", "results_dir"])
def test_a_path_reaches_hydra_as_typed(key: str, name: str) -> None:
    for path in (name, f"/data/{name}", f"data/{name}/x.txt"):
        if not path.startswith("~"):
            assert read_by_hydra(quote_path(f"{key}={path}")) == path


@pytest.mark.parametrize("name", FOLDER_NAMES)
def test_each_path_of_a_sweep_reaches_hydra_as_typed(name: str) -> None:
    sweep = read_by_hydra(quote_path(f"dataset.root=/data/{name},/other/{name}", swept=True))
    assert [str(getattr(each, "text", each)) for each in sweep.list] == [f"/data/{name}", f"/other/{name}"]


@pytest.mark.parametrize(
    ("argument", "swept"),
    [
        ("dataset.root=null", False),
        ("dataset.root='/data/a b'", False),
        ('dataset.root="/data/a,b"', True),
        ('results_dir="/out/a,b"', True),
        ("dataset.root=choice(a,b)", True),
        ("dataset.root=${oc.env:DATA}/coco", False),
        ("dataset.classes=[sky,sea]", False),
        ("backbone.path=facebook/dino-vits8", False),
        ("segmenter.tau=0.3,0.4", True),
        ("name=a b", False),
        ("dataset=photos", False),
        ("~dataset.root", False),
        ("demo", False),
    ],
)
def test_arguments_that_hydra_can_read_stay_as_typed(argument: str, swept: bool) -> None:
    assert quote_path(argument, swept) == argument


@pytest.mark.parametrize("key", PATH_KEYS)
@pytest.mark.parametrize("typed", ["~/maps", "'~/maps'", '"~/maps"'])
def test_the_tilde_in_a_path_becomes_the_home_folder(key: str, typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/people/Jürgen (2)")
    assert read_by_hydra(quote_path(f"{key}={typed}")) == "/people/Jürgen (2)/maps"


@pytest.mark.parametrize("option", ["--config-dir", "-cd", "--tables", "--rescore", "--rerun"])
def test_the_tilde_after_an_option_becomes_the_home_folder(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").mkdir()
    for typed in ([f"{option}=~/mine"], [option, "~/mine", "dataset=photos"]):
        arguments = read_arguments(typed)
        folders = (arguments.config_dir, arguments.tables, arguments.rescore, arguments.rerun)
        assert [folder for folder in folders if folder] == [tmp_path / "mine"]
        assert arguments.overrides == typed[2:]


def test_config_yaml_lists_what_repeats_a_command() -> None:
    arguments = read_arguments(["segmenter.tau=0.3,0.4", "-m", "shard=1/2", "results_dir=a b", "dataset.root=a b"])
    assert arguments.for_config == ["-m", "segmenter.tau=0.3,0.4", "dataset.root=a b"]


def test_a_value_that_begins_like_a_path_is_a_path_under_any_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's own part may give its folder any key."""
    monkeypatch.setenv("HOME", "/people/me")
    assert read_by_hydra(quote_path("segmenter.prompts=~/a b")) == "/people/me/a b"
    assert read_by_hydra(quote_path("segmenter.prompts=./d (2)")) == "./d (2)"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("name=my run (2)", """the value needs quotes; type 'name="my run (2)"'"""),
        ("name=Jürgen's", """type 'name="Jürgen'"'"'s"'"""),
        ("results_dir=", "results_dir: is empty; give a folder"),
        ("", "an argument is empty; is a variable of the shell not set?"),
        ("dataset.root=~nobody-of-that-name/coco", "there is no user nobody-of-that-name on this machine"),
        ("--tables=/no/such", "--tables: must be followed by a results folder, got /no/such"),
        ("--config-dir", "--config-dir: must be followed by a folder like conf/, got nothing"),
    ],
)
def test_an_argument_that_cannot_be_read_is_a_one_line_error(argument: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(read_arguments([argument]).overrides, swept=False)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
