"""Train SiamRPN, a checkpoint an epoch; started again it goes on where it was.

python siamese_tracking/train_siamrpn.py --cfg experiments/train/SiamRPN.yaml --gpus 0,1 --workers 8
torchrun --nproc_per_node 2 siamese_tracking/train_siamrpn.py --cfg experiments/train/SiamRPN.yaml
"""

from lib.core.training import command
from lib.files import run_script


def main() -> None:
    """Parse, train, say where the checkpoints are."""
    command("SIAMRPN", __doc__, cfg="experiments/train/SiamRPN.yaml")


if __name__ == "__main__":
    run_script(main)
