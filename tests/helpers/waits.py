"""Counts how often a computation would make the CPU wait for a GPU. Needs no GPU."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# The CPU needs the result of these operations, or the shape of the result, before it can continue.
WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "bincount", "equal", "is_nonzero")
INDEXING = ("index", "index_put_")  # wait if a mask of bool is the index


class Waits(TorchDispatchMode):
    """Context that counts these operations by name, and transfers by `Tensor.cpu` as ``"cpu"``.

    Does not count operations on transferred tensors and on their results, because they run on the CPU.
    """

    def __init__(self, monkeypatch: Any) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self._transferred: list[Tensor] = []  # kept alive, so that no other tensor gets the id of one of them
        cpu = Tensor.cpu

        def counted(tensor: Tensor) -> Tensor:
            copy = cpu(tensor).clone()
            if not self._known(tensor):
                self.counts["cpu"] += 1
            self._transferred.append(copy)
            return copy

        monkeypatch.setattr(Tensor, "cpu", counted)

    def _known(self, tensor: Tensor) -> bool:
        return any(each is tensor for each in self._transferred)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__
        given, made = ([leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)] for tree in (args, result))
        if any(self._known(each) for each in given):
            self._transferred += made
        elif name in WAITING or (name in INDEXING and any(each.dtype == torch.bool for each in tree_leaves(args[1]))):
            self.counts[name] += 1
        return result
