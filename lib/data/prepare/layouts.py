"""Which reader a folder wants."""

from collections.abc import Mapping
from pathlib import Path

from lib.data.prepare.clips import Source
from lib.data.prepare.coco import find_coco
from lib.data.prepare.folders import find_folders
from lib.data.prepare.ilsvrc import find_det, find_vid
from lib.files import UserError

LAYOUTS = ("folders", "coco", "vid", "det")


def detect(root: Path) -> str:
    """The layout, told by the annotations' place."""
    if any(root.glob("annotations/instances_*.json")):
        return "coco"
    for layout in ("vid", "det"):
        if (root / "Annotations" / layout.upper()).is_dir():
            return layout
    return "folders"


def find_clips(
    root: Path,
    layout: str = "auto",
    *,
    split: str | None = None,
    base: int | None = None,
    starts: Mapping[str, int] | None = None,
) -> Source:
    """All clips of a raw data set. ``split``: of COCO, VID, DET; ``base`` and ``starts``: of folders (see there)."""
    if not root.exists():
        raise UserError(f"the raw data must be a folder or a video, {root} does not exist; name the one that does")
    if layout == "auto":
        layout = detect(root)
    if layout == "coco":
        return find_coco(root, split=split)
    if layout == "vid":
        return find_vid(root, split=split)
    if layout == "det":
        return find_det(root, split=split)
    if layout != "folders":
        raise UserError(f"layout must be auto or one of {', '.join(LAYOUTS)}, got {layout}")
    return find_folders(root, base=base, starts=starts)
