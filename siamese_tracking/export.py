"""Export weights as two ONNX graphs, NAME.template.onnx and NAME.search.onnx, checked against PyTorch.

python siamese_tracking/export.py --resume snapshot/CIResNet22_RPN.pth
python siamese_tracking/export.py --resume FILE --precision int8 --crops dataset/mine --dataset OTB2015

run_video.py and the scripts that test take them as --resume NAME.onnx.
"""

from lib.core.export import command
from lib.files import run_script


def main() -> None:
    """Parse, export, say how far the graphs are from PyTorch."""
    print(command(__doc__))


if __name__ == "__main__":
    run_script(main)
