"""The classes: name of each and the function that draws one of its pages. A class's number is its place here."""

from collections.abc import Callable

from numpy.random import Generator

from docclf.data.synthetic.canvas import Canvas
from docclf.data.synthetic.layouts_boxes import form, medical_form
from docclf.data.synthetic.layouts_columns import newspaper_page, scientific_paper
from docclf.data.synthetic.layouts_personal import certificate, id_card
from docclf.data.synthetic.layouts_prose import (
    handwritten_note,
    letter,
    resume,
    slide,
)
from docclf.data.synthetic.layouts_tables import bank_statement, invoice, receipt, table_report

Layout = Callable[[Generator], Canvas]

LAYOUTS: dict[str, Layout] = {
    "invoice": invoice,
    "receipt": receipt,
    "letter": letter,
    "form": form,
    "id_card": id_card,
    "resume": resume,
    "table_report": table_report,
    "medical_form": medical_form,
    "bank_statement": bank_statement,
    "newspaper_page": newspaper_page,
    "slide": slide,
    "handwritten_note": handwritten_note,
    "scientific_paper": scientific_paper,
    "certificate": certificate,
}
