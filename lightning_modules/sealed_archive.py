"""ZIP archives that end in their own SHA-256, so that no changed byte goes unnoticed.

The checksums of a ZIP archive cover what its entries hold, not their headers, nor the gaps that torch leaves
to align tensors.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path
from typing import BinaryIO, Final

_LABEL: Final = b"sha256:"
_DIGITS: Final = 64
_END: Final = 22
"""Bytes of the archive's last record: its signature first, the length of the comment in the last two."""
_SIGNATURE: Final = b"PK\5\6"


def seal(archive: bytes) -> bytes:
    """Return a ZIP archive with its SHA-256 as the comment, which is the end of the file.

    Args:
        archive: An archive without a comment.

    Raises:
        ValueError: If it is none.
    """
    if not _ends_plainly(archive[-_END:]):
        raise ValueError("not a ZIP archive without a comment")
    content = archive[:-2] + (len(_LABEL) + _DIGITS).to_bytes(2, "little") + _LABEL
    return content + hashlib.sha256(content).hexdigest().encode()


def check_archive(path: Path) -> None:
    """Refuse an archive that is not as it was written.

    Of one that `seal` made every byte is covered; of another the contents, by the checksums of its entries.

    Raises:
        ValueError: If it is damaged, cut short or no archive, or if its entries are compressed (torch's
            never are: such a file is made to fill the memory).
        OSError: If the file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - len(_LABEL) - _DIGITS))
        tail = file.read()
        if tail.startswith(_LABEL):
            if _sha256(file, size - _DIGITS) != tail[len(_LABEL) :].decode(errors="replace"):
                raise ValueError("it is damaged: its bytes do not have the SHA-256 at its end")
        elif not _ends_plainly(tail[-_END:]):
            raise ValueError("it is empty" if size == 0 else "it is damaged, cut short, or no checkpoint")
        else:
            _compare_checksums(file)


def _compare_checksums(file: BinaryIO) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise ValueError("its entries are compressed, which torch's never are")
            damaged = archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ValueError(f"it is damaged ({error})") from error
    if damaged is not None:
        raise ValueError(f"it is damaged: the checksum of {damaged} differs")


def _ends_plainly(end: bytes) -> bool:
    return len(end) == _END and end.startswith(_SIGNATURE) and end.endswith(b"\0\0")


def _sha256(file: BinaryIO, length: int) -> str:
    digest, left = hashlib.sha256(), length
    file.seek(0, os.SEEK_SET)
    while left > 0 and (part := file.read(min(left, 1 << 20))):
        digest.update(part)
        left -= len(part)
    return digest.hexdigest()
