"""A segmenter of the user that fails, or whose YAML is wrong, ends the command with one line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.helpers.runs import evaluate

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
        ("nothing", "{conf}/segmenter/nothing.yaml: must hold keys and values"),
        ("yaml", "{conf}/segmenter/yaml.yaml: is not valid YAML (line 2: "),
        ("latin", "{conf}/segmenter/latin.yaml: is not UTF-8 text ("),
    ],
)
@pytest.mark.usefixtures("dinov2")
def test_a_failing_segmenter_of_the_user_is_a_one_line_error(
    segmenter: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, conf = tmp_path / "parts_of_a_user.py", tmp_path / "conf"
    parts.write_text(PARTS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, parts.stem, raising=False)
    (conf / "segmenter").mkdir(parents=True)
    for name, content in YAMLS.items():
        (conf / "segmenter" / f"{name}.yaml").write_bytes(content)
    settings = (f"segmenter={segmenter}", "dataset.limit=1", "backbone.size=56", "backbone.sides=[4]")
    run = evaluate(tmp_path / "run", f"--config-dir={conf}", *settings)
    assert run.status == 2
    (line,) = [line for line in run.err.splitlines() if not line.startswith("photos, ")]
    assert line.startswith("error: " + message.format(parts=parts, conf=conf))
