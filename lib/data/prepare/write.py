"""Write the crops and the annotation json of a source: parallel, and resumable at a clip.

Under ``out``: ``<clip>/<frame:06d>.<track:02d>.x.jpg``; beside it ``<out>.json`` =
{clip: {track: {frame: [x1, y1, x2, y2]}}} in pixels of the original image, zero-based. ``out/.done.jsonl`` has a line
for each finished clip: what was cropped and what was left out. A clip without its line is cropped again; clips that are
added later are cropped by the same command.
"""

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from lib.data.prepare.clips import Boxes, Clip, Source, read_frames
from lib.data.prepare.crops import crop_name, crop_target, encode_jpeg, mean_colour
from lib.data.prepare.rules import REASONS, Rules, judge
from lib.files import UserError, atomic_write, beside, sweep
from lib.geometry.boxes import cxcywh_from_xywh

JOURNAL = ".done.jsonl"
Tracks = dict[str, dict[str, list[float]]]  # {track: {frame: [x1, y1, x2, y2]}}


@dataclass(frozen=True)
class Setting:
    """What decides the bytes of the crops; a folder has one setting."""

    side: int = 511  # px of a crop
    every: int = 1  # take the frames 0, every, 2 every .. of a video
    quality: int = 90  # of the JPEG files
    rules: Rules = field(default_factory=Rules)


@dataclass(frozen=True)
class Summary:
    """What was made, and what was not."""

    clips: int
    tracks: int
    crops: int
    left_out: Counter  # reason -> boxes (or clips, where a clip could not be read)
    problems: list[str]  # one line for each clip that could not be read

    def table(self) -> str:
        """Aligned lines for the terminal."""
        rows = [("clips with crops", self.clips), ("tracks", self.tracks), ("crops", self.crops)]
        rows += [(f"left out: {reason}", count) for reason, count in sorted(self.left_out.items()) if count]
        wide = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{wide}}  {count:>9,}" for name, count in rows)


def prepare(
    source: Source, out: str | Path, setting: Setting | None = None, *, workers: int = 2, quiet: bool = False
) -> Summary:
    """Crop every clip of ``source`` that is not done yet; then write the annotation of all of them."""
    out, setting = Path(out), setting or Setting()
    if setting.side < 16 or setting.every < 1 or not 1 <= setting.quality <= 100:
        raise UserError(f"side must be at least 16, every at least 1 and quality 1 to 100, got {setting}; correct them")
    if not source:
        raise UserError("there must be at least one clip with boxes, none was found: check folder and --layout")
    out.mkdir(parents=True, exist_ok=True)
    for folder in (out.parent, out):
        sweep(folder, deep=False)
    done = _read_journal(out / JOURNAL, asdict(setting))
    todo = sorted(name for name in source if name not in done)
    run = Parallel(n_jobs=max(1, min(workers, len(todo))), return_as="generator_unordered")
    jobs = (delayed(beside)(os.getpid(), crop_clip, name, source[name], out, setting) for name in todo)
    with open(out / JOURNAL, "a") as journal, tqdm(total=len(source), desc="crops", unit="clip", disable=quiet) as bar:
        bar.update(len(source) - len(todo))
        for line in run(jobs):
            journal.write(json.dumps(line) + "\n")
            journal.flush()
            done[line["clip"]] = line
            bar.update()
    lines = [done[name] for name in sorted(done)]
    tracks = {line["clip"]: line["tracks"] for line in lines if line["tracks"]}
    atomic_write(out.with_name(out.name + ".json"), json.dumps(tracks))
    return _summary(lines)


def crop_clip(name: str, load: Callable[[], Clip], out: Path, setting: Setting) -> dict:
    """Crop one clip; returns its line of the journal."""
    cv2.setNumThreads(1)  # the clips are what runs in parallel
    try:
        clip = load()
    except (UserError, OSError) as error:
        return {"clip": name, "tracks": {}, "left_out": {"clip that cannot be read": 1}, "problem": str(error)}
    boxes, left_out = clip.boxes, Counter(clip.left_out)
    order = np.lexsort((boxes.track, boxes.frame))
    order = order[boxes.frame[order] % setting.every == 0]
    boxes = Boxes(boxes.frame[order], boxes.track[order], boxes.xywh[order])
    tracks: Tracks = {}
    (out / name).mkdir(parents=True, exist_ok=True)
    wanted, first = np.unique(boxes.frame, return_index=True)
    ends = [*first.tolist(), len(boxes)]
    for n, (place, image) in enumerate(read_frames(clip, wanted)):
        rows = slice(ends[n], ends[n + 1])
        if image is None:
            left_out["image missing or damaged"] += rows.stop - rows.start
        else:
            left_out += _crop_frame(image, place, boxes.track[rows], boxes.xywh[rows], out / name, setting, tracks)
    return {"clip": name, "tracks": tracks, "left_out": dict(left_out)}


def _crop_frame(
    image: np.ndarray,
    place: int,
    track: np.ndarray,
    xywh: np.ndarray,
    folder: Path,
    setting: Setting,
    tracks: Tracks,
) -> Counter:
    """Crop the good boxes of one frame and enter them in ``tracks``; returns why the others were left out."""
    height, width = image.shape[:2]
    verdicts = judge(xywh, width, height, setting.rules)
    fill = mean_colour(image)
    for number, box, verdict in zip(track.tolist(), xywh, verdicts.tolist(), strict=True):
        if verdict < 0:
            crop = crop_target(image, cxcywh_from_xywh(box), setting.side, fill)
            (folder / crop_name(place, number)).write_bytes(encode_jpeg(crop, setting.quality))
            corners = np.round(np.concatenate([box[:2], box[:2] + box[2:]]), 2).tolist()
            tracks.setdefault(f"{number:02d}", {})[f"{place:06d}"] = corners
    return Counter(REASONS[verdict] for verdict in verdicts.tolist() if verdict >= 0)


def _read_journal(path: Path, setting: dict) -> dict[str, dict]:
    """{clip: line} of what is done; starts the journal where there is none. A last line cut by a kill is dropped."""
    if not path.is_file():
        atomic_write(path, json.dumps(setting) + "\n")
        return {}
    text = path.read_text()
    lines = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
    if not lines or lines[0] != setting:
        was = ", ".join(f"{key} {value}" for key, value in (lines[0] if lines else {}).items())
        raise UserError(f"{path.parent} must be continued as it was begun ({was}); use these, or another --out")
    if not text.endswith("\n"):
        atomic_write(path, text[: text.rfind("\n") + 1])
    return {line["clip"]: line for line in lines[1:]}


def _summary(lines: list[dict]) -> Summary:
    left_out: Counter = Counter()
    for line in lines:
        left_out.update(line["left_out"])
    tracks = [track for line in lines for track in line["tracks"].values()]
    return Summary(
        clips=sum(bool(line["tracks"]) for line in lines),
        tracks=len(tracks),
        crops=sum(map(len, tracks)),
        left_out=left_out,
        problems=[f"{line['clip']}: {line['problem']}" for line in lines if "problem" in line],
    )
