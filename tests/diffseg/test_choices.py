"""Settings with a few allowed values."""

from __future__ import annotations

import pytest

from diffseg.choices import Scheme, Vote, check_choices


def test_the_first_value_that_is_not_allowed_is_named() -> None:
    check_choices(scheme=("paper", Scheme), vote=("mean", Vote))
    with pytest.raises(ValueError, match=r"^vote: must be one of majority, median, mean, got 'loudest'$"):
        check_choices(scheme=("paper", Scheme), vote=("loudest", Vote))
