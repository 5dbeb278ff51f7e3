"""``python -m experiments.figures``: the same plots as PNG and PDF, and the paper's figures from a real backbone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from experiments.figures import main, setups
from experiments.paper import figures as paper_figures
from experiments.plotting.plots import all_plots
from experiments.plotting.shown import shown_rows
from tests.helpers.made_runs import grid, made_run

PAPER = ("attention_maps", "aggregation_weights", "examples")


@pytest.mark.long
def test_a_run_gets_its_plots_and_the_papers_figures(
    tmp_path: Path, dinov2: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = made_run(tmp_path / "run", *grid(segmenter__tau=(0.2, 0.3)))
    out = tmp_path / "deep" / "figures"
    photo = tmp_path / "wide.jpg"
    Image.new("RGB", (90, 60), "teal").save(photo)
    arguments = [str(run.folder), "-o", str(out), "--size", "112", "--photo", str(photo), "--photo", "coffee"]
    assert main(arguments) == 0
    plots = [*all_plots(shown_rows([run]))]
    assert {path.name for path in out.iterdir()} == {
        f"{name}.{kind}" for name in (*plots, *PAPER) for kind in ("png", "pdf")
    }
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        f"{2 * len(plots)} files in {out}, plots as PNG and PDF: {', '.join(plots)}",
        f"{2 * len(PAPER)} files in {out}, the paper's figures as PNG and PDF: {', '.join(PAPER)}",
    ]
    assert "Loading weights" not in printed.err
    assert printed.err.count(" img/s") == 1  # the bar of the photographs
    for path in out.glob("*.png"):
        with Image.open(path) as image:
            assert min(image.size) > 200
            assert len(image.convert("RGB").getcolors(1 << 24)) > 10


def test_without_out_figures_lie_in_the_results_and_photographs_of_one_name_stay_apart(
    tmp_path: Path, dinov2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []

    def draw(photos: dict[str, np.ndarray], *others: object) -> dict[str, Figure]:
        drawn.append({name: photo[0, 0].tolist() for name, photo in photos.items()})
        return {name: Figure((1, 1)) for name in PAPER}

    monkeypatch.setattr(paper_figures, "draw", draw)
    monkeypatch.chdir(tmp_path)
    for folder, colour in (("a", 40), ("b", 80)):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (8, 8), (colour, 0, 0)).save(tmp_path / folder / "cat.png")
    assert main(["--photo", "a/cat.png", "--photo", "b/cat.png"]) == 0
    assert drawn == [{"cat": [40, 0, 0], "cat_2": [80, 0, 0]}]
    assert {path.stem for path in (tmp_path / "results/figures").iterdir()} == set(PAPER)
    run = made_run(tmp_path / "run", {})
    assert main([str(run.folder), "--only", "plots"]) == 0
    assert (run.folder / "figures" / "confusion.png").is_file()


def test_figure_4_of_stable_diffusion_has_its_own_time_step_and_tau(sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}
    monkeypatch.setattr(
        paper_figures, "aggregation_weights", lambda photo, maps, tau, title: seen.update(maps=maps, tau=tau) or "4"
    )
    usual, fig4 = setups("sd14", str(sd), 128)
    photos = {"grey": np.full((80, 100, 3), 99, np.uint8)}
    drawn = paper_figures.draw(photos, (usual, fig4), (0.5, 0.5), "cpu")
    assert set(drawn) == set(PAPER)
    assert seen["tau"] == 1.0
    assert seen["maps"].provenance["timestep"] == 100
    assert drawn["attention_maps"].axes[1].get_title() == "2 x 2"


def test_setups_are_those_of_the_paper() -> None:
    usual, fig4 = setups("sd14", None, None)
    assert (usual.spec.timestep, usual.tau) == (300, 1.1)
    assert (fig4.spec.timestep, fig4.tau) == (100, 1.0)
    usual, fig4 = setups("dinov2_small", None, None)
    assert usual.spec.sides == fig4.spec.sides == (64, 32, 16, 8)
    assert usual.tau == fig4.tau == usual.spec.tuned["diffseg"]["tau"]["default"]
    assert setups("dinov2_small", None, 14 * 6)[0].spec.sides == (6, 3)  # those that divide the finest


def test_wrong_arguments_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def error(*arguments: str) -> str:
        assert main(["-o", str(tmp_path / "out"), *arguments]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("figures: ")
        return line

    assert "holds no results" in error(str(tmp_path))
    assert "nowhere.jpg is no file and none of astronaut" in error("--photo", "nowhere.jpg")
    assert "size: must be" in error("--size", "100")
    assert "path" in error("--backbone", "sd14", "--path", str(tmp_path))
    assert error("--backbone", "sd14", "--path", "nobody/nothing").endswith("as --path DIR")
    assert "--only plots: give RESULTS" in error("--only", "plots")
    assert "--to: give RESULTS" in error("--to", "A")
    (tmp_path / "out").write_text("")
    with pytest.raises(SystemExit, match="2"):
        main(["-o", "out", "--at", "1,0"])
    assert "ROW,COL" in capsys.readouterr().err
