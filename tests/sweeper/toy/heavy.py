"""A module for workers to preload: it tells that it is imported, and takes long where a file says so."""

import os
import time
from pathlib import Path

Path(f"imported-{os.getpid()}").touch()
if Path("slow").exists():
    time.sleep(600)
