"""Settings of signing in: how often it may be tried, how long a session lasts."""

from pydantic import BaseModel, Field


class SignInSettings(BaseModel):
    """What `opsin.core.sessions` is configured by."""

    login_attempts: int = Field(
        60, ge=1, le=10_000, description="times a minute that an account may try to sign in"
    )
    session_seconds: float = Field(
        3600, ge=1, le=7 * 86400, description="seconds that an access token is good for"
    )
    session_days: float = Field(
        30, gt=0, le=365, description="days in which a session can be renewed"
    )
