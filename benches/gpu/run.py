#!/usr/bin/env python3
"""Unpacks the archive beside this file, runs the check, and leaves only the report: run [FOLDER]"""

import runpy
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

folder = Path(tempfile.mkdtemp(prefix="gpu-check-"))
try:
    with tarfile.open(Path(__file__).with_name("check.tar.xz")) as archive:
        archive.extractall(folder, filter="data")
    check = folder / "benches/gpu/check.py"
    sys.path.insert(0, str(check.parent))
    sys.argv[0] = str(check)
    runpy.run_path(str(check), run_name="__main__")
finally:
    shutil.rmtree(folder, ignore_errors=True)
