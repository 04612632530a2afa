"""SE-SiamFC: work, speed beside the published way of computing, and how far it is from scale equivariance.

python -m benchmarks.se --video bag.avi [--frames 11] [--allocator default] [--json OUT]

Work is counted first, in multiply-adds of one frame (three search images of 255). The times are of whole trackers in
one process, on the same frames, with the same boxes. glibc's allocator gives big blocks back after every layer, which
costs the published way more than ours; `--allocator default` leaves it so, otherwise it is set as our scripts set it.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from skimage import data
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import figures
from benchmarks.baseline.se_siamfc import PublishedSESiamFC
from benchmarks.baseline.tracking import PublishedSiamFC
from benchmarks.track import START, read_frames
from lib.core.device import prepare_process
from lib.files import run_script
from lib.geometry.crop import Frames
from lib.models import zoo
from lib.models.backbones.se_resnet import MEAN, STD, SEResNet
from lib.models.equivariance import equivariance_error
from lib.models.layers.steerable import SteerableConv, scale_steps
from lib.models.transfer import coefficients, transfer, transfer_file
from lib.models.weights import load_model
from lib.tracker.siamfc import SiamFCParams, SiamFCTracker

ARCH = "SESiamFCResNet22"


def macs() -> dict[str, float]:
    """Giga multiply-adds of one frame: as published, with small kernels, fused. Nothing is computed."""
    with torch.device("meta"), torch.no_grad():
        model: Any = zoo.build(ARCH).eval()
        networks: dict[str, Any] = {"published": PublishedSESiamFC(model.state_dict())}
        networks |= {"plain": model, "fused": model.fuse()}
        counts = {}
        for name, network in networks.items():
            with FlopCounterMode(display=False) as counter:
                network.search(torch.empty(3, 3, 255, 255))
            counts[name] = counter.get_total_flops() / 2e9
    # fused with n x n kernels throughout: what remains when nothing but zeros and dropped cells is left out
    counts["floor of direct convolution"] = counts["fused"] + _saved_by_separation()
    return counts


def _saved_by_separation() -> float:
    """At the largest scale 3 * 5 multiply-adds a cell, and 3 * 5 a channel and cell of its input, instead of 5 * 5."""
    planes_and_sides = [(64, 60), (64, 58), (64, 56), (128, 54), (128, 25), (128, 23), (128, 21)]
    direct = sum(c * c * 25 * side * side for c, side in planes_and_sides)
    separate = sum(c * c * 15 * side * side + c * 15 * side * (side + 4) for c, side in planes_and_sides)
    return 3 * (direct - separate) / 1e9


def speed(frames: list[np.ndarray], repeats: int) -> dict[str, float]:
    """CPU milliseconds a frame of both trackers on one thread, and how far their boxes are apart."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model: Any = zoo.build(ARCH).eval()
    peer_model, fused = PublishedSESiamFC(model.state_dict()), model.fuse()
    fused.color = "bgr"  # the frames are turned to RGB here, for both
    frames = [np.ascontiguousarray(frame[..., ::-1]) for frame in frames]
    packs = [Frames.pack([frame]) for frame in frames]

    def published() -> np.ndarray:
        tracker = PublishedSiamFC(peer_model, frames[0], START)
        return np.stack([tracker.update(frame) for frame in frames[1:]])

    def ours() -> np.ndarray:
        tracker = SiamFCTracker(model=fused)
        state = tracker.init(packs[0], torch.from_numpy(START[None]), SiamFCParams.columns(1))
        boxes = []
        for pack in packs[1:]:
            state, _ = tracker.step(state, pack)
            boxes.append(state.box[0].numpy())
        return np.stack(boxes)

    difference = float(np.abs(published() - ours()).max())
    times = np.array([[cpu_ms(each) for each in (published, ours)] for _ in range(repeats)]) / (len(frames) - 1)
    peer, own = np.median(times, 0)
    return {"published ms": peer, "ours ms": own, "ratio": peer / own, "difference px": difference}


def cpu_ms(step: Callable[[], Any]) -> float:
    """Milliseconds of this process: with one thread the same as by the clock, on a busy machine too."""
    began = time.process_time()
    step()
    return (time.process_time() - began) * 1e3


def photographs() -> Tensor:
    """(2, 3, 335, 335) RGB 0..255."""
    pair = (data.coffee()[30:365, 130:465], data.astronaut()[60:395, 80:415])
    return torch.from_numpy(np.stack(pair)).permute(0, 3, 1, 2).float()


def equivariance() -> dict[str, tuple[float, float, float]]:
    """Errors of CIResNet22, of SE-ResNet22 with random weights, and with weights transferred from that CIResNet22."""
    torch.manual_seed(0)
    images = (photographs() / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    ordinary: Any = zoo.build("SiamFCRes22").eval()
    random: Any = zoo.build(ARCH).eval()
    transferred: Any = zoo.build(ARCH).eval()
    transfer(ordinary.state_dict(), transferred)
    networks = (ordinary.backbone, random.backbone.features, transferred.backbone.features)
    parts: dict[str, Callable[[Any, Tensor], Tensor]] = {
        "stem": lambda net, x: net.stem(x),
        "stem and stage 1": lambda net, x: net.layer1(net.stem(x)),
        "whole network": lambda net, x: net(x),
    }
    errors = {name: _errors([partial(part, net) for net in networks], images) for name, part in parts.items()}
    errors["its maximum over scales"] = _errors([partial(_matched, net) for net in networks], images)
    return {"one layer, wide windows": _errors(_single_layers(), images, border=20)} | errors


def trained_equivariance(weights: str) -> dict[str, tuple[float, float]]:
    """The same of trained CIResNet22 weights, and of SE-ResNet22 with these weights transferred to it."""
    ordinary: Any = load_model(weights).model.backbone
    transferred: Any = transfer_file(weights, source_input="bgr255").model.backbone
    rgb = photographs()
    errors = {}
    for name, part in {"trained": lambda net, x: net(x), "trained, its maximum over scales": _matched}.items():
        pairs = ((ordinary, rgb.flip(1)), (transferred, rgb))
        one, other = (equivariance_error(partial(part, net), images) for net, images in pairs)
        errors[name] = (one, other)
    return errors


def _matched(network: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    features = network(x)
    return features if features.dim() == 4 else features.amax(2)


def causes() -> dict[str, float]:
    """What makes the error of the whole network: CIResNet22, then SE-ResNet22 step by step nearer to its idea.

    At an eighth of the width, random weights, one photograph.
    """
    image = torch.from_numpy(data.astronaut()[48:463, 48:463].copy()).permute(2, 0, 1)[None] / 255
    image = (image - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    wide: dict[str, Any] = {"width": 0.125, "sizes": (19, 15, 15)}
    networks: dict[str, Callable[[], Any]] = {
        "CIResNet22": lambda: zoo.build("SiamFCRes22", width=0.125).eval().backbone,
        "SE-ResNet22": lambda: SEResNet(width=0.125),
        "windows that hold the filters": lambda: SEResNet(**wide),
        "and orders up to 2 in the stem": lambda: SEResNet(**wide, effective=(3, 3, 3)),
    }
    errors = {}
    for name, make in networks.items():
        torch.manual_seed(0)
        errors[name] = equivariance_error(make().eval(), image, border=8)
    return errors


def _single_layers() -> list[Any]:
    """3x3; steerable with random weights; with those of the 3x3. The windows hold three deviations of each filter."""
    conv = nn.Conv2d(3, 16, 3, padding=1, bias=False)
    wide: dict[str, Any] = {
        "inputs": 3,
        "outputs": 16,
        "size": 17,
        "effective": 3,
        "scales": scale_steps(),
        "lifting": True,
    }
    random, transferred = SteerableConv(**wide), SteerableConv(**wide)
    nn.init.normal_(random.weight)
    transferred.weight.data = coefficients(conv.weight.detach(), transferred.basis[:, 0])[0]
    return [conv, random, transferred]


def _errors(
    networks: Sequence[Callable[[Tensor], Tensor]], images: Tensor, border: int = 0
) -> tuple[float, float, float]:
    def features(network: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        y = network(x)
        scales = len(y) // len(x) if y.dim() == 4 else 1
        return y.unflatten(0, (scales, -1)).permute(1, 2, 0, 3, 4) if scales > 1 else y

    one, two, three = (equivariance_error(partial(features, net), images, border=border) for net in networks)
    return one, two, three


def main() -> None:
    """Count, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", default="dataset/bag.avi", help="480x360, the target as in bag.avi")
    parser.add_argument("--frames", type=int, default=11)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--allocator", default="kept", choices=("kept", "default"))
    parser.add_argument("--weights", default="snapshot/siamfc.pth", help="trained weights of SiamFCRes22 to transfer")
    parser.add_argument("--json", help="write the figures here")
    args = parser.parse_args()
    if args.allocator == "kept":
        prepare_process()
    counts = macs()
    print("GMACs a frame: " + ", ".join(f"{name} {count:.2f}" for name, count in counts.items()))
    errors: dict[str, tuple[float, ...]] = {**equivariance(), **trained_equivariance(args.weights)}
    print("scale equivariance, relative error at ratio 1.4 (CIResNet22 | SE-ResNet22 random | transferred):")
    for name, (ordinary, *equivariant) in errors.items():
        shares = " ".join(f"{error:8.3f} ({error / ordinary:4.2f} of it)" for error in equivariant)
        print(f"  {name:32} {ordinary:8.3f} {shares}")
    whys = causes()
    print("what makes it, at an eighth of the width: " + ", ".join(f"{name} {e:.3f}" for name, e in whys.items()))
    times = speed(read_frames(args.video, args.frames), args.repeats)
    about = figures.machine("se") | {"threads": 1, "allocator": args.allocator}
    print(f"one thread, allocator {args.allocator}: " + ", ".join(f"{name} {ms:.3g}" for name, ms in times.items()))
    figures.write(args.json, about, gmacs=counts, equivariance=errors, causes=whys, speed=times)


if __name__ == "__main__":
    run_script(main)
