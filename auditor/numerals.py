"""How numbers are written for people, by language: the one place that knows separators, units and shares."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from auditor.model import MONTH_DAYS, YEAR_DAYS

if TYPE_CHECKING:
    from collections.abc import Mapping

DASH = "\N{EN DASH}"
"""What a printed table shows where there is no value."""

_HOURS_A_DAY = 24
_HOURS_SHOWN_AS_HOURS = 96
_DAYS_SHOWN_WHOLE = 10


@dataclass(frozen=True, slots=True)
class Numerals:
    """The numbers of one language."""

    thousands: str
    point: str
    months: str
    years: str
    under: str
    over: str

    def written(self, english: str) -> str:
        """Give a number that Python wrote the separators of the language."""
        return english.translate({ord(","): self.thousands, ord("."): self.point})

    def number(self, value: int) -> str:
        """Write 1204 as 1,204."""
        return self.written(f"{value:,}")

    def decimal(self, value: float) -> str:
        """Write a number with at most two decimals, cut towards zero, without trailing zeros."""
        if not math.isfinite(value):
            return str(value)
        text = f"{Decimal(str(value)).quantize(Decimal('0.01'), rounding='ROUND_DOWN'):,f}"
        return self.written(text.rstrip("0").rstrip(".") if "." in text else text)

    def money(self, value: float, currency: str) -> str:
        """Write an amount to the cent: 1,204.50 EUR."""
        return f"{self.written(f'{value:,.2f}')} {currency}"

    def share(self, count: int, of: int, lean: Literal["down", "nearest", "up"] = "nearest") -> str:
        """Write a share in percent with one decimal; 100 % means all and 0 % means none.

        What is good leans down and what is bad leans up, so that rounding never flatters.
        """
        if of == 0:
            return DASH
        if count == of:
            return "100 %"
        if count == 0:
            return "0 %"
        tenths = (2000 * count + {"down": 0, "nearest": of, "up": 2 * of - 1}[lean]) // (2 * of)
        if tenths == 0:
            return self.under
        return self.over if tenths == 1000 else f"{tenths // 10}{self.point}{tenths % 10} %"  # noqa: PLR2004

    def percent(self, value: float) -> str:
        """Write a share of what is missing, with one decimal: it never looks smaller than it is."""
        return f"{self.decimal(math.ceil(value * 10 - 1e-9) / 10)} %"

    def age(self, hours: float | None) -> str:
        """Write an age: hours up to four days, days beyond, whole ones from ten on; a dash where there is none."""
        if hours is None:
            return DASH
        if abs(hours) < _HOURS_SHOWN_AS_HOURS:
            return f"{self.decimal(hours)} h"
        days = hours / _HOURS_A_DAY
        if abs(days) >= _DAYS_SHOWN_WHOLE:
            return f"{self.number(int(days))} d"
        return f"{self.decimal(int(days * 10) / 10)} d"

    def keep(self, days: float | None) -> str:
        """Write a retention in the largest unit that is exact: 30 d, 5 mo, 7 y; a dash where there is none."""
        if days is None:
            return DASH
        for unit, length in ((self.years, YEAR_DAYS), (self.months, MONTH_DAYS)):
            count = round(days / length)
            if count and abs(days - count * length) < 1e-6:  # noqa: PLR2004 - what a division leaves
                return f"{count} {unit}"
        return self.written(f"{days:,.2f}".rstrip("0").rstrip(".")) + " d"


ENGLISH = Numerals(",", ".", "mo", "y", "under 0.1 %", "over 99.9 %")
_BY_LANGUAGE: Mapping[str, Numerals] = {
    "de": Numerals(".", ",", "Mon.", "J.", "unter 0,1 %", "über 99,9 %"),
}


def of(language: str) -> Numerals:
    """Give the numbers of a language; English ones where it has none of its own here."""
    return _BY_LANGUAGE.get(language, ENGLISH)
