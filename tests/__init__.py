"""The tests of Opsin; the folders mirror the package."""
