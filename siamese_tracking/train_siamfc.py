"""Train SiamFC (and SE-SiamFC), a checkpoint an epoch; started again it goes on where it was.

python siamese_tracking/train_siamfc.py --cfg experiments/train/SiamFC.yaml --gpus 0,1 --workers 8
torchrun --nproc_per_node 2 siamese_tracking/train_siamfc.py --cfg experiments/train/SiamFC.yaml
"""

from lib.core.training import command
from lib.files import run_script


def main() -> None:
    """Parse, train, say where the checkpoints are."""
    command("SIAMFC", __doc__, cfg="experiments/train/SiamFC.yaml")


if __name__ == "__main__":
    run_script(main)
