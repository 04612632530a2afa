"""Score results of the reset protocol (VOT 2013 to 2019): accuracy, robustness, expected average overlap.

python lib/core/eval_vot.py VOT2017 ./result
python lib/core/eval_vot.py --dataset VOT2018 --truth VOT2018.json --result_path ./result --json scores.json
"""

from functools import partial

import torch

from lib.core.engines import ENGINES, eao_of
from lib.core.evaluation_args import finish, parser, task
from lib.evaluation.boards import VOT_COLUMNS, VOT_LEGEND, vot_board
from lib.evaluation.leaderboard import INTERVALS
from lib.files import UserError, run_script


def main() -> None:
    """Read, score, print."""
    p = parser("Score trackers on VOT.", dataset="VOT2017")
    p.add_argument("--convention", choices=("pysot", "vot"), default="pysot", help="whose details of all scores")
    p.add_argument("--exact", action="store_true", help="overlap of exact polygons instead of rasterised ones")
    p.add_argument("--engine", choices=ENGINES, default="python", help="what computes EAO; the others run get_eao.m")
    job = task(p)
    engine = job.options.engine
    if engine != "python" and job.options.convention != "pysot":
        raise UserError(f"--engine {engine} knows the convention pysot alone, leave --convention out")
    torch.set_num_threads(1)  # many small operations: a second thread costs more than it brings
    board = vot_board(
        job.dataset,
        job.sequences,
        job.folders,
        convention=job.options.convention,
        overlap="exact" if job.options.exact else "rasterised",
        eao_of=None if engine == "python" else partial(eao_of, engine),
    )
    print(f"{job.dataset}, {len(job.sequences)} sequences\n{board.table(VOT_COLUMNS)}\n{VOT_LEGEND}; {INTERVALS}")
    finish(board, job.options)


if __name__ == "__main__":
    run_script(main)
