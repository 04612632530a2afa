"""Every model of the zoo at full width: learns, is saved, loaded and fused, tracks. The tests do so at a quarter of it.

python -m benchmarks.zoo [--arch SiamRPNDense ...]
"""

import argparse
import tempfile
import time
from pathlib import Path

from lib.core.device import prepare_process
from lib.files import run_script
from lib.models import zoo
from tests.models import test_zoo


def main() -> None:
    """One line a model; a model that fails says where, and the run ends with its name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", nargs="+", default=zoo.names(), choices=zoo.names())
    args = parser.parse_args()
    prepare_process()
    test_zoo.WIDTH = 1.0
    failed = []
    for arch in args.arch:
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            try:
                test_zoo.test_it_learns_is_saved_loaded_and_fused_and_tracks(arch, Path(folder))
                verdict = "ok"
            except AssertionError as error:
                verdict = f"FAILED {str(error).splitlines()[0] if str(error) else ''}"
                failed.append(arch)
        print(f"{arch:20} {time.perf_counter() - began:6.1f} s  {verdict}", flush=True)
    print(f"{len(args.arch) - len(failed)} of {len(args.arch)} pass", *failed)
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    run_script(main)
