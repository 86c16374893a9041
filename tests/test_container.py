"""Image and compose file: linted, and held to the facts that make the installation safe. No engine runs here; what the image
installs is the package, which `test_package.py` proves on the same distribution."""

import ipaddress
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from harness.gateway import Gateway
from harness.processes import BINARY, ROOT
from harness.site import NODE

FOLDER = ROOT / "deploy/container"
COMPOSE = FOLDER / "compose.yaml"


@pytest.fixture(scope="module")
def composed():
    return yaml.safe_load(COMPOSE.read_text())


def run(*words, check=True, **options):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60, **options)
    assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done


def test_the_image_lints():
    hadolint = Path(sys.executable).parent / "hadolint"
    assert run(hadolint, FOLDER / "Containerfile").stdout == ""
    # It would have something to say.
    bad = run(hadolint, "-", check=False, input="FROM debian\nRUN cd /tmp && apt-get install curl\n")
    assert bad.returncode != 0 and "DL3006" in bad.stdout


def test_the_compose_file_lints():
    # nginx is there to be reached from everywhere.
    words = ["node_modules/.bin/dclint", COMPOSE, "--quiet", "--disable-rule", "no-unbound-port-interfaces"]
    assert run(*words, cwd=NODE).stdout.strip() == ""


def test_the_image_runs_as_nobody_and_can_be_read_only():
    text = (FOLDER / "Containerfile").read_text()
    steps = [line for line in text.splitlines() if line and not line.startswith(("#", " "))]
    user = [line for line in steps if line.startswith("USER ")]
    assert user == ["USER 18789:18789"] and steps.index(user[0]) > max(steps.index(s) for s in steps if s.startswith("RUN"))
    assert any(line.startswith("HEALTHCHECK") for line in steps) and 'ENTRYPOINT ["/usr/bin/gatehouse"]' in steps
    # Whatever is copied is let through by the list of what is copied.
    allowed = [line[1:] for line in (FOLDER / "Containerfile.dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [line.split()[-2] for line in steps if line.startswith("COPY")]
    assert sorted(copied) == sorted(allowed)
    assert (FOLDER / "healthy").stat().st_mode & 0o111


def test_only_nginx_is_published(composed):
    published = {name for name, service in composed["services"].items() if service.get("ports")}
    assert published == {"nginx"} and composed["services"]["nginx"]["ports"] == ["80:80", "443:443"]
    assert not any(service.get("network_mode") == "host" or service.get("privileged") for service in composed["services"].values())


def networks(composed, name):
    """The networks that a service is on; one that lives in another's namespace is where that one is."""
    service = composed["services"][name]
    mode = service.get("network_mode", "")
    if mode == "none":
        return set()
    if mode.startswith("service:"):
        return networks(composed, mode.removeprefix("service:"))
    return set(service.get("networks") or ["default"])


def test_the_gateway_alone_reaches_ollama(composed):
    theirs = networks(composed, "ollama")
    assert theirs == {"models"} and composed["networks"]["models"] == {"internal": True}
    together = {name for name in composed["services"] if networks(composed, name) & theirs}
    assert together == {"gateway", "ollama"}
    assert networks(composed, "chat") == networks(composed, "nginx") == {"edge"}
    # With a way out is only what is started by hand, and what the world comes in by.
    out = {name for name in composed["services"] if any(not (composed["networks"][n] or {}).get("internal") for n in networks(composed, name))}
    assert out == {"nginx", "chat", "gateway", "pull"} and composed["services"]["pull"]["profiles"] == ["pull"]


def test_every_service_is_confined(composed):
    for name, service in composed["services"].items():
        assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"], name
        assert ":latest" not in service["image"] and ":" in service["image"], name
    for name in ("site", "nginx", "gateway", "chat"):
        assert composed["services"][name]["read_only"] is True, name
    assert composed["services"]["nginx"]["stop_signal"] == "SIGQUIT"
    for name in ("ollama", "pull"):
        names = composed["services"][name]["environment"]
        assert names["OLLAMA_NO_CLOUD"] == "1" and names["OLLAMA_ORIGINS"] != "*"


def test_the_configuration_fits_the_networks(composed, tmp_path):
    """Addresses are written in two files; they have to be the same."""
    table = yaml.safe_load((FOLDER / "gatehouse.yaml").read_text())
    gateway = composed["services"]["gateway"]["networks"]["edge"]["ipv4_address"]
    subnet = composed["networks"]["edge"]["ipam"]["config"][0]["subnet"]
    assert ipaddress.ip_address(gateway) in ipaddress.ip_network(subnet)
    assert table["edge"]["gateways"] == [f"{gateway}:18789"]
    assert table["chat"]["backend"]["api_base"] == f"http://{gateway}:18789/v1"
    assert table["gateway"]["trusted_proxies"] == [subnet]
    assert table["chat"]["server"]["host"] == "127.0.0.1", "the page has no accounts: nginx reaches it in the namespace they share"
    # As `site` renders it: without the page's secret, which is not in that container.
    made = run(BINARY, "edge", "nginx", "--config", FOLDER / "gatehouse.yaml", "--whole", "--nginx-version", "1.28.0").stdout
    for part in (f"server {gateway}:18789", "server 127.0.0.1:8080", "ssl_certificate /etc/gatehouse/tls/fullchain.pem", "access_log /dev/stdout"):
        assert part in made, part
    # The rest of the file is right, once the page's secret is where the container has it.
    (tmp_path / "chat.key").write_text("gh-e2e-page-0123456789abcdefghijklmnopqr")
    (tmp_path / "chat.key").chmod(0o600)
    text = (FOLDER / "gatehouse.yaml").read_text().replace("/run/secrets/chat_key", str(tmp_path / "chat.key"))
    (tmp_path / "gatehouse.yaml").write_text(text)
    assert run(BINARY, "check", tmp_path / "gatehouse.yaml").stdout.strip().endswith("ok")


def test_the_health_check_tells_health(start, play):
    """The script of the image, against a gateway that lives and one that is gone."""
    gateway: Gateway = start.gateway(play)
    port = gateway.admin_port
    assert run(FOLDER / "healthy", port, "/healthz").returncode == 0
    assert run(FOLDER / "healthy", port, "/nowhere", check=False).returncode != 0
    gateway.stop()
    assert run(FOLDER / "healthy", port, "/healthz", check=False).returncode != 0
