"""Reports: what is known of one image, as a PDF."""

from opsin.core.reports.reports import Reports as Reports
