"""The chat page in Debian's Chromium: runs `node/browser.test.mjs` against site, gateway and a played Ollama."""

import base64
import hashlib
import json
import re
import shutil

import pytest

from harness.certificates import openssl
from harness.client import KEY, Raw, http
from harness.front import Front
from harness.gateway import digest
from harness.house import NAME, House
from harness.site import Site, node


@pytest.fixture
def site(start, play):
    key = {"id": "site", "digest": digest(KEY), "speaks_for_users": True}
    gateway = start.gateway(play, auth={"enabled": True, "keys": [key]})
    made = Site(start.folder / "site", gateway, KEY)
    start.running.append(made)
    return made


@pytest.mark.browser
@pytest.mark.timeout(330)
def test_page(site, play):
    if not shutil.which("chromium"):
        pytest.fail("Chromium is missing: apt-get install chromium")
    node("browser.test.mjs", 300, SITE_URL=site.url, PLAY_CONTROL=play.control_url.rstrip("/"))


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_page_through_nginx_and_https(start, play):
    """By its name, over HTTP/2, with the site that the program renders; pieces arrive one by one and stop means stop."""
    house = House(start.folder / "house", play)
    start.running.append(house)
    in_chromium(house.start(), play)
    lines = house.access()
    assert {line["protocol"] for line in lines} == {"HTTP/2.0"}
    assert any(line["path"].startswith("/assets/") and not line["upstream"] for line in lines), "files come from the disk"


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_page_through_https_of_up(start, play):
    """The same without nginx."""
    front = Front(start.folder / "front", play)
    start.running.append(front)
    in_chromium(front.start(), play)


def in_chromium(house, play):
    public = openssl("x509", "-in", house.leaf.chain, "-pubkey", "-noout", cwd=house.folder)
    digest = hashlib.sha256(base64.b64decode("".join(public.splitlines()[1:-1]))).digest()
    trusted = base64.b64encode(digest).decode()
    arguments = [f"--host-resolver-rules=MAP {NAME} 127.0.0.1", f"--ignore-certificate-errors-spki-list={trusted}"]
    names = {"SITE_URL": house.url, "PLAY_CONTROL": play.control_url.rstrip("/"), "CHROMIUM_ARGS": json.dumps(arguments)}
    node("browser.test.mjs", 100, only="piece by piece|stop frees|a reload keeps", **names)


def ask(site, **headers):
    body = json.dumps({})
    with http(site.url) as client:
        return client.post("/api/chats", content=body, headers={"content-type": "application/json", **headers})


def test_only_the_page_itself_may_change_anything(site):
    own = {"origin": site.url, "sec-fetch-site": "same-origin"}
    assert ask(site, **own).status_code == 201
    assert ask(site, origin="http://evil.example", **{"sec-fetch-site": "cross-site"}).status_code == 403
    assert ask(site, origin="http://evil.example").status_code == 403
    assert ask(site, **own, **{"content-type": "text/plain"}).status_code in (403, 415)
    assert ask(site, **own, host="evil.example").status_code in (403, 421)


def test_headers_of_every_answer(site):
    with http(site.url) as client:
        for path in ("/", "/health", "/api/setup", "/absent", "/api/chats/absent", "/assets/absent.js"):
            headers = client.get(path).headers
            assert headers["x-content-type-options"] == "nosniff", path
            assert "frame-ancestors 'none'" in headers["content-security-policy"] or headers["x-frame-options"] == "DENY"
            assert headers["referrer-policy"] == "no-referrer", path
        page = client.get("/")
        assert page.headers["cache-control"] == "no-store"
        assert "<script" in page.text and "style=" not in page.text
        script = re.search(r'src="\.?(/assets/[^"]+\.js)"', page.text).group(1)
        asset = client.get(script, headers={"accept-encoding": "br"})
        assert "immutable" in asset.headers["cache-control"] and asset.headers["content-encoding"] == "br"
        again = client.get(script, headers={"if-none-match": asset.headers["etag"], "accept-encoding": "br"})
        assert again.status_code == 304


def test_no_path_leads_out_of_the_assets(site):
    for path in ("/assets/../Cargo.toml", "/assets/%2e%2e/x", "/..%2f..%2fetc/passwd", "/assets//etc/passwd"):
        with Raw(site.url.removeprefix("http://")) as raw:
            raw.send(f"GET {path} HTTP/1.1\r\nHost: {site.url[7:]}\r\nConnection: close\r\n\r\n".encode())
            answer = raw.rest()
        assert b" 404 " in answer[:20] or b" 400 " in answer[:20], (path, answer[:80])


def test_the_key_never_reaches_the_browser(site):
    with http(site.url) as client:
        for path in ("/", "/api/setup", "/api/models", "/api/chats"):
            assert KEY not in client.get(path).text
