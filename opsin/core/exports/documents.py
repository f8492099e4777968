"""The formats whose rows the database writes: JSON lines, CSV, and one JSON document."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from opsin.core.exports.columns import FLAT
from opsin.core.exports.merging import Merged
from opsin.core.exports.request import ExportFormat, TargetKind
from opsin.core.exports.selection import Selection
from opsin.storage.snapshot import Snapshot

Texts = AsyncGenerator[str, None]


async def ndjson(snapshot: Snapshot, selection: Selection) -> Texts:
    """A JSON object and a line break for each annotation."""
    async with aclosing(_flat(snapshot, selection, ExportFormat.NDJSON)) as texts:
        async for text in texts:
            yield text


async def csv(snapshot: Snapshot, selection: Selection) -> Texts:
    """A head with the names of the columns, then a row for each annotation (RFC 4180)."""
    yield ",".join(name for name, _, _ in FLAT) + "\r\n"
    async with aclosing(_flat(snapshot, selection, ExportFormat.CSV)) as texts:
        async for text in texts:
            yield text


async def _flat(snapshot: Snapshot, selection: Selection, form: ExportFormat) -> Texts:
    """What all annotations of an analysis have in common is read once, half of the text of each."""
    owners = Merged(snapshot.rows(*selection.owners(form)))
    owned = Merged(snapshot.rows(*selection.owned(form)))
    async with aclosing(owners), aclosing(owned):
        async for rows in owners.all():
            for analysis_id, beginning in rows:
                async for group in owned.of(analysis_id):
                    yield "".join([beginning + row[1] for row in group])


async def json(snapshot: Snapshot, selection: Selection) -> Texts:
    """The target as one object: a dataset with its images, these with analyses, and so on.

    It is `null` when the filter leaves nothing of an analysis, or the target has just gone.
    """
    analyses = Merged(snapshot.rows(*selection.analyses()))
    annotations = Merged(snapshot.rows(*selection.annotations()))
    async with aclosing(analyses), aclosing(annotations):
        if selection.target.kind is TargetKind.ANALYSIS:
            content = _analyses(analyses, annotations, None, await _image(snapshot, selection))
        else:
            content = _images(Merged(snapshot.rows(*selection.images())), analyses, annotations)
        head, tail = "", "\n"
        if selection.target.kind is TargetKind.DATASET:
            async with aclosing(snapshot.rows(*selection.datasets())) as groups:
                async for rows in groups:
                    head, tail = f'{{{rows[0][0]},"images":[', "]}\n"
        written = head
        yield head
        async with aclosing(content):
            async for text in content:
                written = text
                yield text
        yield tail if written else f"null{tail}"


async def _images(images: Merged, analyses: Merged, annotations: Merged) -> Texts:
    separator = ""
    async with aclosing(images):
        async for rows in images.all():
            for image_id, inside in rows:
                yield f'{separator}{{{inside},"analyses":['
                async with aclosing(_analyses(analyses, annotations, image_id)) as texts:
                    async for text in texts:
                        yield text
                yield "]}"
                separator = ",\n"


async def _image(snapshot: Snapshot, selection: Selection) -> str:
    """The image of the one analysis, as a member of it: an import finds it by its sha256."""
    async with aclosing(snapshot.rows(*selection.images())) as groups:
        async for rows in groups:
            return f'"image":{{{rows[0][1]}}},'
    return ""


async def _analyses(
    analyses: Merged, annotations: Merged, image_id: str | None, member: str = ""
) -> Texts:
    """Those of the image, or all of them, with commas between them."""
    separator = ""
    found = analyses.all() if image_id is None else analyses.of(image_id)
    async for rows in found:
        for _, analysis_id, inside in rows:
            yield f'{separator}{{{member}{inside},"annotations":['
            between = ""
            async for group in annotations.of(analysis_id):
                yield between + ",\n".join([row[1] for row in group])
                between = ",\n"
            yield "]}"
            separator = ",\n"
