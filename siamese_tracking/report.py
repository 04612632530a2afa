"""Write the report of a run, finished or not, from its output folder: nothing is trained or tracked.

python siamese_tracking/report.py output/demo-seed0
"""

import argparse

from lib.core.onekey import report_of
from lib.files import run_script


def main() -> None:
    """Parse, write, print the table and where the page is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="OUTPUT_DIR of the run")
    print(report_of(parser.parse_args().folder))


if __name__ == "__main__":
    run_script(main)
