"""The folder of generated source: where kernels are written as text so that Numba's disk cache can keep their code.

Numba stores compiled code beside the file that defines a function, and refuses functions that were made from a string.
So every specialised kernel becomes a small module whose name is a hash of everything its machine code depends on: equal
text is shared by all processes, a changed kernel never meets stale code.

The folder is `$GRADLOOM_CACHE`, or `gradloom/kernels` in the user's cache directory. Compiled code is loaded from it, so
it must belong to the user: a folder that is not ours, or that others can write to, is refused in favour of a private
temporary one. Two processes may write at once (files appear by renaming), the folder may be read-only (what is not yet
there goes to the temporary one), and it may be deleted while a program runs (it is made again).
"""

import atexit
import hashlib
import importlib.util
import os
import shutil
import stat
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from types import ModuleType

_lock = threading.RLock()
_modules: dict[str, ModuleType] = {}
_private: Path | None = None
_owner = os.getpid()


def default_folder() -> Path:
    """The folder asked for by `GRADLOOM_CACHE`, or the platform's usual place for a user's caches."""
    asked = os.environ.get("GRADLOOM_CACHE")
    if asked:
        return Path(asked).expanduser().absolute()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "gradloom" / "kernels"


def _private_folder() -> Path:
    """A temporary folder of this process alone, removed when it ends."""
    global _private, _owner
    with _lock:
        if _private is None or _owner != os.getpid() or not _private.is_dir():
            _private, _owner = Path(tempfile.mkdtemp(prefix="gradloom-")), os.getpid()
            atexit.register(_remove_private, _private, _owner)
        return _private


def _remove_private(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked child must not take its parent's folder away
        shutil.rmtree(folder, ignore_errors=True)


def _is_safe(folder: Path) -> bool:
    """Whether code may be loaded from the folder: ours, and nobody else may write into it."""
    if not hasattr(os, "getuid"):
        return True
    status = folder.stat()
    return status.st_uid in (os.getuid(), 0) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _usable_folder(name: str) -> Path:
    """The folder that holds, or can take, the module `name`."""
    folder = default_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not _is_safe(folder):
            return _private_folder()
        # Numba writes beside the source, so a folder that cannot be written is of use only for what it holds already.
        if os.access(folder, os.W_OK) or ((folder / name).exists() and any(folder.glob(f"__pycache__/{name[:-3]}*.nbi"))):
            return folder
    except OSError:
        pass
    return _private_folder()


def _write(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step: a reader sees the whole file or none."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load_bytes(filename: str) -> bytes | None:
    """What `store_bytes` has put into the cache folder under this name, or None."""
    path = _usable_folder(filename) / filename
    try:
        stored = path.read_bytes()
    except OSError:
        return None
    checksum, content = stored[:32], stored[32:]
    return content if hashlib.sha256(content).digest() == checksum else None  # damaged: made anew


def store_bytes(filename: str, content: bytes) -> None:
    """Keep `content` in the cache folder, with a checksum; a folder that cannot be written keeps nothing."""
    stored = hashlib.sha256(content).digest() + content
    with suppress(OSError):
        _write(_usable_folder(filename) / filename, stored)


def digest(text: str) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of `text`."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def load_source(name: str, text: str) -> ModuleType:
    """The module made of `text`, written to the cache folder as `<name>_<hash>.py` and imported from there.

    `text` must hold everything its meaning depends on (imports aside, whose versions the caller writes into a comment).
    Safe from several threads and processes; a second call with equal text gives the same module.
    """
    key = f"{name}_{digest(text)}"
    with _lock:
        module = _modules.get(key)
        if module is None:
            module = _modules[key] = _import(key, text)
        return module


def _import(key: str, text: str) -> ModuleType:
    filename = f"{key}.py"
    folder = _usable_folder(filename)
    try:
        return _import_from(folder / filename, key, text)
    except OSError:  # deleted, filled up or made read-only between the check and the use
        return _import_from(_private_folder() / filename, key, text)
    except Exception:
        if not _forget_compiled(folder, key):
            raise
        return _import_from(folder / filename, key, text)


def _forget_compiled(folder: Path, key: str) -> bool:
    """Remove what Numba has stored of a module, which may be damaged (a full disk, a crash); whether there was any."""
    stored = list(folder.glob(f"__pycache__/{key}*.nb[ic]"))
    for path in stored:
        path.unlink(missing_ok=True)
    return bool(stored)


def _import_from(path: Path, key: str, text: str) -> ModuleType:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        _write(path, text.encode())
    specification = importlib.util.spec_from_file_location(f"gradloom_generated.{key}", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # Numba finds a cached function's globals through its module
    try:
        specification.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(specification.name, None)
        raise
    return module
