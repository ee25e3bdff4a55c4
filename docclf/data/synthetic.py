"""Where configs exported by earlier releases look for the drawn pages, which have moved to `docclf.demo`."""

from docclf.demo import draw_pages as draw_pages
