"""What was analysed last, for whoever asks for it again; each company has its own."""

from collections import OrderedDict
from dataclasses import dataclass, field

from opsin.compat.pekat.findings import Findings
from opsin.core.imaging import DecodedImage

_MOST_COMPANIES = 16


@dataclass(frozen=True, slots=True)
class Analysed:
    """A picture, as it came or decoded, and what was found on it."""

    picture: bytes | DecodedImage = field(repr=False)
    size: tuple[int, int]
    """Width and height."""
    findings: Findings
    context: bytes = field(repr=False)


class LastImages:
    """One for each of the companies that sent a picture last."""

    def __init__(self) -> None:
        self._by_company: OrderedDict[str, Analysed] = OrderedDict()

    def keep(self, company_id: str, analysed: Analysed) -> None:
        self._by_company[company_id] = analysed
        self._by_company.move_to_end(company_id)
        if len(self._by_company) > _MOST_COMPANIES:
            self._by_company.popitem(last=False)

    def of(self, company_id: str) -> Analysed | None:
        return self._by_company.get(company_id)
