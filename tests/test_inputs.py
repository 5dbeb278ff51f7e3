"""Inputs as people have them. Each case is a line of data; a case of a known kind needs no new test."""

from __future__ import annotations

import ast
import importlib
import io
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from datasets import base
from diffseg import paths
from diffseg.backbones import MissingWeights, weights
from diffseg.cli.main import main as diffseg
from diffseg.command import run_command
from eval.config import ConfigError
from eval.shards import Shard, join_shards
from experiments.evaluate import PLUGINS
from experiments.evaluate import main as run_evaluate
from experiments.report.__main__ import main as report
from experiments.running.arguments import PATH_KEYS, normalise_argv, quote_path
from tests.conftest import ROOT
from tests.helpers.coco_folder import IDS, write_folder
from tests.helpers.makefile import command_of
from tests.helpers.runs import SMALL, evaluate

FOLDER_NAMES = (
    *("my data", " leading", "müller", "日本語", "🙂", "d (2)", "(1)", "[1]", "{x}", "<x>", "a=1", "=", "c#", "@home"),
    *("it's", "'quoted", 'say "hi"', '"', "a;b", "a&b", "a|b", "$HOME", "`x`", "!x", "*?", "%20", "a+b", "-x", "^"),
    *("back\\slash", "ends\\", "\\'", "tab\tx", "123", "1e3", "true", "off", "key: value", "a.b", "..x", "~x/../y"),
)
WITH_COMMAS = ("a,b", "choice(a,b)", "range(3)", ",")
HARD_NAME = 'Jürgen\'s "data" (2) #1 = {a,b} [x] 100% @ home; $HOME & ~'


def read_by_hydra(argument: str) -> object:
    return OverridesParser.create().parse_overrides([argument])[0].value()


@pytest.mark.parametrize("name", [*FOLDER_NAMES, *WITH_COMMAS])
@pytest.mark.parametrize("key", ["dataset.root", "+segmenter.folder", "results_dir", "hydra.sweep.dir"])
def test_a_path_reaches_hydra_as_typed(key: str, name: str) -> None:
    for path in (name, f"/data/{name}", f"data/{name}/x.txt"):
        if not path.startswith("~"):
            assert read_by_hydra(quote_path(f"{key}={path}")) == path


@pytest.mark.parametrize("name", FOLDER_NAMES)
def test_a_sweep_of_paths_has_those_typed(name: str) -> None:
    sweep = read_by_hydra(quote_path(f"dataset.root=/data/{name},/other/{name}", swept=True))
    assert [str(getattr(each, "text", each)) for each in sweep.list] == [f"/data/{name}", f"/other/{name}"]


@pytest.mark.parametrize("name", [*FOLDER_NAMES, *WITH_COMMAS])
def test_results_of_a_sweep_have_one_folder(name: str) -> None:
    assert read_by_hydra(quote_path(f"results_dir=/out/{name}", swept=True)) == f"/out/{name}"


@pytest.mark.parametrize(
    ("argument", "swept"),
    [
        ("dataset.root=null", False),
        ("dataset.root='/data/a b'", False),
        ('dataset.root="/data/a,b"', True),
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
def test_what_hydra_reads_already_is_left(argument: str, swept: bool) -> None:
    assert quote_path(argument, swept) == argument


@pytest.mark.parametrize("key", PATH_KEYS)
@pytest.mark.parametrize("typed", ["~/maps", "'~/maps'", '"~/maps"'])
def test_the_tilde_is_the_home_folder(key: str, typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/people/Jürgen (2)")
    assert read_by_hydra(quote_path(f"{key}={typed}")) == "/people/Jürgen (2)/maps"


@pytest.mark.parametrize("option", ["--config-dir=~/conf", "-cd=~/conf"])
def test_the_tilde_of_an_option(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/people/me")
    name, _, value = option.partition("=")
    assert normalise_argv([option]) == [f"{name}=/people/me/conf"]
    assert normalise_argv([name, value, "dataset=photos"]) == [name, "/people/me/conf", "dataset=photos"]


def test_a_path_of_a_key_outside_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's part may call its folder anything: what only a path can be is taken as one."""
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
        ("hydra/launcher=submitit_slurm", "SLURM is not on this machine"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(argument: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError) as raised:
        normalise_argv([argument])
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.usefixtures("dinov2")
def test_a_run_in_folders_with_hard_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything lies below such a folder, and each path is typed another way."""
    monkeypatch.setenv("DIFFSEG_CACHE", str(weights.cache_folder()))
    home = tmp_path / HARD_NAME
    monkeypatch.setenv("HOME", str(home))
    data = write_folder(home / "coco")
    (home / "split.txt").write_text(IDS[0])
    (home / "conf" / "experiment").mkdir(parents=True)
    (home / "conf" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\nname: mine\nresults_dir: ~/from yaml\n"
    )
    settings = ("dataset=cocostuff27", "dataset.split_file=~/split.txt", *SMALL)
    run = evaluate(home / "run", f"dataset.root={data}", *settings, capture=capsys)
    assert run.status == 0, run.err
    assert list(run.table()["images"]) == [1, 1]
    assert str(home / "run") in run.out

    swept = ("dataset.root='~/coco'", "segmenter.tau=0.3,0.4")
    sweep = evaluate(Path("~/sweep"), *swept, *settings, capture=capsys, multirun=True)
    assert sweep.status == 0, sweep.err
    assert (home / "sweep" / "1" / "summary.csv").is_file()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "sys.argv", ["evaluate", "--config-dir=~/conf", "experiment=mine", f"dataset.root={data}", *settings]
    )
    run_evaluate()
    GlobalHydra.instance().clear()
    assert (home / "from yaml" / "summary.csv").is_file()

    report(["~/run", "-o", "~/page.html"])
    assert (home / "page.html").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == [home.name]  # no folder called ~


@pytest.mark.usefixtures("dinov2")
@pytest.mark.parametrize("name", ["Jürgen's (2) #1 = a,b.jpg", "-x.JPG", "🙂.jpeg"])
def test_photographs_with_hard_names(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path / "coco")
    shutil.copy(next((folder / "val2017").iterdir()), tmp_path / name)
    monkeypatch.setenv("DIFFSEG_CACHE", str(weights.cache_folder()))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert diffseg([f"~/{name}", "-o", "~/out ü", "--size", "56", "--anchors", "2"]) == 0
    assert (tmp_path / "out ü" / f"{Path(name).stem}.overlay.png").is_file()
    assert Path(name).stem in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("name", [each for each in (*FOLDER_NAMES, *WITH_COMMAS, "~/data") if "$" not in each])
def test_make_passes_a_path_on(name: str) -> None:
    name = name.strip()  # as make does
    assert f"dataset.root={name}/cocostuff" in command_of("reproduce-table1", f"DATA={name}")
    assert f"{name}/cocostuff" in command_of("data-cocostuff", f"DATA={name}")
    assert name in command_of("data-cityscapes", f"DIR={name}")
    assert {name, f"{name}/figures"} <= set(command_of("figures", f"RESULTS={name}"))


def test_every_command_expands_the_tilde() -> None:
    """Path arguments have ``type=path_argument``; datasets.prepare, which imports no diffseg, has its own."""
    rooms = ("diffseg", "datasets", "eval", "experiments")
    for file in (path for room in rooms for path in (ROOT / room).rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        assert "type=Path" not in text or "datasets/prepare" in file.as_posix(), file
        assert ".expanduser()" not in text or file.name in ("paths.py", "base.py"), file


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["leaderboard", "{run}", "-o", ""], "argument -o/--out: is empty; give a path"),
        (["leaderboard", "{none}"], "{none}: no summary.csv in this folder"),
        (["leaderboard", "~nobody-of-that-name/x"], "there is no user nobody-of-that-name on this machine"),
        (["report", "{none}"], "{none}: no summary.csv in this folder"),
        (["report", "{run}", "-o", ""], "argument -o/--output: is empty"),
        (["figures", "-o", "{file}", "--photo", "coffee"], "{file}: cannot be written (File exists)"),
        (["figures", "-o", "{run}", "--size", "0"], "argument --size: must be a whole number, at least 1, got 0"),
        (["figures", "-o", "{run}", "--photo", "{none}"], "--photo: {none} is no file"),
        (["figures", "-o", "{run}", "--photo", "{file}"], "{file}: "),
        (["benchmark", "--out", "{file}"], "File exists: '{file}'"),
        (["benchmark", "--golden", "{none}"], "argument --golden: {none} is not a folder"),
        (["benchmark", "--only", "speed"], "argument --only: invalid choice: 'speed'"),
    ],
)
@pytest.mark.usefixtures("dinov2")
def test_a_command_says_at_once_what_is_wrong(
    command: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line with status 2, before anything is measured or drawn, and without a new file."""
    places = {"run": tmp_path, "none": tmp_path / "none", "file": tmp_path / "file"}
    places["file"].write_text("mine")
    name, *arguments = [each.format(**places) for each in command]
    module = importlib.import_module(f"experiments.{name}" + ".__main__" * (name == "report"))
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: sys.exit(module.main(arguments)))
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert message.format(**places) in line
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert places["file"].read_text() == "mine"


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs as a user whom it does not know."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("DIFFSEG_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as for a user without an entry in passwd


@pytest.mark.usefixtures("no_home")
def test_without_a_home_folder() -> None:
    with pytest.raises(MissingWeights, match=r"no home folder .* DIFFSEG_CACHE=DIR"):
        weights.cache_folder()
    with pytest.raises(MissingWeights, match=r"^path: ~/sd14: .* HOME"):
        weights.locate("~/sd14", ["config.json"])
    with pytest.raises(base.DatasetError, match=r"^dataset.root: the home folder of ~/coco is unknown"):
        base.expanded("~/coco", "dataset.root")
    with pytest.raises(paths.NoHome, match=r"^~/x: this user has no home folder"):
        paths.expanded("~/x")
    with pytest.raises(ConfigError, match=r"^results_dir: ~/out: this user has no home folder"):
        normalise_argv(["results_dir=~/out"])


@pytest.mark.parametrize(
    ("environment", "wrong"),
    [
        ({"WORLD_SIZE": "2"}, "RANK, LOCAL_RANK, MASTER_PORT"),
        ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_PORT": "29500"}, "MASTER_ADDR"),
        ({"WORLD_SIZE": "many"}, "WORLD_SIZE, RANK"),
    ],
)
def test_a_cluster_sets_half_of_what_torchrun_sets(
    environment: dict[str, str], wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"missing or not numbers: {wrong}"):
        join_shards()


@pytest.mark.parametrize(
    ("name", "gpus", "rank", "device", "warned"),
    [
        ("auto", 4, 3, "cuda:3", False),
        ("cuda", 4, 3, "cuda:3", False),
        ("auto", 2, 3, "cuda:1", False),
        ("auto", 2, 0, "cuda:0", True),
        ("cuda:1", 2, 0, "cuda:1", False),
        ("cpu", 2, 0, "cpu", False),
    ],
)
def test_more_processes_than_gpus(
    *, name: str, gpus: int, rank: int, device: str, warned: bool,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """No GPU is needed: only the number of GPUs is read."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.setenv("LOCAL_RANK", str(rank))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert Shard(rank, 4).device(name) == device
    assert ("started 4 processes on this machine, which has 2 GPUs" in caplog.text) == warned


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rows=[]"], "rows: is empty; list at least one row, or leave the key out"),
        (["results_dir={file}"], "{file}"),
        (["-m", "results_dir={file}", "segmenter.tau=0.2,0.3"], "{file}: File exists"),
        (["dataset=voc2012", "dataset.root={space}"], "then give 'dataset.root={space}'"),
        (["dataset=cityscapes27", "dataset.root={space}"], "`make data-cityscapes DIR='{space}'`"),
        (["dataset.split_file={space}"], "{space}: "),
        (["dataset.split_file={none}"], "{none}: "),
        (["backbone.path={file}"], "backbone.path: {file} is not a folder"),
        (["backbone=sd14", "backbone.path={space}"], "backbone.path: the folder {space} has no "),
        (["rows=[{{name: A, overrides: ['backbone.path={space}']}}]"], "backbone.path: the folder {space} has no "),
    ],
)
@pytest.mark.usefixtures("dinov2")
def test_paths_that_cannot_be_used(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"file": tmp_path / "file", "space": tmp_path / "my data (2)", "none": tmp_path / "none"}
    places["file"].write_text("mine")
    places["space"].mkdir()
    run = evaluate(tmp_path / "run", *(each.format(**places) for each in arguments), capture=capsys)
    assert run.status == 2
    (line,) = run.err.splitlines()
    assert line.startswith("error: ")
    assert message.format(**places) in line
    assert not run.folder.exists()
    assert places["file"].read_text() == "mine"


PARTS = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Part:
    fails: str = ""

    def __post_init__(self):
        if self.fails == "built":
            raise TypeError("two\\nlines")

    def resolved(self, side, values):
        if self.fails == "resolved":
            raise KeyError("eps")
        return self

    def __call__(self, scene):
        raise AttributeError("no such thing")

class NoDataclass:
    pass
"""
YAMLS = {
    "built": b"_target_: parts_of_a_user.Part\nfails: built",
    "resolved": b"_target_: parts_of_a_user.Part\nfails: resolved",
    "called": b"_target_: parts_of_a_user.Part\nfails: called",
    "module": b"_target_: no_such_module.Part",
    "name": b"_target_: parts_of_a_user.Other",
    "kind": b"_target_: parts_of_a_user.NoDataclass",
    "nothing": b"",
    "yaml": b"_target_: [1\nfails: : 2",
    "latin": b"_target_: parts_of_a_user.Part\nfails: w\xe4rd",
}


@pytest.mark.parametrize(
    ("segmenter", "message"),
    [
        ("built", "segmenter: Part cannot be built (TypeError: two lines)"),
        ("resolved", "KeyError at {parts}:14: 'eps' (DIFFSEG_TRACEBACK=1 shows the traceback)"),
        ("called", "AttributeError at {parts}:18: no such thing (DIFFSEG_TRACEBACK=1 shows the traceback)"),
        ("module", "segmenter._target_: must name a dataclass, got no_such_module.Part (ModuleNotFoundError: "),
        ("name", "segmenter._target_: must name a dataclass, got parts_of_a_user.Other (AttributeError: "),
        ("kind", "segmenter._target_: must name a dataclass, got parts_of_a_user.NoDataclass (TypeError: "),
        ("nothing", "segmenter._target_: must name a dataclass, got None"),
        ("yaml", "{conf}/segmenter/yaml.yaml: is not valid YAML (line 2: "),
        ("latin", "{conf}/segmenter/latin.yaml: is not UTF-8 (byte 39); save it as UTF-8"),
        ("nowhere", "segmenter=nowhere: there is no such choice; "),
    ],
)
@pytest.mark.usefixtures("dinov2")
def test_a_part_of_a_user_that_fails(
    segmenter: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, conf = tmp_path / "parts_of_a_user.py", tmp_path / "conf"
    parts.write_text(PARTS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, parts.stem, raising=False)
    (conf / "segmenter").mkdir(parents=True)
    for name, content in YAMLS.items():
        (conf / "segmenter" / f"{name}.yaml").write_bytes(content)
    settings = (f"segmenter={segmenter}", "dataset.limit=1", "backbone.size=56", "backbone.sides=[4]")
    run = evaluate(tmp_path / "run", f"--config-dir={conf}", *settings, capture=capsys)
    assert run.status == 2
    (line,) = [line for line in run.err.splitlines() if not line.startswith("photos, ")]
    assert line.startswith("error: " + message.format(parts=parts, conf=conf))


@pytest.mark.parametrize(
    "argument", ["+colour=1", "++colour=1", "+colour.red=1", "+segmenter.colour=1", "+tracker.x=1"]
)
def test_an_unknown_key_that_is_added(argument: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = evaluate(tmp_path / "run", argument, capture=capsys)
    assert run.status == 2
    key = argument.strip("+").partition("=")[0]
    assert run.err.startswith(f"error: {key.replace('colour.red', 'colour')}: ")
    assert "no such key" in run.err
    assert len(run.err.splitlines()) == 1
    assert not run.folder.exists()


def test_a_terminal_that_cannot_show_a_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(shown, encoding="ascii"))
    run_command(lambda: print("Tables: /tmp/ü/日本"))
    sys.stdout.flush()
    assert shown.getvalue().decode("ascii").rstrip("\r\n") == r"Tables: /tmp/\xfc/\u65e5\u672c"


def test_an_error_that_nobody_foresaw(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def main() -> None:
        raise ValueError("two\nlines")

    with pytest.raises(SystemExit) as ended:
        run_command(main)
    assert ended.value.code == 2
    line = f"error: ValueError at {__file__}:{main.__code__.co_firstlineno + 1}: two lines (DIFFSEG_TRACEBACK=1 shows"
    assert capsys.readouterr().err == f"{line} the traceback)\n"
    monkeypatch.setenv("DIFFSEG_TRACEBACK", "1")
    with pytest.raises(ValueError, match="two"):
        run_command(main)


@pytest.mark.parametrize(
    ("environment", "leads"),
    [
        ({}, True),
        ({"RANK": "3"}, True),
        ({"RANK": "3", "WORLD_SIZE": "1"}, True),
        ({"RANK": "0", "WORLD_SIZE": "4"}, True),
        ({"RANK": "3", "WORLD_SIZE": "4"}, False),
    ],
)
def test_who_writes_the_table_of_a_sweep(
    environment: dict[str, str], leads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(PLUGINS)
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert importlib.import_module("hydra_plugins.one_pass")._leads() is leads


def test_processes_that_cannot_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "99999"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=r"^the 2 processes cannot meet at 127.0.0.1:99999 \(port must"):
        join_shards()


@pytest.mark.parametrize(
    "guard", ["from contextlib import suppress as guard", "from experiments.evaluate import one_line_errors as guard"]
)
def test_a_reader_that_wants_no_more(guard: str) -> None:
    program = f"""{guard}
from diffseg.command import run_command
def main():
    with guard():
        print(*range(10**6), sep='\\n')
run_command(main)"""
    shell = f"{shlex.quote(sys.executable)} -c {shlex.quote(program)} | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (141, "0\n", "")


def test_nothing_that_windows_lacks_is_imported_at_once() -> None:
    """Modules of Python for POSIX are imported inside the functions that need them, which have another way."""
    posix = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog"}
    files = [path for room in ("diffseg", "datasets", "eval", "experiments") for path in (ROOT / room).rglob("*.py")]
    assert files
    for path in files:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            imported = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                imported.append(node.module)
            assert not posix.intersection(imported), path
