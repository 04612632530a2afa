"""Results and annotations as they are passed around: folders, or archives of folders."""

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from lib.files import UserError

SUFFIXES = (".zip", ".tar", ".tgz", ".txz", ".tar.gz", ".tar.xz", ".tar.bz2")


@contextmanager
def unpacked(path: str | Path) -> Iterator[Path]:
    """The path itself; if it is an archive, or leads into one (``x.tar.xz/folder``), where it lies unpacked meanwhile.

    Nothing is written outside the temporary folder: an archive that tries to is refused.
    """
    path = Path(path).expanduser()
    archive = next((each for each in (path, *path.parents) if _is_archive(each)), None)
    if archive is None:
        yield path
        return
    with TemporaryDirectory(prefix="unpacked-") as folder:
        try:
            _unpack(archive, folder)
        except (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, OSError, EOFError) as error:
            raise UserError(
                f"{archive} must be an archive whose files lie within it: {error}; unpack it yourself"
            ) from error
        yield Path(folder) / path.relative_to(archive)


def _is_archive(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES) and path.is_file()


def _unpack(archive: Path, folder: str) -> None:
    if archive.suffix.lower() == ".zip":
        with zipfile.ZipFile(archive) as file:
            outside = [name for name in file.namelist() if _leads_out(name)]
            if outside:
                raise UserError(
                    f"{archive} must hold files that lie within it, {outside[0]} does not; unpack it yourself"
                )
            file.extractall(folder)
    else:
        if not hasattr(tarfile, "data_filter"):  # before Python 3.11.4
            raise UserError(
                f"{archive} cannot be unpacked safely by this Python; unpack it yourself, or use a newer one"
            )
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")


def _leads_out(name: str) -> bool:
    pure = PurePosixPath(name.replace("\\", "/"))
    return pure.is_absolute() or ".." in pure.parts or ":" in name.split("/")[0]
