"""Declared limits: the values they refuse, the message, and what a slider and a help text learn from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from diffseg import parts
from diffseg.backbones.vit import ViT
from diffseg.limits import Checked, Count, Positive, Setting, check, settings_of


@dataclass(frozen=True)
class Part(Checked):
    tau: Annotated[Positive | tuple[Positive, ...] | None, Field(description="threshold")] = None
    clusters: Annotated[Count | None, Field(description="number")] = 6
    rule: Literal["paper", "theirs"] = "paper"
    cosine: Annotated[float, Field(ge=-1, lt=1, allow_inf_nan=False)] = 0.5
    free: str = ""


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tau": -1}, r"^tau: must be above 0, got -1$"),
        ({"tau": (0.3, 0.0)}, r"^tau: must be above 0, got 0.0$"),
        ({"tau": float("inf")}, r"^tau: must be a finite number, got inf$"),
        ({"clusters": 0}, r"^clusters: must be at least 1, got 0$"),
        ({"rule": "mine"}, r"^rule: input should be 'paper' or 'theirs', got 'mine'$"),
        ({"cosine": float("nan")}, r"^cosine: must be a finite number, got nan$"),
        ({"cosine": 1}, r"^cosine: must be below 1, got 1$"),
        ({"cosine": -2}, r"^cosine: must be at least -1, got -2$"),
        ({"clusters": "many"}, r"^clusters: input should be a valid integer, got 'many'$"),
    ],
)
def test_one_line_names_the_setting_the_limit_and_the_value(values: dict[str, Any], message: str) -> None:
    assert Part(tau=[0.3, 0.4]).tau == (0.3, 0.4)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        Part(**values)
    with pytest.raises(ValueError, match=message):  # as from a configuration
        parts.build({"_target_": f"{__name__}.Part", **values})


def test_a_backbone_that_is_built_directly_has_the_same_errors() -> None:
    with pytest.raises(ValueError, match=r"^size: must be at least 1, got 0$"):
        ViT(size=0)


def test_arguments_of_functions_are_checked_in_order() -> None:
    check(clusters=(1, Count), tau=(0.1, Positive))
    with pytest.raises(ValueError, match=r"^tau: "):
        check(clusters=(1, Count), tau=(0, Positive), other=(0, Count))


def test_settings_know_their_limits_words_and_descriptions() -> None:
    assert settings_of(Part) == [
        Setting("tau", "threshold", None, low=0, open_low=True),
        Setting("clusters", "number", 6, whole=True, low=1),
        Setting("rule", "", "paper", options=("paper", "theirs")),
        Setting("cosine", "", 0.5, low=-1, high=1, open_high=True),
        Setting("free", "", ""),
    ]


@pytest.mark.parametrize("name", parts.names("segmenter"))
def test_every_segmenter_describes_its_settings_and_refuses_values_outside_their_limits(name: str) -> None:
    kind = parts.kind_of(parts.read("segmenter", name))
    for setting in settings_of(kind):
        assert setting.about or name == "files"
        bad: list[Any] = ["no such word"] if setting.options else []
        if setting.low is not None:
            bad += [setting.low if setting.open_low else setting.low - 1]
        if setting.high is not None:
            bad += [setting.high if setting.open_high else setting.high + 1]
        if bad and not setting.options and not setting.whole:
            bad += [float("nan")]
        for value in bad:
            with pytest.raises(ValueError, match=f"^{setting.name}: (must|input should) be .*, got"):
                kind(**{setting.name: value})
