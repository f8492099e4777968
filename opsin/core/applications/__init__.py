"""Applications, their runs on datasets, and the work of a run on an image."""
