"""ZIP files of others: nothing is written outside the chosen folder, and unsafe members are refused."""

import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PureWindowsPath

from tqdm import tqdm


class ArchiveProblem(ValueError):
    """An archive that is damaged or unsafe. Nothing of it was unpacked."""


def unpack_zip(archive: Path, folder: Path, progress: bool = False) -> None:
    """Unpack a ZIP file in `folder`. All names are checked first.

    Args:
        archive: the ZIP file.
        folder: is created.
        progress: show a progress bar.

    Raises:
        ArchiveProblem: not a ZIP file, damaged, encrypted, or it holds a link, an absolute path or a path with "..".
    """
    try:
        with zipfile.ZipFile(archive) as file:
            members = file.infolist()
            for member in members:
                check_member(member, archive)
            for member in tqdm(members, desc="unpacking", unit="file", disable=not progress):
                file.extract(member, folder)
    except ArchiveProblem:
        raise
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, zlib.error) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise ArchiveProblem(f"{archive}: not a readable ZIP file: {error}; download it again") from error


def check_member(member: zipfile.ZipInfo, archive: Path) -> None:
    """Raise `ArchiveProblem` if a member is a link, or its name an absolute path or a path with ".."."""
    path = PureWindowsPath(member.orig_filename)  # splits at / and at \
    mode = member.external_attr >> 16
    reasons = {
        "an absolute path": bool(path.anchor),
        'a path with ".."': ".." in path.parts,
        "a link": stat.S_ISLNK(mode),
        "something that is neither a file nor a folder": bool(stat.S_IFMT(mode))
        and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)),
    }
    found = next((reason for reason, holds in reasons.items() if holds), None)
    if found:
        raise ArchiveProblem(f"{archive}: holds {found}, {member.orig_filename!r}; nothing was unpacked")
