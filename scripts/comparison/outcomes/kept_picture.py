"""Pictures that runs leave and that go to the results of a comparison."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from synthesis.strict_yaml import Entry


@dataclass(frozen=True)
class KeptPicture:
    """A picture that several arms have, as the comparison's YAML declares it.

    Attributes:
        name: Of the files that all of them make together: ``<name>.png``, ``<name>.pdf``.
        file: Its path below the directory of a run.
        arms: Whose, in this order.
    """

    name: str
    file: str
    arms: tuple[str, ...]

    @classmethod
    def read(cls, name: str, inner: Entry, arms: Sequence[str]) -> KeptPicture:
        """Read one entry of ``pictures``.

        Args:
            name: Its key.
            inner: ``file``, and ``arms`` where not all are meant.
            arms: The lines of the table.

        Raises:
            YamlError: Naming key, value and remedy.
        """
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise inner.error("pictures", name, "names a file; use small letters, digits and _.")
        file = inner.text("file")
        if not file.endswith(".png"):
            raise inner.error("file", file, "is no PNG below the directory of a run; correct it.")
        chosen = inner.texts("arms", arms, least=1) if "arms" in inner.keys() else tuple(arms)
        inner.close()
        return cls(name, file, chosen)
