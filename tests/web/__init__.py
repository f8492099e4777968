"""Tests of the pages and files that browsers get."""
