"""The operations as this API lists them: the documented ones first, then all other plugins'."""

from typing import Any

from opsin.compat.image_embed.tasks import DOCUMENTED
from opsin.core.availability import Availability
from opsin.core.plugin_host import PluginHost


def listed(host: PluginHost, availability: Availability) -> dict[str, Any]:
    """The answer of `/available_operations/`; looks at files, so better on a thread.

    One that can run on none of its targets is there, too; `reason` is that of the default target.
    """
    order = [name for name in DOCUMENTED if name in host.operations]
    order += [name for name in host.operations if name not in DOCUMENTED]
    operations = {}
    for name in order:
        operation = host.operations[name].operation
        reasons = availability.reasons(operation)
        operations[name] = {
            "description": operation.description,
            "allowed_targets": [target.value for target in operation.targets],
            "default_target": operation.default_target.value,
            "available": None in reasons.values(),
            "reason": reasons[operation.default_target],
        }
    return {"operations": operations}
