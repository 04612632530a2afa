"""Miniature data sets in the layouts of the real ones."""

import json
from pathlib import Path

import cv2
import numpy as np


def frame(number: int = 0, size: tuple[int, int] = (64, 48), suffix: str = ".png") -> bytes:
    """A small image (width, height) that differs from frame to frame."""
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return cv2.imencode(suffix, cv2.GaussianBlur(pixels, (5, 5), 0))[1].tobytes()


def put(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def put_frames(folder: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        put(folder / name, frame(number, suffix=Path(name).suffix.lower()))


def text(rows, mark: str = ",") -> str:
    return "".join(mark.join(f"{value:g}" for value in row) + "\n" for row in rows)


def coco(root: Path) -> Path:
    """Two images of one split; a crowd, a box without area, and an image without annotation."""
    put_frames(root / "train2017", ["000000000009.jpg", "000000000025.jpg", "000000000030.jpg"])
    annotation = {
        "images": [{"id": n, "file_name": f"{n:012d}.jpg", "width": 64, "height": 48} for n in (9, 25, 30)],
        "annotations": [
            {"id": 1, "image_id": 9, "bbox": [10.5, 8, 20, 16.25], "iscrowd": 0, "category_id": 1},
            {"id": 2, "image_id": 9, "bbox": [0, 0, 60, 40], "iscrowd": 1, "category_id": 1},
            {"id": 3, "image_id": 25, "bbox": [30, 20, 12, 12], "iscrowd": 0, "category_id": 2},
            {"id": 4, "image_id": 25, "bbox": [3, 3, 0, 9], "iscrowd": 0, "category_id": 2},
        ],
    }
    put(root / "annotations" / "instances_train2017.json", json.dumps(annotation))
    put(root / "annotations" / "person_keypoints_train2017.json", "{}")
    return root


def imagenet_xml(objects) -> str:
    """``objects``: (trackid or None, x1, y1, x2, y2)."""
    body = ""
    for track, x1, y1, x2, y2 in objects:
        body += "<object>" + (f"<trackid>{track}</trackid>" if track is not None else "")
        body += f"<name>n02958343</name><bndbox><xmax>{x2}</xmax><xmin>{x1}</xmin><ymax>{y2}</ymax><ymin>{y1}</ymin>"
        body += "</bndbox><occluded>0</occluded></object>"
    return f"<annotation><size><width>64</width><height>48</height></size>{body}</annotation>"


def vid(root: Path) -> Path:
    """One snippet of three frames and two targets, of which one leaves."""
    name = "train/ILSVRC2015_VID_train_0000/ILSVRC2015_train_00000000"
    put_frames(root / "Data" / "VID" / name, [f"{n:06d}.JPEG" for n in range(3)])
    objects = [[(0, 5, 6, 25, 26), (1, 30, 20, 50, 40)], [(0, 7, 6, 27, 26)], []]
    for n, row in enumerate(objects):
        put(root / "Annotations" / "VID" / name / f"{n:06d}.xml", imagenet_xml(row))
    return root


def det(root: Path) -> Path:
    """One image of two objects."""
    name = "train/ILSVRC2013_train/n02958343/n02958343_4"
    put(root / "Data" / "DET" / f"{name}.JPEG", frame(4, suffix=".jpg"))
    objects = [(None, 5, 6, 25, 26), (None, 30, 20, 50, 40)]
    put(root / "Annotations" / "DET" / f"{name}.xml", imagenet_xml(objects))
    return root


def video(path: Path, length: int = 6) -> Path:
    """A short film."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for number in range(length):
        writer.write(cv2.imdecode(np.frombuffer(frame(number), np.uint8), cv2.IMREAD_COLOR))
    writer.release()
    return path


def youtubebb(root: Path) -> Path:
    """One video, two objects; a row without the object, and a row whose image could not be fetched."""
    rows = [
        "AAAAAAAAAA-,1000,7,car,0,present,0.25,0.5,0.25,0.75",
        "AAAAAAAAAA-,1000,7,car,1,present,0.5,0.75,0.25,0.75",
        "AAAAAAAAAA-,2000,7,car,0,present,0.125,0.5,0.25,0.75",
        "AAAAAAAAAA-,3000,7,car,0,absent,-1,-1,-1,-1",
        "AAAAAAAAAA-,4000,7,car,0,present,0.25,0.5,0.25,0.75",
        "BBBBBBBBBBB,1000,3,dog,0,present,0.25,0.5,0.25,0.75",
    ]
    put(root / "yt_bb_detection_train.csv", "\n".join(rows) + "\n")
    put(root / "frames" / "AAAAAAAAAA-+7+0+1000.jpg", frame(1, suffix=".jpg"))
    put(root / "frames" / "AAAAAAAAAA-_07_0000_00002000_8_12_32_36.jpg", frame(2, suffix=".jpg"))
    return root


def got10k(root: Path) -> Path:
    """A sequence of each split."""
    for split, title in (("train", "Train"), ("val", "Val"), ("test", "Test")):
        home = root / split / f"GOT-10k_{title}_000001"
        put_frames(home, ["00000001.jpg", "00000002.jpg"])
        put(home / "groundtruth.txt", "11.0000,9.0000,20.0000,16.0000\n" + "12,9,20,16\n" * (split != "test"))
        put(home / "absence.label", "0\n0\n")
    return root


def lasot(root: Path) -> Path:
    """A training and a test sequence of one class."""
    for number in (1, 2):
        home = root / "airplane" / f"airplane-{number}"
        put_frames(home / "img", ["00000001.jpg", "00000002.jpg"])
        put(home / "groundtruth.txt", "11,9,20,16\n12,9,20,16\n")
        put(home / "full_occlusion.txt", "0,0")
        put(home / "out_of_view.txt", "0,1")
    put(root / "testing_set.txt", "airplane-1\n")
    return root
