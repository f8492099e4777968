"""The picture that measurements use: matplotlib's bundled portrait."""

from importlib.resources import files


def portrait() -> bytes:
    """The bytes of grace_hopper.jpg, 512 x 600 pixels."""
    path = files("matplotlib") / "mpl-data" / "sample_data" / "grace_hopper.jpg"
    return path.read_bytes()
