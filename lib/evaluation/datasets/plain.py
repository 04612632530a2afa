"""Folders of sequences, with boxes in or beside each: OTB, VOT, and whatever anyone lays out in such a way."""

import re
from functools import partial
from pathlib import Path

from lib.evaluation import names
from lib.evaluation.boxfiles import read_bytes, read_rows
from lib.evaluation.datasets.disk import VIDEOS, child, image_folder, images, subfolders, unwrapped
from lib.evaluation.datasets.target import Tags, Target
from lib.evaluation.datasets.video import frames_of, rows_of
from lib.evaluation.facts import ATTRIBUTES, OTB_FRAMES

IGNORED = re.compile(
    r"(readme|list|(training|testing)_set|license|notes?|full_occlusion|out_of_view|nlp|.*_(frames|att|time))\.txt",
    re.IGNORECASE,
)


def find_plain(folder: Path, name: str) -> list[Target]:
    """Sequences in folders of their own, and videos; or the one sequence that the folder itself is."""
    folder = unwrapped(folder, _holds_sequences)
    folder = child(folder, "sequences") or folder  # as the VOT toolkit lays them out
    listing = child(folder, "list.txt")
    alone = _boxes_of(folder) if images(image_folder(folder)) and not listing else []
    if alone:
        return _targets(name, folder, alone, vot=names.is_vot(name))
    titles = read_bytes(listing).decode().split() if listing else subfolders(folder)
    vot = names.is_vot(name) or (listing is not None and not names.is_long_term(name))
    found: list[Target] = []
    for title in titles:
        home = child(folder, title) or folder / title
        texts = _boxes_of(home)
        if texts:
            found += _targets(name, home, texts, vot)
        elif listing:
            found.append(Target(title, None, home))
    return found + _videos(folder)


def _holds_sequences(folder: Path) -> bool:
    if child(folder, "list.txt", "sequences") or images(folder) or _clips(folder):
        return True
    if images(image_folder(folder)) and _boxes_of(folder):
        return True
    return any(_boxes_of(folder / title) for title in subfolders(folder))


def _targets(name: str, home: Path, texts: list[Path], vot: bool) -> list[Target]:
    """The targets of one folder: one a text; the plain text's alone where there is one (Human4 has .1 and .2 too)."""
    texts = texts[:1] if vot or not _number(texts[0]) else texts
    texts = [text for text in texts if names.key(f"{home.name}{_number(text)}") not in names.LEFT_OUT]
    otb = names.is_otb(name)
    found = []
    for text in texts:
        title = home.name if len(texts) == 1 else home.name + _number(text)
        official = text.name.startswith("groundtruth")
        found.append(
            Target(
                title,
                text,
                home,
                vot=vot,
                scored=partial(names.scored_part, title) if otb else lambda rows: slice(None),
                pick=partial(images_of_rows, title),
                tags=partial(_tags, home, title, name, vot or names.is_long_term(name)),
                rows=Target.rows if official else rows_of,
                only_start=not official,
            )
        )
    return found


def images_of_rows(title: str, files: list[Path], rows: int) -> list[Path]:
    """The images that belong to ``rows`` annotated rows of an OTB sequence, of all images of its video."""
    in_part = OTB_FRAMES.get(names.key(title), (1, 0))[1] == rows
    return files[names.scored_part(title, len(files))] if in_part else files


def _boxes_of(home: Path) -> list[Path]:
    """The texts of boxes in a sequence's folder or beside it, one per target; the plain one first."""
    if not home.is_dir():
        return []
    texts = sorted((path for path in home.iterdir() if path.suffix.lower() == ".txt"), key=_plain_first)
    rect = [path for path in texts if path.name.lower().startswith("groundtruth_rect")]
    if rect and not (home / "color").is_dir():
        return rect
    title = home.name
    usual = child(home, "groundtruth.txt", "gt.txt", f"{title}_gt.txt", f"{title}.txt", "boxes.txt")
    if usual or rect:
        return [usual] if usual else rect
    pictures = bool(images(image_folder(home)))
    unknown = [path for path in texts if not IGNORED.fullmatch(path.name)]
    if len(unknown) == 1 and pictures:
        return unknown
    places = (home.parent, child(home.parent, "anno", "annotations")) if pictures else ()
    beside = [text for place in places if (text := child(place, f"{title}.txt", f"{title}_gt.txt"))]
    return beside[:1]


def _plain_first(text: Path) -> tuple[int, str]:
    return len(text.name), text.name


def _number(text: Path) -> str:
    """``.2`` of groundtruth_rect.2.txt, nothing where a file has no number."""
    number = re.search(r"\.(\d+)\.txt$", text.name)
    return f".{number[1]}" if number else ""


def _tags(home: Path, title: str, name: str, per_frame: bool) -> Tags:
    """VOT's tags of each frame; else the attributes of the sequence."""
    if per_frame:
        texts = sorted([*home.glob("*.tag"), *home.glob("*.label")])
        return {path.stem: read_rows(path, (1,))[:, 0] for path in texts if path.stat().st_size}
    return attributes(home.parent, title, name)


def attributes(folder: Path, title: str, name: str) -> Tags:
    """Names of the sequence's attributes, from its row of zeros and ones in ``att/`` or ``anno/att/``."""
    columns = ATTRIBUTES.get("OTB2015" if names.canonical(name).startswith("OTB") else names.canonical(name), [])
    for within in (folder, child(folder, "anno"), child(folder, "annos")):
        text = child(child(within, "att") if within else None, f"{title}.txt")
        if text is not None:
            row = read_rows(text, tuple(range(1, 64)))[0]
            labels = columns if len(columns) == len(row) else [f"attribute {k}" for k in range(1, len(row) + 1)]
            return {"attributes": [label for label, has in zip(labels, row, strict=True) if has]}  # type: ignore[dict-item]
    return {}


# ---------------------------------------------------------------------------------------------------------- videos


def _clips(folder: Path) -> list[tuple[Path, Path]]:
    """Video files that have a text of boxes beside them."""
    videos = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in VIDEOS] if folder.is_dir() else []
    pairs = [(video, child(folder, f"{video.stem}.txt", f"{video.stem}_gt.txt")) for video in videos]
    return [(video, text) for video, text in pairs if text is not None]


def _videos(folder: Path) -> list[Target]:
    return [video_target(video, text) for video, text in _clips(folder)]


def video_target(video: Path, text: Path | None) -> Target:
    """A video and its boxes; its frames are decoded when they are first needed."""
    return Target(video.stem, text, video.parent, rows=rows_of, pick=lambda _, rows: frames_of(video), only_start=True)
