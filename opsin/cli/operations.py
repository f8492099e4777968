"""`opsin operations`: what can be run here, on what, and what is missing for the rest."""

from typing import TYPE_CHECKING, Any

from opsin.cli.options import DataDir, Json, read_settings
from opsin.cli.output import new_table, print_json, results

if TYPE_CHECKING:
    from opsin.core.availability import Availability
    from opsin.core.plugin_host import RegisteredOperation


def operations(data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the operations, and on which parts of a picture each can be run here."""
    settings = read_settings(data_dir=data_dir)  # before what takes long to import

    from opsin.assembly import discover_plugins, open_models
    from opsin.core.availability import Availability

    host = discover_plugins(settings)
    availability = Availability(host, open_models(settings, host))
    described = [_described(availability, one) for one in host.operations.values()]
    if as_json:
        print_json({"operations": described})
    else:
        _print_table(described)


def _described(availability: "Availability", registered: "RegisteredOperation") -> dict[str, Any]:
    operation = registered.operation
    reasons = availability.reasons(operation)
    return {
        "name": operation.name,
        "version": operation.version,
        "description": operation.description,
        "plugin": registered.plugin.name,
        "available": any(reason is None for reason in reasons.values()),
        "default_target": operation.default_target.value,
        "targets": [
            {"target": target.value, "available": reason is None, "unavailable_reason": reason}
            for target, reason in reasons.items()
        ],
        "result_type": operation.result.__name__,
        "params_schema": operation.params.model_json_schema(),
    }


def _print_table(described: list[dict[str, Any]]) -> None:
    from rich.text import Text

    table = new_table("Operation", "Version", "Target", "Available")
    missing: dict[str, list[str]] = {}
    for operation in described:
        first = True
        for target in operation["targets"]:
            is_default = target["target"] == operation["default_target"]
            table.add_row(
                Text(operation["name"] if first else "", "bold"),
                operation["version"] if first else "",
                target["target"] + (" (default)" if is_default else ""),
                Text("yes", "green") if target["available"] else Text("no", "red"),
            )
            first = False
            if not target["available"]:
                what = f"{operation['name']} on {target['target']}"
                missing.setdefault(target["unavailable_reason"], []).append(what)
    console = results()
    console.print(table)
    if not described:
        console.print("No plugin provides an operation; see: opsin plugins list", markup=False)
    for reason, whats in missing.items():
        console.print(Text(f"{', '.join(whats)}:", "bold"))
        console.print(Text(f"  {reason}"), soft_wrap=True)
