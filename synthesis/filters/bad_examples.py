"""Image filter: nothing that looks like what was found to be bad before."""

from __future__ import annotations

from synthesis.filters.folder_similarity import FolderSimilarity


class BadExamples(FolderSimilarity):
    """Refuses an image that is like one of a folder of known bad ones.

    SynCXR (Liu et al., arXiv:2410.13523) compares with bad samples of the real set in the space of a chest
    radiograph encoder: give a `PretrainedEncoder`, and a threshold that was set for it. Thumbnails, the
    default, only find near copies.
    """

    kind = "like a bad example"
