"""Whether everybody can use the pages: names, contrast and focus, on every page, light and dark."""

from base64 import b64encode

import pytest
from playwright.async_api import expect

from tests.conftest import LiveServer
from tests.web.browser import visit
from tests.web.seeing import begin, box, new_image, picture, tell

pytestmark = pytest.mark.timeout(240)

# What screen readers would read as nothing, and what the keyboard could not reach.
_NAMELESS = """() =>
  [...document.querySelectorAll('button, a[href], input, select, textarea, summary')]
  .filter((one) => one.checkVisibility())
  .filter((one) => !(one.getAttribute('aria-label') || one.textContent.trim() || one.title ||
                     one.labels?.length))
  .map((one) => one.outerHTML)"""

# Texts with less contrast to their ground than WCAG 2 AA asks for: 4.5, or 3 when they are large.
_FAINT = """() => {
  const pen = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const read = (color) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = color;
    pen.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = pen.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  };
  const over = (upper, lower) =>
    [0, 1, 2].map((part) => upper[part] * upper[3] + lower[part] * (1 - upper[3]));
  const ground = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) {
      layers.push(read(getComputedStyle(one).backgroundColor));
    }
    return layers.reverse().reduce((lower, upper) => over(upper, lower), [255, 255, 255]);
  };
  const luminance = (color) => color.map((level) => level / 255)
    .map((share) => (share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4))
    .reduce((sum, share, part) => sum + share * [0.2126, 0.7152, 0.0722][part], 0);
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const faint = [];
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility({checkOpacity: true})) continue;
    if (element.closest('[disabled], [aria-disabled=true], option, .visually-hidden')) continue;
    const style = getComputedStyle(element);
    const below = ground(element);
    const [light, dark] = [luminance(over(read(style.color), below)), luminance(below)]
      .sort((one, other) => other - one);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < (large ? 3 : 4.5)) faint.push(`${ratio.toFixed(2)} ${texts.currentNode.data}`);
  }
  return faint;
}"""

_UNFOLD = "document.querySelectorAll('details').forEach((one) => { one.open = true; })"

# Whether what has the focus shows it.
_FOCUS = """() => {
  const one = document.activeElement;
  const style = getComputedStyle(one);
  const shows = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
  return {name: one.outerHTML.slice(0, 120), shows, body: one === document.body};
}"""


async def study_of(live: LiveServer, dataset: str) -> str:
    """An application attached to a dataset, and a subject with a long name; gives its id."""
    (known,) = (await live.data("{ applications { id } }"))["applications"][:1]
    await live.data(
        "mutation($i: AttachApplicationInput!) { attachApplication(input: $i) { id } }",
        i={"applicationId": known["id"], "datasetId": dataset},
    )
    made = await live.data(
        "mutation($i: CreateSubjectInput!) { createSubject(input: $i) { id } }",
        i={"datasetId": dataset, "name": "averylongname" * 20, "sex": "female"},
    )
    subject: str = made["createSubject"]["id"]
    return subject


async def measured_image(live: LiveServer, dataset: str, subject: str) -> str:
    """Its picture, with measures of two areas that were told from elsewhere."""
    made = await live.data(
        "mutation($i: ImportImageInput!) { importImage(input: $i) { id } }",
        i={
            "datasetId": dataset,
            "subjectId": subject,
            "base64": b64encode(picture()).decode(),
            "filename": "measured.png",
        },
    )
    image: str = made["importImage"]["id"]
    for model in ("redness", "shine"):
        metrics = [
            {
                "annotationType": "metric",
                "className": model,
                "data": {"name": f"{area}.{metric}", "value": 0.2, "unit": "share", "score": 40.0},
            }
            for area in ("face", "a_long_name_of_an_area")
            for metric in ("main_of_it", "another_with_a_longer_name", "and_one_more_of_them")
        ]
        await tell(live, await begin(live, image, model=model), [*metrics, box([20, 20, 50, 50])])
    return image


async def pages_of(live: LiveServer) -> list[str]:
    """Every page, with something on it."""
    name = "a very long name of a picture " * 4 + ".png"
    dataset, image = await new_image(live, name)
    for version in ("1", "2"):
        await tell(live, await begin(live, image, version=version), [box([20, 20, 50, 50])])
    for title in ("busy", "a class whose name is much longer than any button should be wide"):
        await live.data(
            "mutation($i: CreateImageClassInput!) { createImageClass(input: $i) { id } }",
            i={"datasetId": dataset, "name": title},
        )
    await live.data(
        "mutation($i: CreateCommentInput!) { createComment(input: $i) { id } }",
        i={"imageId": image, "text": "word" * 60},
    )
    await live.data(
        "mutation($i: SetMetadataInput!) { setMetadata(input: $i) { image { id } } }",
        i={"imageId": image, "entries": {"k" * 80: "v" * 400}},
    )
    _, deleted = await new_image(live)
    await live.data(
        "mutation($i: SoftDeleteImageInput!) { softDeleteImage(input: $i) { id } }",
        i={"imageId": deleted, "reason": "taken by mistake"},
    )
    subject = await study_of(live, dataset)
    return [
        "",
        f"#/datasets/{dataset}",
        f"#/datasets/{dataset}/about",
        f"#/datasets/{dataset}/subjects",
        f"#/datasets/{dataset}/applications",
        f"#/subjects/{subject}",
        f"#/images/{await measured_image(live, dataset, subject)}",
        f"#/images/{image}",
        f"#/images/{deleted}",
        f"#/images/{image}/compare",
        "#/operations",
        "#/keys",
        "#/nowhere",
    ]


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
async def test_every_page_can_be_read_and_fits(live: LiveServer, width: int, dark: bool) -> None:
    paths = await pages_of(live)
    async with visit(live, width=width, dark=dark) as seen:
        for path in paths:
            await seen.go(path)
            await expect(seen.page.locator("h1")).to_have_count(1)
            wide = await seen.page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, path
            await seen.page.evaluate(_UNFOLD)
            await seen.page.wait_for_timeout(200)
            assert await seen.page.evaluate(_NAMELESS) == [], path
            assert await seen.page.evaluate(_FAINT) == [], path


async def test_the_keyboard_comes_everywhere_and_is_seen(live: LiveServer) -> None:
    paths = await pages_of(live)
    async with visit(live) as seen:
        for path in paths:
            await seen.go(path)
            stops: list[str] = []
            for _ in range(80):
                await seen.page.keyboard.press("Tab")
                focus = await seen.page.evaluate(_FOCUS)
                if focus["body"]:
                    break
                assert focus["shows"], (path, focus["name"])
                stops.append(focus["name"])
            controls = await seen.page.locator("main :is(a[href], button:enabled)").count()
            assert len(stops) >= min(controls, 8), path
