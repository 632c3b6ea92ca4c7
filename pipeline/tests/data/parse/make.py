"""Makes the PDFs of this folder: pip install reportlab pikepdf typst && python make.py"""
import zlib

import pikepdf
import typst
from reportlab.lib.pagesizes import A5
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.pdfgen import canvas
from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer

STYLES = getSampleStyleSheet()
FLOW = [
    Paragraph("Water and electricity", STYLES["Title"]),
    Paragraph(
        "A battery pushes electrons through a wire as a pump pushes water through a pipe. The pressure of the pump "
        "is the <b>voltage</b>, the flow of the water is the <i>current</i>, and a narrow pipe is a resistance.",
        STYLES["BodyText"],
    ),
    Spacer(1, 12),
    Paragraph("The second paragraph speaks of caf\u00e9s, na\u00efve questions and 20 \u20ac.", STYLES["BodyText"]),
]
SimpleDocTemplate("reportlab.pdf", pagesize=A5, invariant=1).build(list(FLOW))

page = canvas.Canvas("scan.pdf", pagesize=A5, invariant=1)
page.rect(50, 50, 200, 200, fill=1)
page.showPage()
page.rect(80, 80, 100, 100, fill=1)
page.showPage()
page.save()

SOURCE = """
#set page(width: 148mm, height: 210mm)
#set text(lang: "en", hyphenate: false)
= Vectors that stay true
An *embedding* is a list of numbers. Texts of like meaning have like numbers, so an office finds its flat affairs.

Привет, мир! Ёлки зелёные.

#pagebreak()
= Second page
#table(columns: 2, [Model], [Dimensions], [small], [768], [large], [1536])
"""
typst.compile(SOURCE.encode(), output="typst.pdf")

with pikepdf.open("reportlab.pdf") as pdf:
    for name, password in [("encrypted-empty.pdf", ""), ("encrypted-secret.pdf", "secret")]:
        pdf.save(name, encryption=pikepdf.Encryption(user=password, owner="owner", R=6), deterministic_id=False)

# 3 GB of spaces, deflated to 3 MB, deflated again to kilobytes.
squeeze = zlib.compressobj(9)
layer = b"".join(squeeze.compress(b" " * 2**20) for _ in range(3 * 1024)) + squeeze.flush()
with pikepdf.open("reportlab.pdf") as pdf:
    bomb = pikepdf.Stream(pdf, zlib.compress(layer, 9))
    bomb.Filter = pikepdf.Array([pikepdf.Name.FlateDecode, pikepdf.Name.FlateDecode])
    pdf.pages[0].Contents = pdf.make_indirect(bomb)
    pdf.save("bomb.pdf", compress_streams=False, stream_decode_level=pikepdf.StreamDecodeLevel.none, deterministic_id=True)
