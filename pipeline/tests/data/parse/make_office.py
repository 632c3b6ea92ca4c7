"""Makes the office documents and the book of this folder: pip install pypandoc_binary openpyxl xlwt odfpy && python make_office.py"""
import datetime
import os

import openpyxl
import pypandoc
import xlwt
from odf.opendocument import OpenDocumentSpreadsheet
from odf.table import Table, TableCell, TableRow
from odf.text import P

SOURCE = """
# Water and electricity

A battery pushes electrons through a wire as a pump pushes water.[^note] See [the pump](https://example.org/pump).

## Parts

- the battery
    - its poles
- the wire

1. Connect the poles.
2. Measure the voltage.

| Part | Price |
|------|-------|
| Battery | 20 € |
| Wire, naïve | 1.50 € |

```
voltage = current * resistance
```

[^note]: Electrons flow the other way.
"""
os.environ["SOURCE_DATE_EPOCH"] = "1735689600"
for kind in ("docx", "odt", "epub", "rtf"):
    pypandoc.convert_text(SOURCE, kind, "markdown", outputfile=f"pandoc.{kind}", extra_args=["--standalone", "-M", "title=Pandoc", "-M", "lang=en"])
SLIDES = """
# Water and electricity

- the battery
- the wire

::: notes
Show the pump first.
:::

# Prices

| Part | Price |
|------|-------|
| Battery | 20 € |
"""
pypandoc.convert_text(SLIDES, "pptx", "markdown", outputfile="pandoc.pptx")

ROWS = [("Part", "Price", "Since"), ("Battery", 20, datetime.date(2024, 3, 1)), ("Wire", 1.5, datetime.date(2025, 1, 31))]
book = openpyxl.Workbook()
sheet = book.active
sheet.title = "Prices"
for row in ROWS:
    sheet.append(row)
hidden = book.create_sheet("Lists")
hidden.sheet_state = "hidden"
hidden["B2"], hidden["C2"], hidden["B5"], hidden["C5"] = "kept", True, "after a gap", 0.1 + 0.2
book.save("openpyxl.xlsx")

old = xlwt.Workbook()
sheet = old.add_sheet("Prices")
date = xlwt.easyxf(num_format_str="YYYY-MM-DD")
for number, row in enumerate(ROWS):
    for column, value in enumerate(row):
        sheet.write(number, column, value, *([date] if isinstance(value, datetime.date) else []))
sheet.write(3, 0, "Größe: 世界")
old.save("xlwt.xls")

calc = OpenDocumentSpreadsheet()
table = Table(name="Prices")
for row in ROWS:
    line = TableRow()
    for value in row:
        cell = TableCell()
        cell.addElement(P(text=str(value)))
        line.addElement(cell)
    table.addElement(line)
line = TableRow(numberrowsrepeated=1_048_000)
line.addElement(TableCell(numbercolumnsrepeated=16_384))
table.addElement(line)
calc.spreadsheet.addElement(table)
calc.save("odfpy.ods")
