"""Overrides of trainings and searches that take no time; of several values of a key the last one counts."""

PAGES = (
    "data=csv",
    "data.near_duplicates=null",  # as they would be: 8 pages of a few lines
    "augment=none",
    "model.name=test_resnet",
    "model.tune=all",
    "model.pretrained=false",
    "model.label_smoothing=0.0",
    "data.image_size=32",
    "validation.epochs=1",
    "logger=none",
)
# One training of a fold takes about a quarter of a second.
TRAINING = (
    *PAGES,
    "optimizer.lr=1e-3",
    "trainer.precision=32-true",  # or numbers would depend on how they are computed
    "data.batch_size=8",
)
# The folds of the option are left to it.
ANY_FOLDS = (*PAGES, "data.batch_size=16", "finalists.top_k=0", "report=false")
SEARCH = (*ANY_FOLDS, "validation.folds=2")
