"""The blob store, tried out: a small file is written, read and deleted; and the models' weights."""

import time
import uuid
from collections.abc import AsyncIterator

from opsin.core.availability import Availability
from opsin.core.checkup.findings import Finding, bad, good, poor
from opsin.core.models.inventory import ModelInventory
from opsin.core.models.store import ModelStore
from opsin.core.plugin_host import PluginHost
from opsin.storage.blobs import BlobStore

_SLOW_SECONDS = 2.0


async def look_at_blobs(store: BlobStore, what: str) -> AsyncIterator[Finding]:
    """`what` names the store without its address."""
    key, content = f"doctor/{uuid.uuid4().hex}", uuid.uuid4().bytes

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    began = time.perf_counter()
    await store.put(key, chunks())
    try:
        read = await store.read(key)
    finally:
        await store.delete(key)
    seconds = time.perf_counter() - began
    if read != content:
        yield bad("blobs", f"{what} gave other bytes than were written", "use another store")
        return
    told = f"{what}: written, read and deleted in {seconds * 1000:.0f} ms"
    if await store.stat(key) is not None:
        yield poor("blobs", f"{told}; but it is still there", "may the server delete files there?")
    elif seconds > _SLOW_SECONDS:
        yield poor("blobs", told, "that is slow: is the store far away, or busy?")
    else:
        yield good("blobs", told)


async def look_at_operations(host: PluginHost, models: ModelStore) -> AsyncIterator[Finding]:
    """Plugins that failed, and operations that cannot run, each with how to get what they need."""
    for failure in host.failures:
        yield bad(
            "plugins", f"{failure.plugin}: {failure.message}", "opsin --debug plugins shows where"
        )
    availability = Availability(host, models)
    operations = [one.operation for one in host.operations.values()]
    lacking = [one for one in operations if not availability.any_available(one)]
    yield good("operations", f"{len(operations) - len(lacking)} of {len(operations)} can run here")
    # By what would help: one model may be what several of them need.
    wanting: dict[tuple[str, str], list[str]] = {}
    for operation in lacking:
        reasons = [one for one in availability.reasons(operation).values() if one]
        reason, _, remedy = (reasons[0] if reasons else "it cannot run").partition(": ")
        reason = reason.removeprefix(f"{operation.name} ")
        wanting.setdefault((reason, remedy), []).append(operation.name)
    for model in ModelInventory(models, host).models(read=False):
        reason, _, remedy = (model.reason or "").partition(": ")
        if reason and (reason, remedy) not in wanting:
            wanting[reason, remedy] = sorted({use.loadable for use in model.uses})
    for (reason, remedy), names in wanting.items():
        yield poor("models", f"{', '.join(names)} {reason}", remedy or "opsin operations")
