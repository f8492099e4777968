"""Who may ask: everybody in dev mode, holders of a key elsewhere, and nobody sees another's."""

from pathlib import Path

from opsin.assembly import assemble
from opsin.core.access import Principal
from opsin.core.audit_log import AuditFilter
from tests.compat.whales.making import manifest, picture, settings_of, single
from tests.conftest import serve

SINGLE = "/v1/predict-single"
REGISTER = "/v1/webhook/register"
REGISTRATION = {"url": "https://example.org/", "events": ["batch_completed"]}
READS = ("/v1/drift-stats", "/v1/export", "/v1/webhooks")


async def test_with_keys_a_company_sees_its_own(model: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, manifest(model), auth="keys")
    keys = []
    async with (house := assemble(settings)).running():
        access = house.use_cases.access
        for name in ("one", "other"):
            company = await access.ensure_company(name)
            _, key = await house.use_cases.api_keys.create(Principal(company.id, name), name)
            keys.append({"x-api-key": key})
    one, other = keys
    async with serve(settings) as live:
        for path in READS:
            assert (await live.client.get(path)).status_code == 401
        answer = await live.client.post(SINGLE, **single(picture()))
        assert (answer.status_code, list(answer.json())) == (401, ["detail"])
        assert answer.headers["www-authenticate"] == "Bearer"
        wrong = await live.client.post(SINGLE, headers={"x-api-key": "x"}, **single(picture()))
        assert wrong.status_code == 401
        for path in ("/health", "/metrics"):
            assert (await live.client.get(path)).status_code == 200
        answer = await live.client.post(SINGLE, headers=one, **single(picture()))
        assert answer.status_code == 200
        made = await live.client.post(REGISTER, headers=one, json=REGISTRATION)
        path = f"/v1/webhook/{made.json()['webhook_id']}"
        for headers, count in ((one, 1), (other, 0)):
            assert (await live.client.get(READS[0], headers=headers)).json()["n"] == count
            assert (await live.client.get(READS[1], headers=headers)).json()["count"] == count
            assert (await live.client.get(READS[2], headers=headers)).json()["count"] == count
        assert (await live.client.delete(path, headers=other)).status_code == 404
        assert (await live.client.delete(path, headers=one)).status_code == 204


async def test_an_open_api_needs_no_key(model: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, manifest(model), auth="keys", whales_open=True)
    async with serve(settings) as live:
        answer = await live.client.post(SINGLE, **single(picture()))
        assert answer.status_code == 200
        made = await live.client.post(REGISTER, json=REGISTRATION)
        assert made.status_code == 201
        wrong = await live.client.post(SINGLE, headers={"x-api-key": "x"}, **single(picture()))
        assert wrong.status_code == 401
    async with (house := assemble(settings)).running():
        wanted = AuditFilter(action=("webhook.create",))
        (entry,) = await house.use_cases.audit_log.read(wanted)
    assert (entry.actor_kind, entry.actor_name, entry.actor_id) == ("open", "anybody", None)
