"""How files become pages: what the config says of that."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from docclf.data.cache.decoded import cache_size
from docclf.errors import unknown_key


@dataclass(frozen=True)
class DecodeOptions:
    """How files become pages."""

    size: int  # height and width in pixels that pages are kept at
    channels: int = 3  # 3 for RGB, 1 for grey
    multi_page: str = "first"  # `first` takes the first page of a TIFF or PDF, `all` takes all of them, as one group
    max_megapixels: float = 179.0  # of an image file; larger ones cannot be used
    on_error: str = "raise"  # `raise` refuses a data set with pages that cannot be used, `drop` leaves them out
    exclude: Path | None = None  # CSV file of pages to leave out, see `docclf.data.reading.problems`; None for none
    # `drop` leaves out classes with fewer pages than `n_folds`; `raise` and `train` leave that to `docclf.data.folds`
    rare_classes: str = "raise"
    n_folds: int = 0  # number of folds, for that
    # bits of 256 in which the perceptual hashes of two pages may differ for them to be the same page; None does not
    # look for such pages
    near_duplicates: int | None = None
    # CSV file of corrected labels, see `docclf.data.reading.corrections`; None for none
    corrections: Path | None = None
    cache_dir: Path | None = None  # where decoded pages are kept; None for the user's cache folder
    cache_gb: float = 20.0  # size that the cache is kept below


# Its fields that are keys of the config.
DECODING = tuple(field.name for field in fields(DecodeOptions) if field.name not in ("size", "n_folds"))
_PATHS = ("cache_dir", "corrections", "exclude")


def make_options(image_size: int, margin: float, **decoding: Any) -> DecodeOptions:
    """How pages are decoded for a training size.

    Args:
        image_size: Height and width in pixels that the model sees.
        margin: Pages are kept this much larger.
        **decoding: See `DecodeOptions`; paths may be texts.

    Raises:
        ConfigError: There is no such option.
    """
    if wrong := [name for name in decoding if name not in (*DECODING, "n_folds")]:
        raise unknown_key("known keys", "data", wrong[0], DECODING)
    paths = {key: Path(str(decoding[key])) for key in _PATHS if decoding.get(key) is not None}
    return DecodeOptions(cache_size(image_size, margin), **decoding | paths)
