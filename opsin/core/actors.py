"""Who acts where nobody has shown a key: the operator, signatures, and Opsin itself."""

from dataclasses import replace

from opsin.core.access import Principal

NO_COMPANY = "00000000-0000-0000-0000-000000000000"
"""Whose entries are no company's, such as a sign-in by an address that nobody has."""


def operator(company_id: str = NO_COMPANY) -> Principal:
    """Whoever works at the command line of the server's machine."""
    return Principal(company_id, "command line", came_as="operator")


def acting_in(company_id: str, by: Principal | None) -> Principal:
    """Somebody as the one who does something to that company; the operator when it is nobody."""
    return operator(company_id) if by is None else replace(by, company_id=company_id)


def opsin_itself(company_id: str, duty: str) -> Principal:
    """Opsin, at a duty of its own such as `retention`."""
    return Principal(company_id, duty)


def stranger(company_id: str, name: str) -> Principal:
    """Somebody who was not let in."""
    return Principal(company_id, name, came_as="stranger")


def signer(company_id: str, name: str) -> Principal:
    """Whoever has shown nothing but a signature with the server's shared secret."""
    return Principal(company_id, name, came_as="signature")


def holder_of_link(company_id: str) -> Principal:
    """Whoever has been given a signed address."""
    return Principal(company_id, "signed link", came_as="link")
