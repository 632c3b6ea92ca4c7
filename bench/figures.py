"""What was measured, with its spread, and the tables of it."""

import statistics


class Figure:
    """Values of several runs. `aim` is a bound: at most that for `most=True`, else at least that."""

    def __init__(self, case, what, unit, values, aim=None, most=False, digits=0):
        self.case, self.what, self.unit, self.values = case, what, unit, values
        self.aim, self.most, self.digits = aim, most, digits

    @property
    def median(self):
        return statistics.median(self.values)

    def written(self, value):
        return f"{value:,.{self.digits}f}"

    def met(self):
        if self.aim is None:
            return ""
        return "yes" if (self.median <= self.aim if self.most else self.median >= self.aim) else "no"

    def of_aim(self):
        if not self.aim:
            return ""
        return f"{self.median / self.aim:.2f}"

    def row(self):
        spread = "" if len(self.values) == 1 else f"{self.written(min(self.values))}–{self.written(max(self.values))}"
        aim = "" if self.aim is None else f"{'≤' if self.most else '≥'} {self.written(self.aim)}"
        return [str(self.case), self.what, self.unit, self.written(self.median), spread, aim, self.of_aim(), self.met()]


HEADINGS = ["Case", "What", "Unit", "Median", "Min–max", "Aim", "Of aim", "Met"]
LEFT = 3


def markdown(figures):
    rule = ["---" if column < LEFT else "---:" for column in range(len(HEADINGS))]
    rows = [HEADINGS, rule, *(figure.row() for figure in figures)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def plain(figures):
    rows = [HEADINGS, *(figure.row() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    def line(row):
        cells = (text.ljust(w) if at < LEFT else text.rjust(w) for at, (text, w) in enumerate(zip(row, widths)))
        return "  ".join(cells).rstrip()
    return "\n".join(line(row) for row in rows)
