"""Programs and libraries from PyPI, in the user's cache folder."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile


def installed(*packages: str) -> pathlib.Path:
    """The folder that holds exactly these packages; made once for each set of versions and Python."""
    python = f"py{sys.version_info.major}{sys.version_info.minor}"
    home = cache() / "-".join((*packages, python)).replace("==", "-")
    if home.exists():
        return home
    home.parent.mkdir(parents=True, exist_ok=True)
    fresh = pathlib.Path(tempfile.mkdtemp(prefix="installing-", dir=home.parent))
    uv = shutil.which("uv")
    installer = [uv, "pip", "install", "--python", sys.executable] if uv else [sys.executable, "-m", "pip", "install"]
    try:
        subprocess.run([*installer, "--quiet", "--target", fresh, *packages], check=True, stdout=sys.stderr)
        fresh.rename(home)  # whole or not at all, also when two start at once
    except OSError:
        if not home.exists():
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return home


def cache() -> pathlib.Path:
    """The project's part of the user's cache folder."""
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "pointsman"
