"""YouTube-BoundingBoxes: the official table ``yt_bb_detection_<split>.csv`` (or .csv.gz), and frames decoded after it.

The table has no header: youtube_id, timestamp_ms, class_id, class_name, object_id, object_presence, xmin, xmax, ymin,
ymax (shares of the image). Frames are not given out; the tools that fetch them name an image after the id, the class,
the object and the time, joined with + or _ (``eWyI5lsY0jg+7+0+178000.jpg``): any such image under the folder is taken.
"""

import csv
import gzip
import re
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path

import numpy as np

from lib.data.prepare.clips import IMAGES, Boxes, Clip, Source
from lib.files import UserError
from lib.images import read_image

NAME = re.compile(r"(?P<video>.{11})[+_]\d+[+_]\d+[+_](?P<time>\d+)")
Row = tuple[int, int, float, float, float, float]  # time in ms, object, xmin, xmax, ymin, ymax


def find_youtubebb(root: Path, *, split: str | None = None) -> Source:
    """The segments of one split or of both; a clip is one class in one video, named ``train/<youtube id>+<class>``."""
    tables = {path.name.split(".")[0].removeprefix("yt_bb_detection_"): path for path in tables_of(root)}
    if split is not None and split not in tables:
        raise UserError(f"--split must be one of {', '.join(tables)}, got {split}")
    images = _images(root)
    source: dict[str, partial[Clip]] = {}
    for name in [split] if split else sorted(tables):
        for segment, (rows, absent) in _segments(tables[name]).items():
            video = segment[:11]
            times = sorted({row[0] for row in rows if (video, row[0]) in images})
            if times:
                paths = {time: images[video, time] for time in times}
                source[f"{name}/{segment}"] = partial(load_segment, paths, rows, absent)
    return source


def tables_of(root: Path) -> list[Path]:
    """The official tables in a folder, packed ones first."""
    return [*root.glob("yt_bb_detection_*.csv.gz"), *root.glob("yt_bb_detection_*.csv")]


def _images(root: Path) -> dict[tuple[str, int], Path]:
    """{(youtube id, time in ms): image}."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = NAME.match(path.stem)
        if name and path.suffix.lower() in IMAGES:
            found[name["video"], int(name["time"])] = path
    return found


def _segments(table: Path) -> dict[str, tuple[list[Row], int]]:
    """{``<youtube id>+<class>``: its boxes, and how many rows say that the object is not there}."""
    rows: dict[str, list[Row]] = defaultdict(list)
    absent: Counter = Counter()
    with gzip.open(table, "rt") if table.suffix == ".gz" else table.open() as file:
        for number, row in enumerate(csv.reader(file), 1):
            if row[:1] == ["youtube_id"]:
                continue
            try:
                video, time, kind, _, thing, presence, *box = row
                x1, x2, y1, y2 = map(float, box)
                segment = f"{video}+{kind}"
                if presence == "present":
                    rows[segment].append((int(time), int(thing), x1, x2, y1, y2))
                else:
                    absent[segment] += 1
            except ValueError as error:
                raise UserError(f"{table}, line {number}: must be a row of YouTube-BB, it is not: {error}") from error
    return {segment: (rows[segment], absent[segment]) for segment in sorted(rows)}


def load_segment(paths: dict[int, Path], rows: list[Row], absent: int) -> Clip:
    """One segment; all its images have one size. Boxes without an image are counted."""
    place = {time: n for n, time in enumerate(paths)}
    table = np.array([(place[row[0]], *row[1:]) for row in rows if row[0] in place], np.float64)
    image = next((image for image in map(read_image, paths.values()) if image is not None), None)
    height, width = image.shape[:2] if image is not None else (1, 1)
    x1, x2, y1, y2 = table[:, 2:].T * np.array([width, width, height, height])[:, None]
    boxes = Boxes(table[:, 0].astype(int), table[:, 1].astype(int), np.stack([x1, y1, x2 - x1, y2 - y1], -1))
    missing = len(rows) - len(table)
    return Clip(tuple(paths.values()), boxes, Counter({"absent": absent, "image missing or damaged": missing}))
