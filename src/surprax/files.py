"""Files that are written whole or not at all.

A file is written under a temporary name in the folder it belongs to, and renamed when all of it is on the disk: whoever reads the
name finds the old file or the new one, never a part; and where writing fails, the old one is still there.
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal

__all__ = ["replaced"]


@contextlib.contextmanager
def replaced(path: str | os.PathLike[str], mode: Literal["w", "wb"] = "wb") -> Iterator[IO[Any]]:
    """A file open for writing, which takes the place of `path` when the block ends without an error.

    A new file has the permissions that the umask leaves, one that takes the place of another those of the other. Where `path` is
    a symbolic link, what it points to is replaced. A pipe or a device is written to directly. Of several writers at once, the last
    to finish wins.

    Args:
        path: of the file; its folder has to be there.
        mode: "wb" for bytes, "w" for text in UTF-8 with plain newlines.

    Raises:
        FileNotFoundError: where there is no such folder.
        IsADirectoryError: where `path` is a folder.
        PermissionError: where there is a file already that may not be written to.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replaced(Path(folder) / "note.txt", "w") as file:
    ...         _ = file.write("all of it")
    ...         before = (Path(folder) / "note.txt").exists()
    ...     print(before, (Path(folder) / "note.txt").read_text())
    False all of it
    """
    path = Path(path)
    how: dict[str, Any] = {"encoding": "utf-8", "newline": "\n"} if mode == "w" else {}
    target, permissions = Path(os.path.realpath(path)), _permissions(path)
    if permissions is None:
        if not target.parent.is_dir():
            raise FileNotFoundError(
                f"There is no folder {str(target.parent)!r} to write {target.name!r} to: make it first."
            )
    elif not stat.S_ISREG(permissions):
        with open(path, mode, **how) as file:
            yield file
        return
    temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(8)}.part")
    try:
        with open(temporary, mode.replace("w", "x"), **how) as file:
            if permissions is not None:  # before there is anything to read
                os.chmod(temporary, stat.S_IMODE(permissions))
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _permissions(path: Path) -> int | None:
    """Kind and permissions of what is there, None where there is nothing; an error where it cannot be written to."""
    try:
        found = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISDIR(found):
        raise IsADirectoryError(f"A file has a path of its own; {str(path)!r} is a folder. Add a name to it.")
    if not os.access(path, os.W_OK):
        raise PermissionError(
            f"{str(path)!r} is there already and may not be written to. Change its permissions, or the path."
        )
    return found
