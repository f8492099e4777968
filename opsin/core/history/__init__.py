"""A subject's history: its measures over time, and smoothed values."""

from opsin.core.history.history import History as History
from opsin.core.history.records import HistoryPoint as HistoryPoint
from opsin.core.history.records import Smoothed as Smoothed
from opsin.core.history.smoothing import SmoothingMethod as SmoothingMethod
from opsin.core.history.smoothing import SmoothingOptions as SmoothingOptions
from opsin.core.history.smoothing import round_half_up as round_half_up
