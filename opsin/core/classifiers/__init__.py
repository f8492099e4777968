"""Classifiers of collections: trained, compared, kept as data, read from older files."""
