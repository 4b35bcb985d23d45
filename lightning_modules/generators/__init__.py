"""Image generators: what learns to draw the radiograph that a report describes."""

from lightning_modules.generators.adversarial import ConditionalGAN
from lightning_modules.generators.generator import Generator
from lightning_modules.generators.latent_autoencoder import LatentAutoencoder
from lightning_modules.generators.latent_diffusion import LatentDiffusion
from lightning_modules.generators.report_alignment import ReportAlignment
from lightning_modules.generators.report_encoder import ReportEncoder
from lightning_modules.generators.variational import ConditionalVAE

__all__ = [
    "ConditionalGAN",
    "ConditionalVAE",
    "Generator",
    "LatentAutoencoder",
    "LatentDiffusion",
    "ReportAlignment",
    "ReportEncoder",
]
