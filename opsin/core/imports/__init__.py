"""Imports: annotations that other tools, or Opsin itself, wrote into files."""
