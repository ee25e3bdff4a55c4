"""Document pages drawn by Pillow: something to train on where there are no pages yet.

Fourteen classes, look-alikes among them. Training pages are clean scans; test pages look like photos taken by phone.
Nothing here imports torch, so that the processes which draw start fast.
"""

from docclf.data.synthetic.dataset import draw_pages

__all__ = ["draw_pages"]
