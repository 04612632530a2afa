"""Make scale-equivariant weights from CIResNet22's, to start training SE-SiamFC or SE-SiamRPN from.

python siamese_tracking/transfer_weights.py [SOURCE] [--out FILE]

SOURCE: a released or own file of SiamFCRes22 or SiamRPNRes22, or an ImageNet ResNet-50 (resnet50 is fetched).
"""

import argparse

from lib.core.checkpoint import save_checkpoint
from lib.files import run_script
from lib.models.transfer import INPUTS, table, transfer_file


def main() -> None:
    """Transfer, save, say how well each kernel was represented."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "source",
        nargs="?",
        default="CIResNet22_PRETRAIN.model",
        help="weights, here or in pretrain/ (default: CIResNet22_PRETRAIN.model)",
    )
    parser.add_argument("--out", help="file to write (default: pretrain/ARCH_pretrained.pth)")
    parser.add_argument(
        "--input",
        choices=INPUTS,
        default="rgb",
        help="what SOURCE sees: normalised RGB, its stem is then copied as published (default), or BGR 0..255, as "
        "SiamDW's trackers; an ImageNet file is known",
    )
    args = parser.parse_args()
    made = transfer_file(args.source, source_input=args.input)
    path = args.out or f"pretrain/{made.arch}_pretrained.pth"
    content = {"arch": made.arch, "model": made.options, "mapping": made.mapping}
    save_checkpoint(path, content | {"state_dict": made.model.state_dict()})
    print(table(made.layers))
    print(f"{made.copied} other tensors copied; {made.arch}, width {made.options['width']:g}, saved as {path}")


if __name__ == "__main__":
    run_script(main)
