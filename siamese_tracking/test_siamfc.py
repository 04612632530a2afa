"""Track a test set with SiamFC weights, write the result files, print the scores.

python siamese_tracking/test_siamfc.py --arch SiamFCRes22 --resume snapshot/CIResNet22_FC.pth --dataset OTB2013
python siamese_tracking/test_siamfc.py --checkpoint FILE --dataset OTB2015 --dataset_root DIR --cfg FILE
"""

from lib.core.testing import command
from lib.files import run_script


def main() -> None:
    """Parse, track, print the table."""
    print(command("SiamFC", __doc__, dataset="OTB2013"))


if __name__ == "__main__":
    run_script(main)
