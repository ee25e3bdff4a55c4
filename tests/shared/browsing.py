"""A page in a real browser, and what it keeps from people who use a keyboard or a screen reader."""

import importlib.util
import shutil
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MISSING = "playwright" if importlib.util.find_spec("playwright") is None else "chromium" if not CHROMIUM else ""

in_browser = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"needs {MISSING}: apt-get install chromium, pip install playwright"),
]


def barriers(page: Any) -> list[str]:
    """What axe-core finds serious or critical on a page that is open: rule, and the elements with what is wrong."""
    from axe_playwright_python.sync_playwright import Axe

    found = [one for one in Axe().run(page).response["violations"] if one["impact"] in ("serious", "critical")]
    return [f"{one['id']}: {node['target']} {node['failureSummary']}" for one in found for node in one["nodes"]]
