"""What the operator may choose of the Haut API."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HautOptions:
    """Values of the settings, by the meaning they have here."""

    origins: tuple[str, ...] = ()
    """Sites whose pages may call."""
    public_url: str | None = None
    """How clients reach the server, where that is not what their requests say."""
    max_picture_bytes: int = 50 * 2**20
    page_size: int = 100
    """Rows of a page where the caller does not say."""
    largest_page: int = 1000
