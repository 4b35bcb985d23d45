"""Image filter: nothing that the generator learnt by heart."""

from __future__ import annotations

from synthesis.filters.folder_similarity import FolderSimilarity


class MemorisedImages(FolderSimilarity):
    """Refuses an image that is nearly one of those that its generator was trained on.

    Latent diffusion models give back up to a third of the radiographs that they were trained on
    (arXiv:2402.01054), so check every generator that has seen images of patients.
    """

    kind = "memorised"
