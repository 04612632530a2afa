"""ImageNet's VID and DET in their official layout: ``Annotations/<task>/...xml`` and ``Data/<task>/...JPEG`` alike.

VID: a folder of frames is a clip and ``trackid`` names the target. DET: an image is a clip.
"""

import os
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from lib.data.prepare.clips import Boxes, Clip, Source
from lib.files import UserError


def find_vid(root: Path, *, split: str | None = None) -> Source:
    """The snippets of one split or all; named as ``train/ILSVRC2015_VID_train_0000/ILSVRC2015_train_00000000``."""
    top, data = _tops(root, "VID", split)
    source = {}
    for folder, inner, files in os.walk(top):
        inner.sort()
        if any(file.endswith(".xml") for file in files):
            name = Path(folder).relative_to(root / "Annotations" / "VID").as_posix()
            source[name] = partial(load_snippet, Path(folder), data / Path(folder).relative_to(top))
    return source


def find_det(root: Path, *, split: str | None = None) -> Source:
    """The annotated images, named as their files."""
    top, data = _tops(root, "DET", split)
    source = {}
    for folder, inner, files in os.walk(top):
        inner.sort()
        for file in sorted(files):
            if file.endswith(".xml"):
                path = Path(folder) / file
                name = path.relative_to(root / "Annotations" / "DET").with_suffix("").as_posix()
                source[name] = partial(load_image, path, data / path.relative_to(top).with_suffix(".JPEG"))
    return source


def _tops(root: Path, task: str, split: str | None) -> tuple[Path, Path]:
    """The folders of the annotations and of the images."""
    tops = [root / kind / task / (split or "") for kind in ("Annotations", "Data")]
    for top in tops:
        if not top.is_dir():
            raise UserError(f"{task} must have {top}, which is no folder; unpack ILSVRC2015 there, or mend --split")
    return tops[0], tops[1]


def load_snippet(annotations: Path, images: Path) -> Clip:
    """One VID snippet: an xml a frame, the frame's number is the file's name."""
    numbers = sorted(int(path.stem) for path in annotations.glob("*.xml"))
    rows = [(n, *row) for n in numbers for row in _objects(annotations / f"{n:06d}.xml")]
    table = np.array(rows, np.float64).reshape(-1, 6)
    frames = tuple(images / f"{n:06d}.JPEG" for n in range(numbers[-1] + 1))
    return Clip(frames, Boxes(table[:, 0].astype(int), table[:, 1].astype(int), table[:, 2:]))


def load_image(annotation: Path, image: Path) -> Clip:
    """One DET image; its objects count as tracks."""
    rows = np.array(_objects(annotation), np.float64).reshape(-1, 5)
    return Clip((image,), Boxes(np.zeros(len(rows), int), np.arange(len(rows)), rows[:, 1:]))


def _objects(path: Path) -> list[tuple[float, ...]]:
    """(track, x, y, w, h) of each object in an xml; corners there are pixels, as written."""
    try:
        root = ElementTree.parse(path).getroot()
        rows: list[tuple[float, ...]] = []
        for item in root.iter("object"):
            x1, y1, x2, y2 = (float(item.findtext(f"bndbox/{key}", "")) for key in ("xmin", "ymin", "xmax", "ymax"))
            rows.append((float(item.findtext("trackid", "0")), x1, y1, x2 - x1, y2 - y1))
        return rows
    except (OSError, ElementTree.ParseError, ValueError) as error:
        raise UserError(f"{path} must be an ImageNet annotation; it is not: {error}") from error
