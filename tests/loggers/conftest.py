"""Where W&B keeps what it does not keep with a run: not in the user's folders."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def wandb_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
            patch.setenv(name, str(tmp_path_factory.mktemp("wandb")))
        yield
