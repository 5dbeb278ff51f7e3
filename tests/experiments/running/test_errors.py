"""Errors end a command with one line and a status."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf

from diffseg.backbones import WeightsError
from eval.config import ConfigError
from experiments.running.errors import PicturesFailed, one_line_errors, user_message


def raised(call: object) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        call()  # type: ignore[operator]
    return caught.value


def unknown_key(key: str) -> Exception:
    config = OmegaConf.create(
        {"segmenter": {"_target_": "diffseg.segmenters.diffseg.DiffSeg", "tau": 1}, "backbone": {"size": 2}}
    )
    OmegaConf.set_struct(config, True)
    error = ConfigCompositionException(f"Could not override '{key}'")
    error.__cause__ = raised(lambda: OmegaConf.update(config, key, 3))
    return error


def broken_yaml(path: Path) -> Exception:
    path.write_text("a: [1\nb: 2\n")
    with path.open() as file:
        return raised(lambda: yaml.safe_load(file))


def test_an_unknown_key_is_named_with_the_nearest_one_or_its_home() -> None:
    message = user_message(unknown_key("segmenter.tua"))
    assert message == "segmenter.tua: DiffSeg has no such key; did you mean segmenter.tau?"
    assert user_message(unknown_key("size")) == "size: there is no such key; did you mean backbone.size?"


def test_another_folder_of_weights_is_advised_as_a_key_once() -> None:
    message = user_message(WeightsError("the weights are elsewhere; give path=DIR"))
    assert message == "the weights are elsewhere; give backbone.path=DIR"
    assert user_message(WeightsError(message)) == message


def test_messages_are_one_line_without_the_words_of_hydra(tmp_path: Path) -> None:
    missing = MissingConfigException("no", "segmenter/dbscam", ["dbscan", "diffseg"])
    bracket = raised(lambda: OverridesParser.create().parse_overrides(["segmenter.tau=[1"]))
    assert isinstance(bracket, OverrideParseException)
    with_search_path = ConfigCompositionException("In 'config': no\n\nConfig search path:\n  provider=hydra")
    messages = {
        missing: "segmenter=dbscam: there is no such choice; did you mean segmenter=dbscan?",
        bracket: "segmenter.tau=[1: is neither group=choice nor key=value; check its brackets and quotes",
        ConfigError("tau: must be above 0"): "tau: must be above 0",
        OSError(28, "No space left on device", "a.csv"): "a.csv: No space left on device",
        broken_yaml(
            tmp_path / "a.yaml"
        ): f"{tmp_path}/a.yaml: is not valid YAML (line 2: expected ',' or ']', but got ':')",
        with_search_path: "In 'config': no",
    }
    for error, message in messages.items():
        assert user_message(error) == message


@pytest.mark.parametrize(
    ("error", "status", "printed"),
    [
        (ConfigError("tau: must be above 0"), 2, "error: tau: must be above 0\n"),
        (PicturesFailed(), 1, ""),
        (KeyError("a bug"), 2, "error: KeyError at "),
    ],
)
def test_the_status_tells_errors_from_failed_pictures(
    error: Exception, status: int, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, one_line_errors():
        raise error
    assert ended.value.code == status
    message = capsys.readouterr().err
    assert message.startswith(printed)
    assert message.count("\n") == bool(printed)


def test_the_traceback_of_a_bug_and_a_closed_pipe_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BrokenPipeError), one_line_errors():
        raise BrokenPipeError
    monkeypatch.setenv("DIFFSEG_TRACEBACK", "1")
    with pytest.raises(KeyError), one_line_errors():
        raise KeyError("a bug")
