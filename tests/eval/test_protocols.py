"""Names of protocols, of this project and outside it."""

from __future__ import annotations

import re

import pytest

from eval.matching import match_present
from eval.protocols import ALL_PROTOCOLS, check_protocol, imported_protocol, within_image


def test_only_one_protocol_matches_all_images_at_once() -> None:
    assert {name: within_image(name) for name in (*ALL_PROTOCOLS, "my_module.mine")} == {
        "official": True,
        "present": True,
        "dataset": False,
        "my_module.mine": True,
    }


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
    known = f"must be one of official, present, dataset, or the dotted path of a function, got {name!r}{reason}"
    with pytest.raises(ValueError, match=f"^{re.escape(known)}$"):
        check_protocol(name)
