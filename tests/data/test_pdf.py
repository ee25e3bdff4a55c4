"""PDF files, by several programs: every page is read upright and sharp, and what cannot be opened is refused."""

import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
from matplotlib.figure import Figure
from PIL import Image

from docclf.data.formats import count_pages, count_pixels, has_more_pages, read_page

GREYS = [0, 100, 200]

# Locked with 40-bit RC4 and random keys, so that no password opens it.
LOCKED = b"""%%PDF-1.4
1 0 obj <</Type/Catalog/Pages 2 0 R>> endobj
2 0 obj <</Type/Pages/Kids[3 0 R]/Count 1>> endobj
3 0 obj <</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>> endobj
4 0 obj <</Filter/Standard/V 1/R 2/Length 40/P -4/O<%s>/U<%s>>> endobj
trailer <</Root 1 0 R/Size 5/Encrypt 4 0 R/ID[<00><00>]>>
%%%%EOF
""" % (b"ab" * 32, b"cd" * 32)


@pytest.fixture
def pdf(tmp_path: Path) -> Path:
    """Three pages of one grey each, in Pillow's PDF."""
    first, *others = [Image.new("L", (80, 120), grey) for grey in GREYS]
    first.save(tmp_path / "pages.pdf", save_all=True, append_images=others)
    return tmp_path / "pages.pdf"


def test_every_page_of_a_pdf_can_be_read(pdf: Path) -> None:
    assert count_pages(pdf) == 3
    pages = [read_page(pdf, 16, page=number, channels=1) for number in range(3)]
    assert [page.shape for page in pages] == [(16, 16, 1)] * 3
    assert np.abs([page.mean() for page in pages] - np.array(GREYS)).max() < 3
    with pytest.raises(Exception, match=r"(?i)page"):
        read_page(pdf, 16, page=3)


def test_a_pdf_is_known_by_its_content(pdf: Path) -> None:
    wrong = pdf.with_name("scan.jpg")
    shutil.copy(pdf, wrong)
    assert np.array_equal(read_page(wrong, 16), read_page(pdf, 16))
    picture = pdf.with_name("picture.pdf")
    Image.new("L", (8, 8), 77).save(picture, format="PNG")
    assert count_pages(picture) == 1 and (read_page(picture, 16) == 77).all()


def test_drawn_pages_are_rendered_sharp_and_upright(tmp_path: Path) -> None:
    figure = Figure(figsize=(4, 6))
    figure.add_axes((0, 0.75, 0.5, 0.25), facecolor="black", xticks=[], yticks=[])  # top left
    figure.savefig(tmp_path / "drawn.pdf")
    page = read_page(tmp_path / "drawn.pdf", 64, channels=1)[..., 0]
    assert page[2:14, 2:30].max() < 10 and page[18:].min() > 245 and page[:, 34:].min() > 245
    assert (np.abs(np.diff(page[8].astype(int))) > 20).sum() <= 2, "an edge is one pixel wide"


@pytest.mark.parametrize(
    ("width", "height"), [(3, 3), (3, 9000), (9000, 3), (14000, 14000)], ids=["tiny", "high", "wide", "huge"]
)
def test_pages_of_odd_sizes_are_rendered_at_about_the_size_that_is_needed(
    tmp_path: Path, width: int, height: int
) -> None:
    document = pypdfium2.PdfDocument.new()
    document.new_page(width, height)
    document.save(tmp_path / "odd.pdf")
    document.close()
    assert (read_page(tmp_path / "odd.pdf", 32) == 255).all()


def test_threads_may_read_pdfs_at_once(pdf: Path) -> None:
    expected = [read_page(pdf, 16, page=number) for number in range(3)]
    start = threading.Barrier(4)

    def read(_: int) -> bool:
        start.wait(30)
        return all(np.array_equal(read_page(pdf, 16, page=i % 3), expected[i % 3]) for i in range(30))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, range(4))) == [True] * 4


@pytest.mark.parametrize(
    ("content", "message"),
    [(LOCKED, "password"), (LOCKED[:60], "."), (b"%PDF-1.7\n%%EOF", "."), (b"%PDF-1.7" + b"\0" * 5000, ".")],
    ids=["locked", "cut", "bare", "zeros"],
)
def test_a_pdf_that_cannot_be_opened_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.pdf").write_bytes(content)
    with pytest.raises(pypdfium2.PdfiumError, match=rf"(?i){message}"):
        read_page(tmp_path / "a.pdf", 16)
    with pytest.raises(pypdfium2.PdfiumError, match=rf"(?i){message}"):
        count_pages(tmp_path / "a.pdf")


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\r\n", b"\x1b%-12345X@PJL\n", b"x" * 1024])
def test_other_bytes_may_come_before_a_pdf(pdf: Path, before: bytes) -> None:
    late = pdf.with_name("late.pdf")
    late.write_bytes(before + pdf.read_bytes())
    assert count_pages(late) == 3 and has_more_pages(late) and count_pixels(late) is None
    assert np.array_equal(read_page(late, 16), read_page(pdf, 16))


@pytest.mark.parametrize("kind", ["JPEG", "GIF"])
def test_an_image_that_speaks_of_pdf_is_none(tmp_path: Path, kind: str) -> None:
    Image.new("L", (8, 8), 77).save(tmp_path / "a.tif", kind, comment=b"%PDF-1.7")
    assert b"%PDF" in (tmp_path / "a.tif").read_bytes()[:1024]
    assert count_pages(tmp_path / "a.tif") == 1 and (read_page(tmp_path / "a.tif", 16) == 77).all()


def test_a_pdf_without_pages_is_refused_with_the_reason(tmp_path: Path) -> None:
    head = b"%PDF-1.4\n1 0 obj <</Type/Catalog/Pages 2 0 R>> endobj\n2 0 obj <</Type/Pages/Kids[]/Count 0>> endobj\n"
    table = "".join(f"{at:010} 00000 n \n" for at in (9, head.index(b"2 0 obj"))).encode()
    end = b"trailer <</Root 1 0 R/Size 3>>\nstartxref\n%d\n%%%%EOF\n" % len(head)
    (tmp_path / "a.pdf").write_bytes(head + b"xref\n0 3\n0000000000 65535 f \n" + table + end)
    for read in (lambda path: read_page(path, 16), count_pages):
        with pytest.raises(pypdfium2.PdfiumError, match="the PDF file is locked, damaged or without pages: Failed"):
            read(tmp_path / "a.pdf")


CONVERTERS = {
    "pdftocairo": "pdftocairo -pdf {pdf} {out}",
    "gs": "gs -q -dBATCH -dNOPAUSE -sDEVICE=pdfwrite -sOutputFile={out} {pdf}",
    "qpdf": "qpdf --object-streams=generate {pdf} {out}",
    "mutool": "mutool clean -z {pdf} {out}",
    "img2pdf": "img2pdf {png} {png} {png} -o {out}",
}


@pytest.mark.parametrize("program", CONVERTERS)
def test_pdfs_of_other_programs_are_read(pdf: Path, program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    png, out = pdf.with_suffix(".png"), pdf.with_name("out.pdf")
    Image.new("L", (80, 120), GREYS[0]).save(png)
    subprocess.run(CONVERTERS[program].format(pdf=pdf, out=out, png=png).split(), check=True, timeout=60)
    assert count_pages(out) == 3
    assert read_page(out, 16).mean() < 4


def test_reading_images_loads_no_pdf_library(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    code = (
        "import sys, pathlib; from docclf.data.formats import read_page\n"
        f"read_page(pathlib.Path({str(tmp_path / 'a.png')!r}), 8); print('pypdfium2' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


FIELD = b"""%%PDF-1.4
1 0 obj <</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[4 0 R]>>>> endobj
2 0 obj <</Type/Pages/Kids[3 0 R]/Count 1>> endobj
3 0 obj <</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]/Annots[4 0 R]>> endobj
4 0 obj <</Type/Annot/Subtype/Widget/FT/Tx/T(a)/V(b)/F 4/Rect[0 0 100 50]/AP<</N 5 0 R>>>> endobj
5 0 obj <</Type/XObject/Subtype/Form/BBox[0 0 100 50]/Length %d>> stream
%s
endstream endobj
trailer <</Root 1 0 R/Size 6>>
%%%%EOF
"""


@pytest.mark.parametrize(("drawn", "mean"), [(b"0 g 0 0 100 50 re f", 127), (b"", 255)])
def test_what_was_typed_into_a_form_is_seen(drawn: bytes, mean: int, tmp_path: Path) -> None:
    (tmp_path / "form.pdf").write_bytes(FIELD % (len(drawn), drawn))
    page = read_page(tmp_path / "form.pdf", 20, channels=1)
    assert abs(float(page.mean()) - mean) < 8 and page[:9].min() > 240


def test_a_pdf_runs_no_script() -> None:
    assert "V8" not in pypdfium2.PDFIUM_INFO.flags
