"""The embedded image maker: radiographs from line integrals of X-ray attenuation."""

from synthesis.images.simulator.simulator import Drawing, Simulator

__all__ = ["Drawing", "Simulator"]
