"""The published tracking loop: one sequence, unfused, template convolutions in every frame, NumPy after the network.

A stand-in written from the description of the algorithm, for the benchmarks to be measured against and to show that the
boxes are the same.
"""

import math
from typing import Any

import cv2
import numpy as np
import torch

from lib.geometry.anchors import tracker_anchors
from lib.geometry.crop import context_side, pyramid, subwindow


def _seen(patches: np.ndarray, model: Any) -> torch.Tensor:
    chw = np.ascontiguousarray(np.moveaxis(np.atleast_3d(patches), -1, -3))
    return torch.from_numpy(chw).float().to(next(model.parameters()).device)


def _away(value: float) -> float:
    return value + math.copysign(0.5, value) if round(value + 1) - round(value) != 1 else round(value)


class PublishedSiamFC:
    """Scale pyramid of three, the response enlarged by OpenCV."""

    def __init__(self, model: Any, frame: np.ndarray, cxcywh: np.ndarray) -> None:
        self.model = model
        self.centre, self.size = cxcywh[:2].astype(float), cxcywh[2:].astype(float)
        self.fill = frame.mean((0, 1)).astype(np.uint8)
        side = round(context_side(*self.size))
        with torch.no_grad():
            z = _seen(subwindow(frame, self.centre.tolist(), side, 127, self.fill), model)
            self.kernels = model.template(z[None])
        self.side = side * 255 / 127
        self.limits = 0.2 * self.side, 5 * self.side
        hann = np.outer(np.hanning(272), np.hanning(272))
        self.window = hann / hann.sum()

    def update(self, frame: np.ndarray) -> np.ndarray:
        scales = 1.0375 ** np.array([-1.0, 0.0, 1.0])
        crops = _seen(pyramid(frame, self.centre.tolist(), self.side * scales, 255, self.fill), self.model)
        with torch.no_grad():
            response = self.model.match(self.kernels, self.model.search(crops)).cpu().numpy()[:, 0]
        large = np.stack([cv2.resize(each, (272, 272), interpolation=cv2.INTER_CUBIC) for each in response])
        best = int((large.max((1, 2)) * [0.9745, 1, 0.9745]).argmax())
        chosen = large[best] - large[best].min()
        blended = 0.65 * (chosen / chosen.sum()) + 0.35 * self.window
        row, column = np.unravel_index(blended.argmax(), blended.shape)
        shift = (np.array([column, row]) - 136) * 8 / 16 * self.side / 255
        height, width = frame.shape[:2]
        self.centre = np.clip(self.centre + shift, 0, [width, height])
        self.size = np.clip(0.41 * self.size + 0.59 * self.size * scales[best], 10, [width, height])
        self.side = float(np.clip(0.41 * self.side + 0.59 * self.side * scales[best], *self.limits))
        return np.concatenate([self.centre, self.size])


class PublishedSiamRPN:
    """Template features kept, their convolutions in the head done anew in every frame."""

    def __init__(self, model: Any, frame: np.ndarray, cxcywh: np.ndarray) -> None:
        self.model = model
        self.centre, self.size = cxcywh[:2].astype(float), cxcywh[2:].astype(float)
        self.fill = frame.mean((0, 1)).astype(np.uint8)
        z = subwindow(frame, self.centre.tolist(), _away(context_side(*self.size)), 127, self.fill)
        with torch.no_grad():
            self.features = model.backbone(_seen(z, model)[None])
        self.anchors = tracker_anchors((0.33, 0.5, 1, 2, 3), (8,), 17)
        self.window = np.outer(np.hanning(17), np.hanning(17))

    def update(self, frame: np.ndarray) -> np.ndarray:
        side = context_side(*self.size)
        zoom = 127 / side
        x = subwindow(frame, self.centre.tolist(), _away(side + 128 / zoom), 255, self.fill)
        with torch.no_grad():
            kernels = self.model.connect_model.template(self.features)
            cls, reg = self.model.match(kernels, self.model.search(_seen(x, self.model)[None]))
            cls = cls.sigmoid() if cls.shape[1] == 5 else cls.view(2, 5, 17, 17).softmax(0)[1]
        score, delta = cls.cpu().numpy().reshape(5, 17, 17), reg.cpu().numpy().reshape(4, 5, 17, 17)
        cx, cy = (delta[k] * self.anchors[k + 2] + self.anchors[k] for k in (0, 1))
        w, h = (np.exp(delta[k]) * self.anchors[k] for k in (2, 3))

        def change(ratio: np.ndarray) -> np.ndarray:
            return np.maximum(ratio, 1 / ratio)

        target = self.size * zoom
        growth = change(context_side(w, h) / context_side(*target)) * change(target[0] / target[1] / (w / h))
        penalty = np.exp(-(growth - 1) * 0.055)
        best = np.unravel_index((penalty * score * 0.58 + self.window * 0.42).argmax(), score.shape)
        share = penalty[best] * score[best] * 0.295
        height, width = frame.shape[:2]
        self.centre = np.clip(self.centre + np.array([cx[best], cy[best]]) / zoom, 0, [width, height])
        size = self.size * (1 - share) + np.array([w[best], h[best]]) / zoom * share
        self.size = np.clip(size, 10, [width, height])
        return np.concatenate([self.centre, self.size])
