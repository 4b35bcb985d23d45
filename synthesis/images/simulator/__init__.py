"""The embedded image maker: radiographs from line integrals of X-ray attenuation."""

from synthesis.images.simulator.drawing import Drawing
from synthesis.images.simulator.simulator import Simulator

__all__ = ["Drawing", "Simulator"]
