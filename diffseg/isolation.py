"""Keeps the caller's torch settings out of the library's functions. Imports torch only when such a function runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Output = TypeVar("Output")

DEVICE_TYPES = ("cpu", "cuda", "mps", "xpu")
"""Device types with an autocast mode. Each mode is switched on separately."""


def isolated(function: Callable[Arguments, Output]) -> Callable[Arguments, Output]:
    """Decorates a function so that its result does not depend on the caller's torch settings.

    Inside `torch.autocast`, matrix products would lose precision or mix dtypes. Under another default device
    (`torch.set_default_device`), new tensors would be on another device than the function's arguments. Both are
    switched off while the function runs. The default dtype is process-wide, so it stays: functions name the dtype of
    new tensors.
    """

    @wraps(function)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Output:
        import torch

        with ExitStack() as stack:
            for kind in DEVICE_TYPES:
                if torch.is_autocast_enabled(kind):
                    stack.enter_context(torch.autocast(kind, enabled=False))
            if torch.empty(0).device.type != "cpu":  # torch 2.6's get_default_device does not see a `with torch.device`
                stack.enter_context(torch.device("cpu"))
            return function(*args, **kwargs)

    return call
