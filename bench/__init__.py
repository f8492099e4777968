"""Numbers in the documentation come from here; `python -m bench` runs everything."""
