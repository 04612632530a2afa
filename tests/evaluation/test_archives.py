"""Archives are read in place, and never write beside it."""

import io
import tarfile
import zipfile

import pytest

from lib.evaluation.archives import unpacked
from lib.files import UserError


def write_tar(path, members, links=()):
    with tarfile.open(path, "w:xz" if path.suffix == ".xz" else "w:gz") as tar:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
        for name, target in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)


def write_zip(path, members):
    with zipfile.ZipFile(path, "w") as file:
        for name, text in members.items():
            file.writestr(name, text)


@pytest.mark.parametrize(("name", "write"), [("r.tar.xz", write_tar), ("r.tgz", write_tar), ("R.ZIP", write_zip)])
def test_read_in_place(tmp_path, name, write):
    write(tmp_path / name, {"OTB2015/A/Deer.txt": "1,2,3,4\n", "truth/Deer.txt": "1,2,3,4\n"})
    with unpacked(tmp_path / name) as folder:
        assert (folder / "OTB2015/A/Deer.txt").read_text() == "1,2,3,4\n"
        kept = folder
    assert not kept.exists() and [path.name for path in tmp_path.iterdir()] == [name]
    with unpacked(tmp_path / name / "truth") as folder:
        assert [path.name for path in folder.iterdir()] == ["Deer.txt"]


def test_folders_are_taken_as_they_are(tmp_path):
    with unpacked(tmp_path) as folder:
        assert folder == tmp_path
    with unpacked(tmp_path / "none.tar.xz") as folder:  # whoever reads it says that it is not there
        assert folder == tmp_path / "none.tar.xz"


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/../out.txt", "a/../../out.txt"])
@pytest.mark.parametrize(("archive", "write"), [("r.tar.xz", write_tar), ("r.zip", write_zip)])
def test_nothing_is_written_outside(tmp_path, archive, write, name, monkeypatch):
    inner = tmp_path / "inner"
    inner.mkdir()
    monkeypatch.setenv("TMPDIR", str(inner))
    monkeypatch.setattr("tempfile.tempdir", None)
    write(tmp_path / archive, {"fine.txt": "x", name: "x"})
    with pytest.raises(UserError, match=r"must be an archive|must hold files"), unpacked(tmp_path / archive):
        pass
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(["inner", archive])


def test_links_that_lead_out_are_refused(tmp_path):
    write_tar(tmp_path / "r.tar.gz", {"fine.txt": "x"}, [("evil", "/etc")])
    with pytest.raises(UserError, match="must be an archive"), unpacked(tmp_path / "r.tar.gz"):
        pass


@pytest.mark.parametrize("name", ["r.tar.xz", "r.zip", "r.tgz"])
def test_damaged_archives_are_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"no archive at all")
    with pytest.raises(UserError, match=f"{name} must be an archive"), unpacked(tmp_path / name):
        pass
