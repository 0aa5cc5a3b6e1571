"""Where the shipped texts, pictures and suites lie."""

from importlib import resources
from pathlib import Path


def assets_folder() -> Path:
    """Where the shipped assets lie: inside the package when installed, beside it in a checkout."""
    packaged = Path(str(resources.files("app"))) / "assets"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parent.parent / "assets"
