"""Exports: what is stored of an analysis, an image or a dataset, as one file of any size."""
