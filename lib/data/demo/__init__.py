"""Demo data: annotated sequences rendered from photographs that scikit-image ships, so nothing is downloaded."""

from lib.data.demo.write import make_demo

__all__ = ["make_demo"]
