"""Document pages drawn from code, 14 classes: something to train on where there are no pages yet.

Training pages are clean scans, test pages photographs. No torch here, so that the processes which draw start fast.
"""

from docclf.demo.dataset import draw_pages

__all__ = ["draw_pages"]
