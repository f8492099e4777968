"""Tests of opsin.core.applications."""
