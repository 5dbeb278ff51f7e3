"""Names of protocols, of this project and outside it."""

from __future__ import annotations

import re

import pytest

from eval.matching import match_present
from eval.protocols import ALL_PROTOCOLS, check_protocol, imported_protocol, needs_classes, truths_of, within_image


def of_set(tables: object, background: object) -> None:
    """A protocol outside this project that matches once for all images."""


of_set.needs_set = True  # type: ignore[attr-defined]


def test_a_protocol_outside_this_project_says_whether_it_matches_each_image() -> None:
    assert [name for name in ALL_PROTOCOLS if within_image(name)] == ["official", "present"]
    assert within_image("eval.matching.match_present")
    assert not within_image(f"{__name__}.of_set")


def test_the_truth_of_a_protocol() -> None:
    assert [name for name in ALL_PROTOCOLS if not needs_classes(name)] == ["regions", "boundaries", "instances"]
    assert truths_of(["present", "dataset", "regions"]) == {"classes", "people"}
    assert truths_of(["boundaries", "instances"]) == {"boundaries", "instances"}


def test_a_dotted_path_is_imported() -> None:
    assert imported_protocol("eval.matching.match_present") is match_present
    for name in (*ALL_PROTOCOLS, "eval.matching.match_present"):
        check_protocol(name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("both", ""),
        ("nowhere.mine", " (No module named 'nowhere')"),
        ("eval.matching.mine", " (module 'eval.matching' has no attribute 'mine')"),
        ("eval.matching.", " (invalid format: 'eval.matching.')"),
        ("eval.protocols.PROTOCOLS", " (it is not a function)"),
    ],
)
def test_an_unknown_protocol_is_named(name: str, reason: str) -> None:
    known = f"must be one of {', '.join(ALL_PROTOCOLS)}, or the dotted path of a function, got {name!r}{reason}"
    with pytest.raises(ValueError, match=f"^{re.escape(known)}"):
        check_protocol(name)
