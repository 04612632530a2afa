"""Track a test set with SiamRPN weights, write the result files, print the scores.

python siamese_tracking/test_siamrpn.py --arch SiamRPNRes22 --resume snapshot/CIResNet22_RPN.pth --dataset VOT2016 \
    --cls_type thinner
"""

from lib.core.testing import command
from lib.files import run_script


def main() -> None:
    """Parse, track, print the table."""
    print(command("SiamRPN", __doc__, dataset="VOT2017"))


if __name__ == "__main__":
    run_script(main)
