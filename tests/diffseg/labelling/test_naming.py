"""Names from made-up cross-attention, against the authors' code, and pictures of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from diffseg.labelling.naming import Named, draw, merge, places, responses, vote
from diffseg.pictures import overlay, palette

TOKENS = 7


def random_maps(*sides: int, seed: int = 0) -> dict[int, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {side: (3 * torch.randn(side**2, TOKENS, generator=generator)).softmax(dim=1) for side in sides}


# --- responses of words


def authors_responses(maps: dict[int, Tensor], indices: list[int], size: int) -> NDArray[np.float64]:
    """``aggregate_x_weights`` with weights 1 and the beginning of ``get_semantics`` of the authors' code."""
    total = np.zeros((size, size, TOKENS))
    for side, weights in maps.items():
        grid = weights.T.reshape(1, TOKENS, side, side)
        resized = F.interpolate(grid.double(), (size, size), mode="bilinear")[0].permute(1, 2, 0).numpy()
        total += resized / resized.sum(axis=-1, keepdims=True)
    chosen = total[:, :, indices].reshape(size * size, -1)
    chosen = chosen / np.linalg.norm(chosen, axis=0, keepdims=True)
    return chosen.T.reshape(-1, size, size)


@pytest.mark.parametrize("size", [8, 12, 32])
def test_words_of_one_token_respond_as_in_the_authors_code(size: int) -> None:
    maps = random_maps(8, 4, 2)
    expected = authors_responses(maps, [1, 5, 2], size)
    np.testing.assert_allclose(responses(maps, [[1], [5], [2]], size).numpy(), expected, atol=1e-6)


def test_a_word_of_several_tokens_takes_the_attention_of_all() -> None:
    maps = {2: torch.zeros(4, TOKENS)}
    maps[2][0, 1], maps[2][3, 2] = 0.3, 0.4  # first token in one corner, second in the opposite one
    maps[2][:, 0] = 1 - maps[2].sum(dim=1)
    together, alone = responses(maps, [[1, 2], [1]], 2)
    torch.testing.assert_close(together, torch.tensor([[0.6, 0], [0, 0.8]]))
    torch.testing.assert_close(alone, torch.tensor([[1.0, 0], [0, 0]]))


@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_a_word_that_gets_little_attention_counts_as_much(factor: float) -> None:
    maps = random_maps(8, 4)
    scaled = {side: attention * torch.tensor([1, factor, *[1] * (TOKENS - 2)]) for side, attention in maps.items()}
    answer = responses(scaled, [[1], [2]], 16)
    torch.testing.assert_close(answer, responses(maps, [[1], [2]], 16))
    torch.testing.assert_close(answer.square().sum(dim=(1, 2)), torch.ones(2))


# --- words of segments


def slow_vote(labels: NDArray[np.integer], grid: NDArray[np.floating], rule: str) -> list[int]:
    """Pixel by pixel; ``median`` as in the authors' ``get_semantics``."""
    side, (height, width) = grid.shape[1], labels.shape
    chosen = []
    for segment in range(labels.max() + 1):
        at = [
            grid[:, int((y + 0.5) * side / height), int((x + 0.5) * side / width)]
            for y, x in np.argwhere(labels == segment)
        ]
        best = [int(np.argmax(each)) for each in at]
        chosen.append(
            {
                "majority": max(range(len(grid)), key=best.count),
                "median": int(np.median(best)),
                "mean": int(np.argmax(np.mean(at, axis=0))),
            }[rule]
        )
    return chosen


@settings(max_examples=60, deadline=None)
@given(
    rule=st.sampled_from(["majority", "median", "mean"]),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    words=st.integers(1, 4),
    side=st.integers(1, 6),
    seed=st.integers(0, 1000),
)
def test_votes_agree_with_counting_pixels(rule: str, shape: tuple[int, int], words: int, side: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = np.unique(random.integers(0, 4, shape), return_inverse=True)[1].reshape(shape)
    grid = random.random((words, side, side))
    assert vote(labels, grid, rule).tolist() == slow_vote(labels, grid, rule)  # type: ignore[arg-type]


def test_the_first_of_equal_words_wins_and_an_unknown_rule_is_refused() -> None:
    flat, labels = np.ones((3, 2, 2)), np.array([[0, 1]])
    for rule in ("majority", "median", "mean"):
        assert vote(labels, flat, rule).tolist() == [0, 0]  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="vote: input should be 'majority', 'median' or 'mean', got 'best'"):
        vote(labels, flat, "best")  # type: ignore[arg-type]


def test_segments_of_one_word_are_merged() -> None:
    labels = np.array([[0, 0, 0, 0, 0], [1, 1, 1, 2, 2], [3, 3, 2, 2, 4]])
    named = merge(labels, ("bed", "cat", "dog", "sky"), np.array([3, 1, 0, 1, 3]))
    assert named.names == ("sky", "cat", "bed")  # 6, 5 and 4 pixels; no segment is a dog
    assert named.parts == ((0, 4), (1, 3), (2,))
    np.testing.assert_array_equal(named.labels, [[0, 0, 0, 0, 0], [1, 1, 1, 2, 2], [1, 1, 2, 2, 0]])


# --- pictures


@pytest.fixture
def named() -> Named:
    labels = np.zeros((90, 120), np.int64)
    labels[20:70, 10:50] = 1
    labels[20:70, 80:110] = 1
    labels[80:, :30] = 2
    return Named(labels, ("wall", "window", "Bär"), ((0, 2), (1, 4), (3,)))


def test_the_picture_keeps_its_colours_between_the_names(named: Named) -> None:
    photo = np.full((90, 120, 3), 128, np.uint8)
    drawn = draw(photo, named)
    assert drawn.shape[1:] == (120, 3)
    assert drawn.shape[0] > 90
    changed = (drawn[:90] != overlay(photo, named.labels)).any(axis=2)
    assert changed[40:50, 10:50].any()  # both windows bear their name
    assert changed[40:50, 80:110].any()
    assert changed[80:, :30].any()
    assert changed.mean() < 0.2
    for colour in palette(3):  # the legend's swatches
        assert (drawn[90:] == colour).all(axis=2).any()


def test_names_stand_where_their_segment_is_widest(named: Named) -> None:
    window = named.labels == 1
    (left, top), (right, _) = places(window, 5)
    assert abs(left - 30) <= 5  # the larger one first; its largest circle touches left and right
    assert 38 <= top <= 52
    assert abs(right - 95) <= 1
    assert len(places(window, 18)) == 1  # the smaller one has no room
    assert len(places(window, 50)) == 1


@pytest.mark.parametrize("shape", [(1, 1), (3, 4000), (4000, 3), (700, 900)])
def test_the_smallest_mask_has_a_place(shape: tuple[int, int]) -> None:
    for row in {0, shape[0] - 1}:
        mask = np.zeros(shape, bool)
        mask[row, shape[1] // 2] = True
        ((x, y),) = places(mask, 5)
        assert abs(x - shape[1] // 2) <= 16
        assert abs(y - row) <= 16
