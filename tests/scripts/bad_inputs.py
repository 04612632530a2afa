"""A place to go wrong in: good data in a folder with spaces and letters beyond ASCII, and ways to spoil it.

Every method that returns words of a command line has spoilt something that they name.
"""

import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import torch

from lib.core.checkpoint import save_checkpoint
from tests.core.tiny import write_data, write_settings
from tests.tracker.clips import render, small_model

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg reads it once, when it is first used in a process

NAN, INF = float("nan"), float("inf")
WEIGHTS = {"fc": "SiamFCRes22", "rpn": "SiamRPNRes22", "incep": "SiamFCIncep22"}


class Hostile:
    """Pickles as a call."""

    def __reduce__(self) -> tuple:
        return print, ("this code must never run",)


def make_common(folder: Path) -> Path:
    """Crops, test sets, weights and a clip, which no case changes."""
    data = folder / "data"
    write_data(data)
    for name, arch in WEIGHTS.items():
        state = small_model(arch).state_dict()
        save_checkpoint(folder / f"{name}.pth", {"epoch": 1, "arch": arch, "state_dict": state, "mapping": "sigmoid"})
    clip = render(folder, "clip", frames=4, size=(120, 90), seed=1)
    writer = cv2.VideoWriter(str(folder / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (120, 90))
    for path in clip.frames:
        writer.write(cv2.imread(str(path)))
    writer.release()
    return folder


class Place:
    """Where one case happens."""

    def __init__(self, common: Path, here: Path) -> None:
        self.common, self.here, self.data = common, here, common / "data"
        self.output = here / "output"

    # ------------------------------------------------------------------------------------------------- training

    def settings(self, old: str = "", new: str = "", data: Path | None = None) -> Path:
        path = write_settings(self.here, data or self.data)
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1) if old else text)
        return path

    def cfg(self, old: str = "", new: str = "", data: Path | None = None) -> list[object]:
        return ["--cfg", self.settings(old, new, data), "--quiet"]

    def with_annotation(self, text: str) -> list[object]:
        (self.here / "crops.json").write_text(text)
        return self.cfg(f"{self.data}/crops.json", f"{self.here}/crops.json")

    # -------------------------------------------------------------------------------------------------- testing

    def tested(
        self, weights: str | Path = "fc", *words: object, root: Path | None = None, slots: int = 2, name: str = ""
    ) -> list[object]:
        """test_siamfc.py on the set ``choose``."""
        file = weights if isinstance(weights, Path) else self.common / f"{weights}.pth"
        given = ["--resume", file, "--dataset", "choose", "--dataset_root", root or self.data]
        given += ["--result_path", self.here / "result", "--threads", 1, "--slots", slots]
        return [*given, *(["--name", name] if name else []), *words]

    def test_set(self, frames: int = 3, kind: str = ".png", **entry: object) -> Path:
        """A test set ``choose`` of one video, parts of whose annotation are replaced."""
        root = self.here / "sets"
        video = render(root / "choose" / "one", "img", frames=frames, size=(120, 90), seed=4)
        for path in video.frames if kind != ".png" else ():
            cv2.imwrite(str(path.with_suffix(kind)), cv2.imread(str(path)))
            path.unlink()
        files = [path.with_suffix(kind).name for path in video.frames]
        whole = {"name": "one", "image_files": files, "gt_rect": (video.truth + np.array([1, 1, 0, 0])).tolist()}
        (root / "choose.json").write_text(json.dumps({"one": whole | entry}))
        return root

    def first_box(self, *box: float) -> list[object]:
        return self.tested(root=self.test_set(gt_rect=[list(box), *[[13, 11, 26, 20]] * 2]))

    def truncated(self, number: int, kind: str) -> list[object]:
        root = self.test_set(kind=kind)
        path = root / "choose" / "one" / "img" / f"{number:04d}{kind}"
        path.write_bytes(path.read_bytes()[:-900])
        return self.tested(root=root)

    def file(self, name: str, content: bytes | str | None) -> Path:
        """A file, or None for one that is not there."""
        path = self.here / name
        if content is not None:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def half(self, name: str = "fc") -> Path:
        whole = (self.common / f"{name}.pth").read_bytes()
        return self.file("half.pth", whole[: len(whole) // 2])

    def hostile(self) -> Path:
        torch.save({"state_dict": Hostile()}, self.here / "hostile.pth")
        return self.here / "hostile.pth"

    def old_pickle(self) -> Path:
        return self.file("old.pth", pickle.dumps(Hostile()))

    def climbing_zip(self) -> Path:
        path = self.here / "climbing.pth"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("../climbed.txt", "out of the folder")
            archive.writestr("../../data.pkl", b"cos\nsystem\n(S'true'\ntR.")
        return path

    # -------------------------------------------------------------------------------------------------- scoring

    def results(self, rows: str | bytes, kind: str = "otb") -> list[object]:
        """A data set of one sequence of four frames, and one tracker's result file."""
        name = "OTBx" if kind == "otb" else "VOTx"
        truth = {"s": {"gt_rect": [[10 + t, 20, 30, 40] for t in range(4)], "width": 200, "height": 100}}
        (self.here / "truth.json").write_text(json.dumps(truth))
        place = "s.txt" if kind == "otb" else "baseline/s/s_001.txt"
        path = self.here / "result" / name / "mine" / place
        path.parent.mkdir(parents=True)
        path.write_bytes(rows.encode() if isinstance(rows, str) else rows)
        return [name, self.here / "result", "--truth", self.here / "truth.json", "--json", self.here / "scores.json"]

    # --------------------------------------------------------------------------------------------------- videos

    def followed(self, box: str = "12,10,26,20", *words: object, video: object = None, weights: str = "fc") -> list:
        """run_video.py on the clip."""
        given = ["--resume", self.common / f"{weights}.pth", "--video", video or self.common / "clip.avi"]
        return [*given, "--init_bbox", box, "--boxes", self.here / "boxes.txt", *words]

    # --------------------------------------------------------------------------------------------------- others

    def tuned(self, *words: object) -> list[object]:
        given = ["--resume", self.common / "fc.pth", "--dataset", "choose", "--dataset_root", self.data, "--threads", 1]
        return [*given, "--trials", 2, "--max_frames", 3, "--quiet", "--out", self.output, *words]

    def with_database(self, content: bytes) -> list[object]:
        self.output.mkdir()
        (self.output / "tune.db").write_bytes(content)
        return self.tuned()

    def copy_of_data(self) -> Path:
        return Path(shutil.copytree(self.data, self.here / "data"))


def annotation(box: list[float]) -> str:
    """Crops of one track whose boxes are all ``box``."""
    return json.dumps({"v0": {"00": {f"{t:06d}": box for t in range(4)}}})


ROWS = [f"{10 + t},20,30,40" for t in range(4)]
PIXELS = {
    "grey": lambda image: image[..., 0],
    "alpha": lambda image: np.dstack([image, np.full(image.shape[:2], 99, np.uint8)]),
    "16 bit": lambda image: image.astype(np.uint16) * 257,
}
