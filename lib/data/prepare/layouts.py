"""Which reader a folder wants."""

from collections.abc import Callable, Mapping
from pathlib import Path

from lib.data.prepare.clips import Source
from lib.data.prepare.coco import find_coco
from lib.data.prepare.folders import find_folders, find_got10k, find_lasot
from lib.data.prepare.ilsvrc import find_det, find_vid
from lib.data.prepare.youtubebb import find_youtubebb, tables_of
from lib.files import UserError

# Official layouts, each with its splits.
OFFICIAL: dict[str, Callable[..., Source]] = {
    "coco": find_coco,
    "vid": find_vid,
    "det": find_det,
    "youtubebb": find_youtubebb,
    "got10k": find_got10k,
    "lasot": find_lasot,
}
LAYOUTS = ("folders", *OFFICIAL)


def detect(root: Path) -> str:
    """The layout, told by the place of the annotations."""
    if any(root.glob("annotations/instances_*.json")):
        return "coco"
    for layout in ("vid", "det"):
        if (root / "Annotations" / layout.upper()).is_dir():
            return layout
    if tables_of(root):
        return "youtubebb"
    if any(root.glob("*/GOT-10k_*")):
        return "got10k"
    if (root / "testing_set.txt").is_file():
        return "lasot"
    return "folders"


def find_clips(
    root: Path,
    layout: str = "auto",
    *,
    split: str | None = None,
    base: int | None = None,
    starts: Mapping[str, int] | None = None,
) -> Source:
    """All clips of a raw data set. ``split``: of an official layout; ``base``, ``starts``: of folders (see there)."""
    if not root.exists():
        raise UserError(f"the raw data must be a folder or a video, {root} does not exist; name the one that does")
    if layout == "auto":
        layout = detect(root)
    if layout in OFFICIAL:
        return OFFICIAL[layout](root, split=split)
    if layout != "folders":
        raise UserError(f"layout must be auto or one of {', '.join(LAYOUTS)}, got {layout}")
    if split is not None:
        raise UserError(f"--split must go with a layout of {', '.join(OFFICIAL)}, not with plain folders; leave it out")
    return find_folders(root, base=base, starts=starts)
