"""Settings of webhooks: whether and where they are sent, how often again, what is kept."""

from pydantic import BaseModel, Field

from opsin.settings.fields import CommaList


class WebhookSettings(BaseModel):
    """What `opsin.core.webhooks` is configured by."""

    webhooks: bool = Field(True, description="send webhooks from the server process")
    webhook_allow: CommaList = Field(
        (), description="hosts, `host:port` or networks that may be sent to though not public"
    )
    webhook_plain_http: bool = Field(
        False, description="send also to `http://`, not only to hosts that are allowed by name"
    )
    webhook_seconds: float = Field(
        15, gt=0, le=300, description="time in which a receiver must answer an attempt"
    )
    webhook_concurrency: int = Field(
        64, ge=1, description="attempts at once; a quarter of it for receivers that fail"
    )
    webhook_max_attempts: int = Field(
        30, ge=1, description="attempts after which the delivery of an event is given up"
    )
    webhook_max_days: float = Field(
        3, gt=0, le=365, description="days after which the delivery of an event is given up"
    )
    webhook_retry_seconds: float = Field(
        2, gt=0, le=86400, description="longest wait before the second attempt; then it doubles"
    )
    webhook_retry_longest_seconds: float = Field(
        4 * 3600, gt=0, le=7 * 86400, description="longest wait before any attempt"
    )
    webhook_pause_hours: float = Field(
        24, gt=0, le=8760, description="hours of nothing but failures that pause a webhook"
    )
    webhook_keep_days: float = Field(
        30, gt=0, le=3650, description="days in which ended deliveries can be looked at"
    )
    webhook_keep_delivered: int = Field(
        10_000, ge=0, description="delivered events of each webhook that can be looked at"
    )
