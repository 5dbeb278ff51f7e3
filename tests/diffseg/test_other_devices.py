"""The method on devices that this machine lacks: the same labels, tensors never mixed, no float64 on Apple's GPUs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from diffseg import aggregate, dbscan, kmeans, segment
from experiments.bench.inputs import attention_maps
from tests.helpers.attention import blocks
from tests.helpers.fake_device import FakeDevice

merge = partial(segment, tau=0.5, anchors=4, grid="even", size=30)
METHODS: dict[str, Callable[[Tensor], Tensor]] = {
    "merging": merge,
    "merging, near ties everywhere": partial(merge, tau=1e-6),
    "merging, one iteration": partial(merge, iterations=1),
    "merging in float64": partial(merge, precision="float64"),
    "merging in float16": partial(merge, precision="float16"),
    "merging, refined": partial(merge, refine="kmeans"),
    "K-means": partial(kmeans, clusters=4, size=30),
    "K-means, nearest": partial(kmeans, clusters=4, size=30, upsample="nearest"),
    "DBSCAN": partial(dbscan, eps=0.26, min_samples=4, size=30, noise="nearest"),
}


@pytest.mark.parametrize("device", ["mps", "cuda"])
@pytest.mark.parametrize("name", METHODS)
def test_labels_are_those_of_the_cpu(name: str, device: str) -> None:
    maps = blocks(8, 1.0)
    expected = METHODS[name](maps)
    with FakeDevice(device) as fake:
        labels = METHODS[name](fake.put(maps))
        assert labels.device.type == device
        assert torch.equal(labels.cpu(), expected)
    assert len(expected.unique()) > 1


@pytest.mark.parametrize("device", ["mps", "cuda"])
def test_aggregated_attention_is_that_of_the_cpu(device: str) -> None:
    maps = attention_maps(16)
    expected = aggregate(maps)
    with FakeDevice(device) as fake:
        aggregated = aggregate({side: fake.put(each) for side, each in maps.items()})
        assert aggregated.device.type == device
        torch.testing.assert_close(aggregated.cpu(), expected)


def test_the_fake_device_raises_the_errors_of_a_real_one() -> None:
    with FakeDevice("mps") as fake:
        remote, here = fake.put(torch.ones(3)), torch.ones(3)
        with pytest.raises(RuntimeError, match="same device"):
            remote + here
        with pytest.raises(RuntimeError, match="indices should be"):
            here[fake.put(torch.tensor([0]))]
        with pytest.raises(TypeError, match="no float64"):
            remote.double()
