"""Projects and their images: made, listed, downloaded, and uploaded once."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from opsin.client.errors import AnswerLost, NotFound
from opsin.client.records import Image, Project, UploadedImage
from opsin.client.retries import server_time
from opsin.client.session import Session
from opsin.client.signing import encode
from opsin.client.uploads import FileBody, FormBody, Progress, Source, name_of
from opsin.client.wire import Pause, Steps, Work, path_part

PAGE = 200

_IMAGE = "id filename contentType sha256 sizeBytes width height metadata createdAt"
_DONE = """done: analyses(first: 1, filter: $done) @include(if: $asks) { totalCount }
      begun: analyses(first: 1, filter: $begun) @include(if: $asks) { totalCount }"""
_LIST = f"""query Images($project: ID!, $first: Int!, $after: String, $asks: Boolean!,
    $done: AnalysisFilter, $begun: AnalysisFilter) {{
  eventCursor
  dataset(id: $project) {{
    images(first: $first, after: $after) {{
      nodes {{ {_IMAGE} {_DONE} }}
      pageInfo {{ hasNextPage endCursor }}
    }}
  }}
}}"""
_KNOWN = f"""query Known($project: ID!, $sha256: String!) {{
  images(first: 1, filter: {{datasetId: $project, sha256: $sha256}}) {{ nodes {{ {_IMAGE} }} }}
}}"""
FOLLOW = f"""subscription NewImages($project: ID!, $after: Cursor, $asks: Boolean!,
    $done: AnalysisFilter, $begun: AnalysisFilter) {{
  imageEvents(datasetId: $project, after: $after) {{ cursor kind image {{ {_IMAGE} {_DONE} }} }}
}}"""


class Model(NamedTuple):
    """A model by name and version; images that it has analysed need not be given to it again.

    An analysis that was begun and not ended counts for as long as `patience`: another pipeline may
    be at it.  After that, whoever began it is taken to have died.
    """

    name: str
    version: str
    patience: timedelta = timedelta(hours=1)


class ImagePage(NamedTuple):
    """Some images of a project; `event_cursor` is where the log stood before they were read."""

    images: list[Image]
    next: str | None
    event_cursor: str
    read_at: datetime


class PictureCalls:
    """Everything about projects and images, as steps for whoever sends them."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def create_project(
        self, name: str, group: str | None, description: str | None
    ) -> Steps[Project]:
        if group is None and self._session.is_proxied:
            group = (self._session.user_email or "").strip().lower()  # a user's own is named so
        if group is None:
            data, _ = yield from self._session.ask("{ viewer { company } }", {})
            group = data["viewer"]["company"]
        given = {"name": name, "meta_group_id": group, "description": description}
        answer = yield from self._session.call(
            "The new project", "POST", "/projects", encode(given), repeatable=False
        )
        return Project.of(answer.json())

    def projects(self) -> Steps[list[Project]]:
        answer = yield from self._session.call(
            "The list of projects", "GET", "/projects?limit=100000"
        )
        return [Project.of(one) for one in answer.json()]

    def image(self, image_id: str) -> Steps[Image]:
        answer = yield from self._session.call("The image", "GET", f"/images/{path_part(image_id)}")
        return Image.of(answer.json())

    def image_page(
        self, project_id: str, after: str | None, without: Model | None
    ) -> Steps[ImagePage]:
        variables = variables_of(project_id, without) | {"first": PAGE, "after": after}
        data, answer = yield from self._session.ask(_LIST, variables)
        if data["dataset"] is None:
            advice = "Check the id; what another company owns is not found either."
            raise NotFound("The project", 404, "Project not found", advice)
        found = data["dataset"]["images"]
        images = [Image.of(node) for node in found["nodes"] if is_wanted(node)]
        info = found["pageInfo"]
        following = info["endCursor"] if info["hasNextPage"] else None
        return ImagePage(images, following, data["eventCursor"], server_time(answer))

    def event_cursor(self) -> Steps[str]:
        data, _ = yield from self._session.ask("{ eventCursor }", {})
        return str(data["eventCursor"])

    def download(
        self, image_id: str, begin: Callable[[], None], receive: Callable[[bytes], None]
    ) -> Steps[None]:
        path = f"/images/{path_part(image_id)}/content"
        yield from self._session.fetch("The download of the image", path, begin, receive)

    def upload(
        self,
        project_id: str,
        source: Source,
        filename: str | None,
        metadata: Mapping[str, Any] | None,
        progress: Progress | None,
    ) -> Steps[UploadedImage]:
        """Send a file unless the project has it, also when an earlier answer was lost."""
        name = filename or name_of(source)
        file: FileBody = yield Work(lambda: FileBody(source, progress))
        try:
            failures = 0
            while True:
                known = yield from self._known(project_id, file.sha256)
                if known is not None:
                    return UploadedImage(known, is_new=False)
                form = FormBody(file, name, metadata)
                try:
                    answer = yield from self._session.call(
                        f"The image {name}",
                        "POST",
                        f"/projects/{path_part(project_id)}/images",
                        form,
                        headers={"content-type": form.content_type},
                        repeatable=False,
                    )
                except AnswerLost:
                    failures += 1
                    pause = self._session.retries.pause(failures)
                    if pause is None or self._session.is_proxied:
                        raise
                    yield Pause(pause)
                    continue
                return UploadedImage(Image.of(answer.json()), is_new=True)
        finally:
            file.close()

    def _known(self, project_id: str, sha256: str) -> Steps[Image | None]:
        """The image of the project with this file; None, too, where nobody can ask for it."""
        if self._session.is_proxied:
            return None
        data, _ = yield from self._session.ask(_KNOWN, {"project": project_id, "sha256": sha256})
        nodes = data["images"]["nodes"]
        return Image.of(nodes[0]) if nodes else None


def variables_of(project_id: str, without: Model | None) -> dict[str, Any]:
    """What lists and subscriptions of images ask for."""
    variables: dict[str, Any] = {"project": project_id, "asks": without is not None}
    if without is not None:
        model = {"modelName": without.name, "modelVersion": without.version}
        since = (datetime.now(UTC) - without.patience).isoformat()
        variables["done"] = model | {"status": ["COMPLETED"]}
        variables["begun"] = model | {"status": ["QUEUED", "PROCESSING"], "createdFrom": since}
    return variables


def is_wanted(node: Mapping[str, Any]) -> bool:
    """Whether the model that was asked for has not analysed the image and is not at it."""
    return all(node[name]["totalCount"] == 0 for name in ("done", "begun") if name in node)


class Listed:
    """Which images of a list may come once more as new ones."""

    def __init__(self) -> None:
        self._ids: set[str] = set()

    def note(self, page: ImagePage) -> None:
        """Those that are older by an hour were there long before the list was begun."""
        oldest = page.read_at - timedelta(hours=1)
        self._ids |= {one.id for one in page.images if (one.created_at or oldest) >= oldest}

    def is_new(self, image: Image) -> bool:
        return image.id not in self._ids
