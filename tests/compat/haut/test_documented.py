"""The document's script from top to bottom, and its curl lines, against an `opsin serve`.

Every number that it prints is held to what the operation says of the same picture by itself.
"""

import ast
import asyncio
import base64
import io
import json
import math
import re
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pypdfium2
import pypdfium2.raw
import pytest
from PIL import Image

from opsin import Item, Params, Region
from opsin.core.models.store import ModelStore
from opsin.core.testing import run_operation
from opsin.plugins.bbox.plugin import FaceFinder
from opsin.plugins.skin.plugin import MEASURES, FindFaceAreas
from opsin.plugins.skin.results import FaceAreas, SkinMeasures
from tests.compat.haut.guide import (
    DOCUMENTED,
    EMAIL,
    LONGEST,
    PASSWORD,
    Printed,
    Shell,
    command,
    curl_lines,
    running,
    served,
)
from tests.core.working import until
from tests.pictures import portrait

pytestmark = pytest.mark.timeout(480)

COMPANY = "Skin & Co"
ALGORITHMS = {
    "redness": 30,
    "uniformness": 32,
    "eye_area": 33,
    "wrinkles": 34,
    "pores": 35,
    "pigmentation": 39,
    "tone": 42,
    "image_quality": 43,
    "lines": 69,
}
"""The document's numbers, and the measures behind them."""
DETECTOR = 40
IDENTITY = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class Truth:
    """What the operations say of a picture, asked without any server."""

    def __init__(self, jpeg: bytes, folder: Path) -> None:
        with Image.open(io.BytesIO(jpeg)) as image:
            picture = np.array(image.convert("RGB"))
        finder = FaceFinder()
        runner = finder.load(ModelStore(folder).context(finder, "cpu"))
        (region,) = runner.run([runner.prepare(Item(picture, Params()))])
        runner.close()
        assert isinstance(region, Region)
        self.width, self.height = picture.shape[1], picture.shape[0]
        self.face: FaceAreas = run_operation(FindFaceAreas(), picture, region=region)
        self.measures: dict[str, SkinMeasures] = {
            one.measure: run_operation(one(), picture, region=region) for one in MEASURES
        }

    def shown(self, measure: str) -> int:
        """The face's main number as the API shows it: the score, or of the tone its angle."""
        main = self.measures[measure].areas[0].main
        number = main.value if main.score is None else main.score
        return math.floor(number + 0.5)


def large_portrait() -> bytes:
    """1024 x 1200, so that every measure has pixels enough."""
    with Image.open(io.BytesIO(portrait())) as image:
        large = image.convert("RGB").resize((1024, 1200), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    large.save(file, "JPEG", quality=95)
    return file.getvalue()


def check_measure(result: dict[str, Any], measure: str, truth: Truth) -> None:
    first, *others = result["area_results"]
    assert first["area_name"] == "face"
    assert first["main_metric"]["value"] == pytest.approx(truth.shown(measure), abs=1), measure
    assert len(others) == len(truth.measures[measure].areas) - 1
    for mask in result["masks_original"] or []:
        assert mask["view_box"] == f"0 0 {truth.width} {truth.height}"
        assert mask["type"] == "FeatureCollection" and mask["features"]
    for mask in result["masks_restored"] or []:
        assert mask["view_box"] == f"0 0 {truth.face.aligned.size} {truth.face.aligned.size}"


def check_printed_results(printed: Printed, algorithms: list[dict[str, Any]], truth: Truth) -> None:
    found = printed.results("Processed results for image:", "Get images for segments")
    names = {one["id"]: f"{one['algorithm_family']['name']} {one['version']}" for one in algorithms}
    for measure, number in ALGORITHMS.items():
        (result,) = found[names[number]]
        check_measure(result, measure, truth)
    (detected,) = found[names[DETECTOR]]
    assert detected["detection_params"]["face_detected"] is True
    assert len(detected["mesh"]) >= 5
    x, y, width, height = detected["bbox"]
    nose = truth.face.landmarks[2]
    assert x < nose.x < x + width and y < nose.y < y + height
    # Nothing was made up: each has an algorithm of the list, and is right or says why not.
    assert set(found) <= set(names.values())


async def check_segments(printed: Printed, url: str, truth: Truth) -> None:
    told = printed.text().partition("Get images for segments")[2].partition("6 Return history")[0]
    segments = re.findall(r"^Segment: (.+)\nURL: (\S+)$", told, re.M)
    assert len(segments) >= 8 and len({address for _, address in segments}) == len(segments)
    sizes = {}
    async with httpx.AsyncClient(timeout=60) as client:
        for name, address in segments:
            assert address.startswith(url)
            answer = await client.get(address)
            assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
            with Image.open(io.BytesIO(answer.content)) as image:
                sizes[name] = image.size
        without = await client.get(segments[0][1].partition("?")[0])
    assert without.status_code == 401
    side = truth.face.aligned.size
    assert (side, side) in sizes.values()  # the whole face, upright
    assert all(max(size) <= side for size in sizes.values())


def check_history(printed: Printed, image_id: str, batch_id: str, count: int) -> None:
    line = printed.text().partition("history for last week:\n")[2].partition("\n")[0]
    history = ast.literal_eval(line)
    assert len(history) >= count
    for one in history:
        assert (one["image_id"], one["batch_id"]) == (image_id, batch_id)
    times = [one["creation_time"] for one in history]
    assert times == sorted(times, reverse=True)


async def test_the_lines_are_those_of_a_program() -> None:
    """Nothing was lost on the way: it compiles, but for the shifted line."""
    text = (DOCUMENTED / "client_py.txt").read_text("utf-8")
    with pytest.raises(IndentationError):
        compile(text, "document", "exec")
    compile(text.replace("\n resp = ", "\nresp = "), "document", "exec")
    assert len(curl_lines()) == 5


async def test_the_script_from_top_to_bottom(tmp_path: Path) -> None:
    assert shutil.which("bash") and shutil.which("curl"), "this test needs bash and curl"
    picture = await asyncio.to_thread(large_portrait)
    truth = await asyncio.to_thread(Truth, picture, tmp_path / "models")
    here = tmp_path / "client"
    here.mkdir()
    (here / "face.jpg").write_bytes(picture)
    made = ("accounts", "create", EMAIL, "--password-stdin", "--company", COMPANY)
    await command(tmp_path, *made, text=PASSWORD)
    listed = await command(tmp_path, "companies", "list", "--json")
    (company,) = [one["id"] for one in json.loads(listed)["companies"] if one["name"] == COMPANY]
    async with served(tmp_path) as url, running(here, url, company) as printed:
        await printed.until("^True$")
        token, batch, image = (
            printed.after(beginning)
            for beginning in ("Access token:", "Your batch id:", "Your image id:")
        )
        assert printed.after("Your company id:") == company
        assert int(printed.after("Your busines user id:")) > 0
        dataset, subject = printed.after("Your dataset id:"), printed.after("Your subject id:")
        for identity in (dataset, subject, batch, image):
            assert re.fullmatch(IDENTITY, identity)
        algorithms = ast.literal_eval(printed.after("Algorithms dict:"))
        message = json.loads(printed.after("Received msg:").strip("'"))
        assert message["meta"]["batch_id"] == batch and message["meta"]["image_id"] == image
        check_printed_results(printed, algorithms, truth)
        await check_segments(printed, url, truth)
        check_history(printed, image, batch, len(ALGORITHMS) + 1)

        places = f"/api/v1/companies/{company}/datasets/{dataset}/subjects/{subject}"
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as client:
            await _second_image(client, places, picture)
            frames = await _streamed(printed, len(ALGORITHMS) + 1)
            assert {one["algorithm_version_id"] for one in frames} >= {DETECTOR, 30}
            for one in frames:
                assert one["subject_id"] == subject and one["image_id"] != image
                if one["algorithm_version_id"] == 30:
                    check_measure(one["result"], "redness", truth)
            shell = Shell(url, here)
            await _private_token(shell, company, dataset, token)
            await _smoothed(shell, token, (company, dataset, subject, batch, image), truth)
            await _report(shell, token, (company, dataset, subject, batch, image))
            await _fewer_algorithms(shell, client, token, (company, dataset, subject), picture)
            await _retention(client, (company, dataset, subject), picture)


async def _second_image(client: httpx.AsyncClient, places: str, picture: bytes) -> str:
    """Another batch with the same face; gives the path of its image."""
    batch = (await client.post(f"{places}/batches/")).json()["id"]
    body = {"side_id": 1, "light_id": 1, "b64data": base64.b64encode(picture).decode()}
    made = await client.post(f"{places}/batches/{batch}/images/", json=body)
    assert made.status_code == 201, made.text
    return f"{places}/batches/{batch}/images/{made.json()['id']}"


async def _streamed(printed: Printed, count: int) -> list[dict[str, Any]]:
    await printed.until("^True$", times=count + 1)  # one before each frame that is waited for
    return printed.streamed()


async def _finished(client: httpx.AsyncClient, image: str, count: int) -> list[dict[str, Any]]:
    """The results of an image, once there are so many."""
    found: list[dict[str, Any]] = []

    async def are_there() -> bool:
        found[:] = (await client.get(f"{image}/results/")).json()
        return len(found) >= count

    await until(are_there, LONGEST)
    return found


async def _private_token(shell: Shell, company: str, dataset: str, token: str) -> None:
    """On the web page it is one line, in which the backslashes escape blanks and no ends."""
    create, listed, *_ = curl_lines()
    signed_in = f"-H 'Authorization: Bearer {token}'"
    unfolded = {"\\ ": "\\\n"}
    status, _ = await shell.run(create, unfolded)
    assert status == 401
    status, body = await shell.run(create, unfolded, signed_in)
    assert status == 400, "the document's day of expiry is over"
    assert json.loads(body)["errors"][0]["attr"] == "expiration_time"
    later = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    status, body = await shell.run(
        create, unfolded | {"2023-04-17T16:10:17.350Z": later}, signed_in
    )
    assert status == 201
    private = json.loads(body)["data"]
    status, body = await shell.run(listed, {"/...": f"/{company}", "{.data}": private})
    assert status == 200
    assert [one["id"] for one in json.loads(body)["results"]] == [dataset]


async def _smoothed(shell: Shell, token: str, ids: Sequence[str], truth: Truth) -> None:
    line = curl_lines()[3]
    changes = dict(zip(re.findall(IDENTITY, line), ids, strict=True))
    status, _ = await shell.run(line, changes)
    assert status == 401
    status, body = await shell.run(line, changes, f"-H 'Authorization: Bearer {token}'")
    assert status == 200
    found = {one["algorithm_tech_name"]: one["value"] for one in json.loads(body)}
    # One image stands in the history up to this one, so that its own numbers are the mean.
    assert found["selfie_v2.redness"] == pytest.approx(truth.shown("redness"), abs=1)
    assert found["selfie_v2.uniformness"] == pytest.approx(truth.shown("uniformness"), abs=1)
    assert "selfie_v2.skin_tone" not in found and len(found) >= 8
    assert list(found) == sorted(found)


async def _report(shell: Shell, token: str, ids: Sequence[str]) -> None:
    line = curl_lines()[4]
    changes = dict(zip(re.findall(IDENTITY, line), ids, strict=True))
    status, _ = await shell.run(line, changes)
    assert status == 401
    status, body = await shell.run(line, changes | {"yourSecretTokenHere": token})
    assert status == 200
    text, pictures = await asyncio.to_thread(_read_pdf, body)
    assert "redness" in text.lower() and "My subject name" in text
    assert pictures


def _read_pdf(body: bytes) -> tuple[str, int]:
    """Its text, and how many pictures it holds."""
    text, pictures = "", 0
    with pypdfium2.PdfDocument(body) as document:
        for number in range(len(document)):
            page = document[number]
            words = page.get_textpage()
            text += words.get_text_bounded()
            words.close()
            pictures += sum(1 for _ in page.get_objects([pypdfium2.raw.FPDF_PAGEOBJ_IMAGE]))
            page.close()
    return text, pictures


async def _fewer_algorithms(
    shell: Shell, client: httpx.AsyncClient, token: str, ids: Sequence[str], picture: bytes
) -> None:
    company, dataset, subject = ids
    line = curl_lines()[2]
    there, _, other = re.findall(IDENTITY, line)
    changes = {there: company, other: dataset, "myTocken": token}
    status, body = await shell.run(line, changes)
    assert status == 201 and sorted(json.loads(body)["enabled_algorithms"]) == [30, DETECTOR]
    places = f"/api/v1/companies/{company}/datasets/{dataset}/subjects/{subject}"
    image = await _second_image(client, places, picture)
    found = await _finished(client, image, 2)
    assert sorted(one["algorithm_version_id"] for one in found) == [30, DETECTOR]
    await asyncio.sleep(1)
    assert len((await client.get(f"{image}/results/")).json()) == 2


async def _retention(client: httpx.AsyncClient, ids: Sequence[str], picture: bytes) -> None:
    """The three arguments as the document spells them, and a file that goes when it is ready."""
    company, dataset, subject = ids
    path = f"/api/v1/companies/{company}/datasets/{dataset}/"
    body = {
        "expire_images_after_days": 30,
        "expire_metadata_after_day": 90,
        "clean_images_as_soon_as_ready": True,
    }
    changed = await client.put(path, json=body)
    assert changed.status_code == 200
    kept = (await client.post(path, json={})).json()
    assert kept["expire_images_after_days"] == 30 and kept["expire_metadata_after_days"] == 90
    image = await _second_image(client, f"{path}subjects/{subject}", picture)
    await _finished(client, image, 2)
    file = f"/images/{image.rpartition('/')[2]}.jpg"

    async def is_gone() -> bool:
        return (await client.get(file)).status_code == 404

    await until(is_gone, LONGEST)
    assert len((await client.get(f"{image}/results/")).json()) == 2
