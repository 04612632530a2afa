"""Score results on VOT in every way at once: distance precision, overlap, centre error, A, R, EAO; a table and a csv.

python evalutionVOT.py VOT2016
"""

from pathlib import Path

import torch

from lib.core.evaluation_args import finish, parser, task
from lib.evaluation.boards import FRAME_COLUMNS, FRAME_LEGEND, VOT_COLUMNS, VOT_LEGEND, vot_board
from lib.evaluation.leaderboard import INTERVALS
from lib.files import run_script


def main() -> None:
    """Read, score, print; the csv lies beside the results unless another place is named."""
    job = task(parser("Score trackers on VOT in every way at once.", dataset="VOT2016"))
    torch.set_num_threads(1)  # many small operations: a second thread costs more than it brings
    board = vot_board(job.dataset, job.sequences, job.folders, with_frames=True)
    print(f"{job.dataset}, {len(job.sequences)} sequences\n{board.table(FRAME_COLUMNS)}\n{FRAME_LEGEND}\n")
    print(f"{board.table(VOT_COLUMNS)}\n{VOT_LEGEND}; {INTERVALS}")
    job.options.csv = job.options.csv or str(Path(job.options.result_path) / f"{job.dataset}.csv")
    finish(board, job.options)
    print(f"all scores with intervals: {job.options.csv}")


if __name__ == "__main__":
    run_script(main)
