"""Steerable layers against slow versions of the formulas. Axes: as in lib/models/layers/steerable.py."""

import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lib.models.equivariance import equivariance_error, meeting, zoomed
from lib.models.layers.steerable import (
    ScaleMaxConv,
    ScaleMixingConv,
    SteerableConv,
    scale_steps,
    set_padding,
    steerable_basis,
    support,
)
from lib.models.transfer import coefficients

SCALES = (0.9, 1.26, 1.764)
HERMITE = (  # He_n, written out
    lambda x: 1,
    lambda x: x,
    lambda x: x**2 - 1,
    lambda x: x**3 - 3 * x,
    lambda x: x**4 - 6 * x**2 + 3,
    lambda x: x**5 - 10 * x**3 + 15 * x,
    lambda x: x**6 - 15 * x**4 + 45 * x**2 - 15,
)


def slow_basis(size: int, effective: int) -> np.ndarray:
    """Cell by cell, (B, S, size, size)."""
    basis = np.zeros((effective**2, 3, size, size))
    for b in range(effective**2):
        along_w, along_h = divmod(b, effective)
        for s, scale in enumerate(SCALES):
            reach = int(size * scale / SCALES[-1]) // 2
            for y in range(-reach, reach + 1):
                for x in range(-reach, reach + 1):
                    gauss = math.exp(-(x * x + y * y) / (2 * scale**2)) / scale**2
                    value = gauss * HERMITE[along_h](y / scale) * HERMITE[along_w](x / scale)
                    basis[b, s, size // 2 + y, size // 2 + x] = value
        basis[b] /= math.sqrt((basis[b, 0] ** 2).sum())
    return basis


def randomised(layer: nn.Module) -> nn.Module:
    nn.init.normal_(layer.weight)
    return layer.double()


def steerable(**changes) -> SteerableConv:
    options = {"inputs": 4, "outputs": 6, "size": 5, "effective": 3, "scales": SCALES} | changes
    return randomised(SteerableConv(**options))


def test_scales_and_supports():
    assert scale_steps() == pytest.approx(SCALES)
    assert support(9, SCALES) == [5, 7, 9]
    assert support(5, SCALES) == [3, 3, 5]
    assert support(3, (1.0,)) == [3]


@pytest.mark.parametrize(("size", "effective"), [(9, 7), (5, 3), (5, 1), (11, 2)])
def test_the_basis_is_the_formula(size, effective):
    basis = steerable_basis(size, effective, SCALES)
    assert basis.dtype == torch.float32
    np.testing.assert_allclose(basis.numpy(), slow_basis(size, effective), rtol=0, atol=1e-7)


def test_the_basis_is_the_recorded_one(reference):
    with np.load(reference / "golden/se_basis.npz") as file:
        recorded = {key: file[key] for key in file.files if key.endswith("basis")}
    assert len(recorded) == 8
    for key, array in recorded.items():
        size, effective = (9, 7) if key.endswith(".conv1.basis") else (5, 3)
        np.testing.assert_allclose(steerable_basis(size, effective, scale_steps()).numpy(), array, rtol=0, atol=1e-6)


@pytest.mark.parametrize("padding", ["constant", "circular"])
@pytest.mark.parametrize(
    ("lifting", "stride", "size", "effective"),
    [(True, 2, 9, 7), (True, 1, 5, 3), (False, 1, 5, 3), (False, 2, 9, 2), (False, 1, 3, 1)],
)
def test_steerable_convolution_is_one_with_every_kernel_at_full_size(lifting, stride, size, effective, padding):
    layer = steerable(lifting=lifting, stride=stride, size=size, effective=effective)
    set_padding(nn.Sequential(layer), padding)
    x = torch.randn(2 if lifting else 6, 4, 11, 10, dtype=torch.float64)
    weight = layer.weight.detach().clone().requires_grad_()
    parts = []
    for s in range(3):
        kernel = torch.einsum("ocb,bhw->ochw", weight.reshape(6, 4, -1), layer.basis[:, s])
        images = x if lifting else x[2 * s : 2 * s + 2]
        padded = F.pad(images, [size // 2] * 4, mode=padding)
        parts.append(F.conv2d(padded, kernel, stride=stride))
    expected, out = torch.cat(parts), layer(x)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)

    direction = torch.randn_like(out)
    (out * direction).sum().backward()
    (expected * direction).sum().backward()
    torch.testing.assert_close(layer.weight.grad, weight.grad, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("extent", [1, 2, 3])
def test_mixing_is_a_convolution_over_scales(extent):
    layer = randomised(ScaleMixingConv(inputs=4, outputs=6, scales=3, extent=extent))
    x = torch.randn(2, 4, 3, 5, 7, dtype=torch.float64)
    # zeros on both ends of the scales, and the outputs that begin before the first scale dropped
    expected = F.conv3d(x, layer.weight, padding=(extent - 1, 0, 0))[:, :, extent - 1 :]
    out = layer(x.permute(2, 0, 1, 3, 4).flatten(0, 1)).unflatten(0, (3, 2)).permute(1, 2, 0, 3, 4)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)


def test_maximum_over_scales_comes_before_the_convolution():
    layer = randomised(ScaleMaxConv(inputs=4, outputs=6, scales=3))
    x = torch.randn(6, 4, 5, 7, dtype=torch.float64)
    largest = torch.maximum(torch.maximum(x[:2], x[2:4]), x[4:])
    torch.testing.assert_close(layer(x), F.conv2d(largest, layer.weight), rtol=0, atol=1e-12)


def test_zoom_keeps_the_middle_and_the_shape_of_a_ramp():
    ramp = torch.arange(21.0).expand(1, 1, 21, 21)
    zoom = zoomed(ramp, 1.5, 15)[0, 0]
    torch.testing.assert_close(zoom[3], 10 + (torch.arange(15.0) - 7) / 1.5)
    torch.testing.assert_close(zoomed(ramp.mT, 1.5, 14)[0, 0, :, 5], 10 + (torch.arange(14.0) - 6.5) / 1.5)


def test_features_that_follow_the_image_have_no_error():
    x, y = torch.meshgrid(torch.linspace(-1, 1, 143), torch.linspace(-1, 1, 143), indexing="ij")
    images = torch.stack([x, y, 1 + x * y])[None]
    assert equivariance_error(lambda image: image, images, border=4) < 1e-4
    # and of three scales: one place along them, no other
    assert equivariance_error(partial(with_scales, moved=1), images, border=4) < 1e-4
    assert equivariance_error(partial(with_scales, moved=0), images, border=4) > 0.2


@pytest.mark.parametrize(("small", "large", "border"), [(21, 31, 0), (82, 102, 0), (143, 183, 12), (20, 30, 4)])
def test_places_where_small_and_enlarged_features_both_have_a_cell(small, large, border):
    def place(side: int, pixels: float) -> torch.Tensor:  # of each cell, about the middle
        at = (torch.arange(side, dtype=torch.float64) - (side - 1) / 2) * pixels
        return at[:, None] + 1000 * at

    one, two = meeting(place(small, 1.4), place(large, 1.0), border)
    torch.testing.assert_close(one, two)
    assert one.shape[0] == one.shape[1] == len(one.unique()) ** 0.5 >= 2
    limit = min(((small - 1) / 2 - border) * 1.4, (large - 1) / 2 - border)
    furthest = float(two[-1, 0] - two[0, 0]) / 2
    assert limit - 7 < furthest <= limit


def with_scales(image: torch.Tensor, moved: int) -> torch.Tensor:
    """Features that move ``moved`` places when the image of side 143 grows."""
    first = 0 if image.shape[-1] == 143 else moved
    return torch.stack([image * 1.4 ** (s - first) for s in range(3)], 2)


@pytest.mark.parametrize("transferred", [False, True])
@pytest.mark.parametrize("kind", ["smooth", "noise"])
def test_with_windows_that_hold_the_filters_a_layer_is_equivariant(kind, transferred):
    # in SE-ResNet22 the windows cut the filters off (3 cells for s = 1.26), and this does not hold
    images = torch.rand(1, 3, 143, 143) - 0.5
    if kind == "smooth":
        images = F.avg_pool2d(F.pad(images, [3] * 4), 7, 1)
    conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
    layer = SteerableConv(inputs=3, outputs=8, size=17, effective=3, scales=SCALES, lifting=True)
    nn.init.normal_(layer.weight)
    if transferred:
        layer.weight.data = coefficients(conv.weight.detach(), layer.basis[:, 0])[0]
    ordinary = equivariance_error(conv, images, border=12)
    equivariant = equivariance_error(lambda x: layer(x).unflatten(0, (3, -1)).permute(1, 2, 0, 3, 4), images, border=12)
    assert 0.05 < ordinary < 1
    assert equivariant < ordinary / (3 if kind == "smooth" else 2)  # noise is not what bicubic enlarging is for
