"""Metrics as CSV files."""

from pytorch_lightning.loggers import CSVLogger, Logger

from docclf.loggers.run import RunLogger


class CsvLogger(RunLogger):
    """Metrics of each fold and epoch in `fold_<n>/metrics.csv`."""

    def fold(self, fold: int) -> Logger:
        return CSVLogger(self.run.folder, name="", version=f"fold_{fold}")
