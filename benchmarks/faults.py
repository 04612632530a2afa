"""Kill, starve and rob a tiny job: it must always go on, leave nothing corrupt, and end with the same table.

python -m benchmarks.faults [--kills 50] [--seed 0] [--only NAME] [--json benchmarks/results/faults.json]

SIGKILL falls at random moments of every stage of onekey.py and prepare_data.py. Then faults of other kinds, each once:
one clear line, a status that is not 0, and the next run goes on. Needs Linux; without root some are skipped.
"""

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks import figures
from benchmarks.disturb.job import Job
from benchmarks.disturb.kills import SHARES, kill_everywhere, undisturbed
from benchmarks.disturb.others import FAULTS, Skip
from benchmarks.disturb.process import preload
from lib.files import UserError, run_script


def main() -> None:
    """Do it all, print a table, fail where a run did not go on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="SIGKILLs over all stages (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: %(default)s)")
    parser.add_argument("--only", action="append", help="of the other faults those whose name holds this")
    parser.add_argument("--json", help="write the figures here")
    args = parser.parse_args()
    if args.kills and args.kills < len(SHARES):
        raise UserError(f"kills must be 0, or one a stage ({len(SHARES)}) at least, got {args.kills}")
    preload()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        job = Job(Path(folder))
        whole = undisturbed(job)
        try:
            kills = kill_everywhere(job, whole, args.kills, args.seed)
            landed = Counter(tqdm(kills, "kills", args.kills, unit="kill", leave=False))
        except (ValueError, TimeoutError) as error:
            raise UserError(f"a killed run must go on to the same end, seed {args.seed} did not: {error}") from error
        print(f"{'SIGKILL in':<34}  {'kills':>5}  gone on\n" + "".join(_row(each, landed[each]) for each in SHARES))
        others: dict[str, dict[str, Any]] = {}
        for name, fault in FAULTS.items():
            if not args.only or any(word in name for word in args.only):
                try:
                    status, line = fault(job, whole)
                    others[name] = {"status": status, "line": line.replace(f"{job.root}/", "")}
                except Skip as reason:
                    others[name] = {"skipped": str(reason)}
                except (ValueError, TimeoutError) as error:
                    others[name] = {"failed": str(error)}
                said = others[name].get("line") or ": ".join(*others[name].items())
                print(f"{name:<34}  {others[name].get('status', ''):>5}  {said}")
    failed = [f"{name}: {found['failed']}" for name, found in others.items() if "failed" in found]
    found = {"kills": dict(landed), "gone_on": landed.total(), "others": others}
    figures.write(args.json, figures.machine("faults"), **found, seconds=round(time.monotonic() - began))
    if failed:
        raise SystemExit(f"each fault must end in one line, and the next run go on: {len(failed)} did not")


def _row(stage: str, kills: int) -> str:
    return f"{stage:<34}  {kills:>5}  {kills:>7}\n"


if __name__ == "__main__":
    run_script(main)
