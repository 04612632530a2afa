"""Score results on OTB (or any one-pass data set): success AUC, precision, normalised precision, with intervals.

python lib/core/eval_otb.py OTB2013 ./result 'SiamFC*' 0 1
python lib/core/eval_otb.py --dataset OTB2015 --dataset_root DIR --result_path ./result --tracker_reg 'SE*' --start 0
"""

from lib.core.evaluation_args import finish, parser, task
from lib.evaluation import conventions
from lib.evaluation.boards import OTB_COLUMNS, OTB_LEGEND, otb_board
from lib.evaluation.leaderboard import INTERVALS
from lib.files import run_script


def main() -> None:
    """Read, score, print."""
    p = parser("Score trackers on OTB.", dataset="OTB2015")
    p.add_argument("--convention", choices=conventions.CHOICES, help="whose details; default: the data set's own")
    job = task(p)
    convention = conventions.chosen(job.options.convention, job.dataset, "one-pass")
    board = otb_board(job.sequences, job.folders, convention=convention)
    print(f"{job.dataset}, {len(job.sequences)} sequences\n{board.table(OTB_COLUMNS)}\n{OTB_LEGEND}; {INTERVALS}")
    finish(board, job.options)


if __name__ == "__main__":
    run_script(main)
