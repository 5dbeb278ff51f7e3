"""A fake device that computes on the CPU. As on a real device, its tensors do not mix with those of other devices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

# Operations that may take tensors of several devices.
MIXING = ("_to_copy", "copy_")
OF_ONE_TENSOR = (
    "any",
    "isnan",
    "__invert__",
    "split",
    "unbind",
    "tolist",
    "flatten",
    "nonzero",
    "item",
    "__bool__",
    "__iter__",
)
INDEXING = ("index", "index_put_", "_index_put_impl_")


class OnFakeDevice(Tensor):
    """Wraps a CPU tensor. Attributes: ``inner``, that tensor."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor, device: str) -> OnFakeDevice:
        return Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, inner.size(), strides=inner.stride(), dtype=inner.dtype, device=device
        )

    def __init__(self, inner: Tensor, device: str) -> None:
        self.inner = inner

    def __repr__(self) -> str:  # type: ignore[override]
        return f"{self.device}: {self.inner!r}"

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = function.overloadpacket.__name__
        fakes = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, OnFakeDevice)]
        device = str(fakes[0].device)
        target = kwargs.get("device")
        if name not in MIXING:
            _check_devices(name, args, kwargs)
        if target is not None:
            kwargs["device"] = torch.device("cpu")
        result = function(*_plain(args), **_plain(kwargs))
        if name == "copy_":
            return args[0]
        if target is not None and torch.device(target).type == "cpu":
            return result
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.dtype == torch.float64 and device.startswith("mps"):
                raise TypeError(f"{name}: there is no float64 on {device}")
        if function._schema.name.endswith("_") or (name != "_to_copy" and kwargs.get("out") is not None):
            return args[0] if kwargs.get("out") is None else kwargs["out"]
        return tree_map(lambda x: OnFakeDevice(x, device) if isinstance(x, Tensor) else x, result)


def _plain(tree: Any) -> Any:
    return tree_map(lambda leaf: leaf.inner if isinstance(leaf, OnFakeDevice) else leaf, tree)


def _check_devices(name: str, args: Any, kwargs: Any) -> None:
    """Raises RuntimeError like torch if an operation gets tensors of two devices."""
    if name in INDEXING and isinstance(args[0], OnFakeDevice):
        return  # an index may be on the CPU
    for leaf in tree_leaves((args, kwargs)):
        if isinstance(leaf, Tensor) and not isinstance(leaf, OnFakeDevice) and leaf.ndim:
            raise RuntimeError(f"{name}: expected all tensors to be on the same device")


class FakeDevice(TorchFunctionMode):
    """Inside the block ``torch.empty(..., device=NAME)`` and ``tensor.to(NAME)`` give tensors of the fake device."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        device = kwargs.get("device")
        if device is not None and torch.device(device).type == self.name:
            kwargs["device"] = "cpu"
            return self.put(function(*args, **kwargs))
        name = getattr(function, "__name__", "")
        if name == "to":
            return self._to(function, args, kwargs)
        if name in ("__getitem__", "__setitem__"):
            return self._index(function, *args)
        if name in OF_ONE_TENSOR and isinstance(args[0], OnFakeDevice):
            return self._wrapped(function(*_plain(args), **kwargs))
        return function(*args, **kwargs)

    def _to(self, function: Any, args: Any, kwargs: Any) -> Any:
        """``tensor.to(...)`` without torch's check that the device exists."""
        tensor, *rest = args
        places = [torch.device(arg) for arg in rest if isinstance(arg, str | torch.device)]
        places += [arg.device for arg in rest if isinstance(arg, Tensor)]
        if not places or places[0].type != self.name:
            return function(*args, **kwargs)
        dtypes = [
            arg if isinstance(arg, torch.dtype) else arg.dtype
            for arg in rest
            if not isinstance(arg, str | torch.device)
        ]
        converted = tensor.to(dtypes[0]) if dtypes else tensor
        return converted if isinstance(tensor, OnFakeDevice) else self.put(converted)

    def _index(self, function: Any, tensor: Any, index: Any, *value: Any) -> Any:
        """Reads or writes a part of a tensor. Only a tensor of the fake device can be indexed by one."""
        fake = isinstance(tensor, OnFakeDevice)
        if not fake and any(isinstance(each, OnFakeDevice) for each in tree_leaves(index)):
            raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
        if not fake:
            return function(tensor, index, *value)
        return self._wrapped(function(*(_plain(each) for each in (tensor, index, *value))))

    def _wrapped(self, result: Any) -> Any:
        return tree_map(lambda leaf: OnFakeDevice(leaf, self.name) if isinstance(leaf, Tensor) else leaf, result)

    def put(self, tensor: Tensor) -> OnFakeDevice:
        """A copy on the fake device."""
        return OnFakeDevice(tensor.clone(), self.name)
