"""GraphiQL comes from our own files, and may do nothing but ask this server."""

import re

from tests.conftest import LiveServer


async def test_a_browser_gets_the_page_with_its_policy(live: LiveServer) -> None:
    answer = await live.client.get("/graphql", headers={"accept": "text/html"})
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy
    assert "http:" not in policy and "https:" not in policy


async def test_everything_the_page_loads_is_ours(live: LiveServer) -> None:
    page = await live.client.get("/graphql", headers={"accept": "text/html"})
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert any(a.endswith(".js") for a in addresses) and any(a.endswith(".css") for a in addresses)
    for address in addresses:
        assert address.startswith(("/static/graphiql/", "data:"))
        if not address.startswith("data:"):
            answer = await live.client.get(address)
            assert answer.status_code == 200 and answer.content
    style = await live.client.get("/static/graphiql/graphiql.css")
    assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", style.text)


async def test_a_program_gets_no_page(live: LiveServer) -> None:
    answer = await live.client.get("/graphql", params={"query": "{ viewer { name } }"})
    assert answer.json() == {"data": {"viewer": {"name": "local user"}}}
