"""Search a tracker's hyper-parameters by a genetic search; started again it goes on where it was.

python siamese_tracking/tune_gene.py --resume snapshot/CIResNet22_FC.pth --dataset OTB2013 --trials 600
"""

from lib.core.tuning import command
from lib.files import run_script


def main() -> None:
    """Parse, search, print the best."""
    print(command("GENE", __doc__))


if __name__ == "__main__":
    run_script(main)
