"""3x3 convolutions in tiles of rows beside PyTorch's own."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lib.models.layers import winograd
from lib.models.layers.folded import FoldedConv

LARGE = (3, 128, 28, 27)  # 26 rows of outputs: the last tile overlaps the one before


def in_tiles(x, weight, bias, *, relu=False):
    kernels = winograd.transformed(weight)
    products = F.conv2d(winograd.tiles(x), kernels, winograd.at_one(bias), groups=winograd.READ)
    return winograd.rows_of(products, len(x), x.shape[2] - 2, relu=relu)


@pytest.mark.parametrize("height", [8, 9, 13, 14, 20, 25])
@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("relu", [False, True])
@torch.no_grad()
def test_it_is_the_convolution(images, height, relu):
    x, weight, bias = torch.randn(images, 5, height, 7), torch.randn(6, 5, 3, 3), torch.randn(6)
    expected = F.conv2d(x.double(), weight.double(), bias.double())
    found = in_tiles(x, weight, bias, relu=relu)
    torch.testing.assert_close(found.double(), expected.relu() if relu else expected, rtol=0, atol=1e-4)
    assert found.is_contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def test_a_rows_products_are_eight_of_eighteen():
    assert winograd.transformed(torch.randn(6, 5, 3, 3)).shape == (8 * 6, 5, 1, 3)
    assert winograd.tiles(torch.randn(2, 5, 20, 7)).shape == (2 * 3, 8 * 5, 1, 7)


@torch.no_grad()
def test_what_is_not_a_number_stays_none():
    x = torch.randn(1, 5, 14, 7)
    x[0, 0, 3, 3] = float("nan")
    assert in_tiles(x, torch.randn(6, 5, 3, 3), torch.zeros(6), relu=True)[0, :, 1:4, 1:4].isnan().all()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("relu", [False, True])
@torch.inference_mode()
def test_wide_layers_on_large_maps_are_made_so(relu, bias, monkeypatch):
    conv, x = nn.Conv2d(128, 128, 3, bias=bias), torch.randn(LARGE)
    layer = FoldedConv(conv, relu=relu)
    counted: list = []
    monkeypatch.setattr(winograd, "tiles", lambda given, made=winograd.tiles: counted.append(1) or made(given))
    found = layer(x)
    assert counted == [1]
    monkeypatch.setattr(winograd, "SAVED", float("inf"))
    direct = layer(x)
    assert counted == [1]
    assert found.shape == direct.shape
    torch.testing.assert_close(found, direct, rtol=0, atol=5e-5)
    exact = F.conv2d(x.double(), conv.weight.double(), conv.bias.double() if bias else None)
    torch.testing.assert_close(found.double(), exact.relu() if relu else exact, rtol=0, atol=5e-5)


@torch.inference_mode()
def test_an_image_in_a_batch_is_as_alone():
    layer, x = FoldedConv(nn.Conv2d(128, 128, 3)), torch.randn(LARGE)
    torch.testing.assert_close(layer(x)[1:2], layer(x[1:2]), rtol=0, atol=1e-5)


def test_a_layer_whose_weights_change_packs_them_anew():
    layer, x = FoldedConv(nn.Conv2d(128, 128, 3)), torch.randn(LARGE)
    with torch.no_grad():
        layer(x)
        for changed in (layer.weight, layer.bias):
            changed.mul_(2)
            expected = F.conv2d(x, layer.weight, layer.bias)
            torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "weight", "stride", "groups"),
    [
        ((1, 128, 12, 12), (128, 128, 3, 3), (1, 1), 1),  # a small map
        ((16, 64, 20, 20), (64, 64, 3, 3), (1, 1), 1),  # small in each of sixteen images
        ((1, 48, 92, 92), (48, 48, 3, 3), (1, 1), 1),  # a narrow layer
        ((1, 2048, 7, 7), (2048, 2048, 3, 3), (1, 1), 1),  # fewer rows than a tile
        ((0, 128, 46, 45), (128, 128, 3, 3), (1, 1), 1),
        ((1, 256, 56, 56), (256, 256, 1, 1), (1, 1), 1),
        ((1, 128, 56, 56), (128, 128, 3, 3), (2, 2), 1),
        ((1, 256, 56, 56), (256, 128, 3, 3), (1, 1), 2),
    ],
)
def test_other_layers_are_not(shape, weight, stride, groups):
    assert not winograd.pays(torch.empty(shape), torch.empty(weight), stride, groups)
    assert not winograd.pays(torch.empty(LARGE).bfloat16(), torch.empty(128, 128, 3, 3), (1, 1), 1)
