"""What tells one study of tune_tpe.py from another."""

import shutil

from tests.core.tiny import write_data
from tests.scripts.live import checkpoint


def test_a_set_of_the_same_name_in_another_folder_is_another_study(call, tmp_path):
    weights = checkpoint(tmp_path / "checkpoint_e1.pth")
    write_data(tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "there")

    def tune(root, trials):
        words = ["--dataset", "choose", "--dataset_root", root, "--max_frames", 3, "--device", "cpu", "--quiet"]
        return call("siamese_tracking/tune_tpe.py", "--resume", weights, *words, "--trials", trials, "--out", "study")

    first = tune("here", 1)
    assert first.status == 0 and "best of 1 trials" in first.out, first.err
    other = tune("there", 2)
    assert other.status == 2 and "was begun with other data: " in other.err and other.err.count("\n") == 1
    again = tune(tmp_path / "here", 2)  # however its folder is spelled
    assert again.status == 0 and "best of 2 trials" in again.out, again.err
