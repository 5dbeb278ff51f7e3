"""The command line: paths with special characters, the home folder, Hydra's grammar, options, and errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from eval.config import ConfigError
from experiments.running.arguments import TEXT_KEYS, for_hydra, parse, read_arguments
from tests.helpers.hard_names import FOLDER_NAMES, WITH_COMMAS


def values(argument: str, swept: bool = False) -> list[object]:
    return [assignment.value for assignment in parse(argument, swept)]


def read_by_hydra(argument: str) -> object:
    return OverridesParser.create().parse_overrides([argument])[0].value()


@pytest.mark.parametrize("name", [*FOLDER_NAMES, *WITH_COMMAS])
@pytest.mark.parametrize("key", ["dataset.root", "+segmenter.folder", "results_dir"])
def test_a_path_is_read_as_typed(key: str, name: str) -> None:
    for path in (name, f"/data/{name}", f"data/{name}/x.txt"):
        if path.startswith("~"):
            continue
        assert values(f"{key}={path}") == [path]
        if name in FOLDER_NAMES:
            assert values(f"{key}={path},/other", swept=True) == [path, "/other"]
            assert read_by_hydra(for_hydra(f"{key}={path}")) == path  # for sweepers of other packages


@pytest.mark.parametrize(
    ("argument", "swept", "expected"),
    [
        ("dataset.root=null", False, [None]),
        ("dataset.root='/data/a b'", False, ["/data/a b"]),
        ('dataset.root="/data/a,b"', True, ["/data/a,b"]),
        ("dataset.root=choice(a,b)", True, ["a", "b"]),
        ("dataset.root=${oc.env:DATA}/coco", False, ["${oc.env:DATA}/coco"]),
        ("dataset.classes=[sky,sea]", False, [["sky", "sea"]]),
        ("backbone.path=facebook/dino-vits8", False, ["facebook/dino-vits8"]),
        ("segmenter.tau=0.3,0.4", True, [0.3, 0.4]),
        ("segmenter.seed=range(3)", True, [0, 1, 2]),
        ("segmenter.tau=range(0.1,0.4,0.1)", True, [0.1, 0.2, 0.3]),
        ("segmenter.tau=range(0.5,1.1,0.1)", True, [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        ("segmenter.tau=range(0.2,0,-0.05)", True, [0.2, 0.15, 0.1, 0.05]),
        ("segmenter=glob([slic,kmeans_r*])", True, ["kmeans_rgbxy", "slic"]),
        ("name=my run (2)", False, ["my run (2)"]),
        ("name=12", False, ["12"]),
        ("segmenter.word=Jürgen's", False, ["Jürgen's"]),  # Hydra cannot read it
        ("++segmenter.clusters=3", False, [3]),
    ],
)
def test_other_values_are_read_in_hydras_grammar(argument: str, swept: bool, expected: list[object]) -> None:
    assert values(argument, swept) == expected


@pytest.mark.parametrize("key", [*TEXT_KEYS, "segmenter.prompts"])
@pytest.mark.parametrize("typed", ["~/maps", "'~/maps'", '"~/maps"'])
def test_the_tilde_in_a_path_becomes_the_home_folder(key: str, typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's own part may give its folder any key."""
    monkeypatch.setenv("HOME", "/people/Jürgen (2)")
    assert values(f"{key}={typed}") == ["/people/Jürgen (2)/maps"]


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


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("results_dir=", "results_dir: is empty; give a folder"),
        ("", "an argument is empty; is a variable of the shell not set?"),
        ("dataset.root=~nobody-of-that-name/coco", "there is no user nobody-of-that-name on this machine"),
        ("--tables=/no/such", "--tables: must be followed by a results folder, got /no/such"),
        ("--config-dir", "--config-dir/-cd: expected one argument"),
        ("--coco=maps", "--coco: writes the label maps of a results folder; give the folder with --tables DIR"),
        ("~dataset.root=a", "is neither group=choice nor key=value"),
        ("+experiment=demo", "+experiment=demo: leave out the +"),
        ("segmenter=glob(x*)", "needs -m"),
    ],
)
def test_an_argument_that_cannot_be_read_is_a_one_line_error(argument: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        _ = [parse(override, swept=False) for override in read_arguments([argument]).overrides]
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("options", [("--tables", "--rescore"), ("--tables", "--rerun"), ("--rerun", "--rescore")])
def test_options_that_exclude_each_other_are_refused(options: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"^{options[1]}: not allowed with argument {options[0]} "):
        read_arguments([f"{option}={tmp_path}" for option in options])
