"""What the operator may choose of the VISTA API."""

from dataclasses import dataclass, field
from datetime import timedelta

DEFAULT_MODELS = (
    "resnet50_classifier",
    "vgg16",
    "inception_v3",
    "efficientnet_b0",
    "demo-model-detcls",
    "yolo_v8",
    "heatmap_generator",
)


@dataclass(frozen=True, slots=True)
class VistaOptions:
    """Values of the settings, by the meaning they have here."""

    is_dev: bool = False
    """Everyone is the local user, and every group is theirs."""
    is_enabled: bool = True
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Accepted for callbacks: the one in use, and the one before it."""
    requires_hmac: bool = True
    requires_timestamped: bool = False
    callback_needs_user: bool = False
    skew: timedelta = timedelta(seconds=300)
    allowed_models: tuple[str, ...] = DEFAULT_MODELS
    max_analyses: int = 10
    max_bulk: int = 1000
    starts_processing: bool = False
    link_expiry: timedelta = timedelta(hours=1)
    user_header: str = "X-User-Email"
    proxy_secret_header: str = "X-Proxy-Secret"
    proxy_secret: str | None = field(default=None, repr=False)
    mock_user: str = "test@example.com"
    mock_groups: tuple[str, ...] = ()
    """Told to whoever asks for the groups of dev mode, also while they have no projects."""
    public_url: str | None = None
    origins: tuple[str, ...] = ()
    """Other sites whose pages may call."""

    @property
    def remembered(self) -> timedelta:
        """How long the answer to a request is kept whose signature holds no time."""
        return self.skew + timedelta(days=1)
