"""The Python environments of the scripts beside it: `run_inside`."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run_inside(script, folder, packages, arguments):
    """Runs the script again, with `--inside`, by a Python under `target` that has the packages."""
    folder = ROOT / "target" / folder
    python = folder / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    marker = folder / "installed"
    if not marker.exists() or marker.read_text() != "\n".join(packages):
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        marker.write_text("\n".join(packages))
    subprocess.run([python, script, "--inside", *arguments], check=True)
