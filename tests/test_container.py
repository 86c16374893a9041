"""Image and compose file: linted, and held to the facts that make the installation safe. The image is built and run, by a builder
that needs no engine; the compose file is read only."""

import ipaddress
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from harness import root as roots
from harness.client import bearer, chat_body, http
from harness.gateway import Gateway, settings
from harness.image import Image
from harness.processes import BINARY, ROOT, free_port
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


@pytest.fixture(scope="module")
def image(tmp_path_factory, packages):
    folder = tmp_path_factory.mktemp("image")
    try:
        yield Image(folder, packages.first)
    except roots.Unavailable as error:
        pytest.skip(f"NO IMAGE CAN BE MADE HERE, IT IS UNTESTED: {error}")
    finally:
        # Each step's files are there whole.
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.timeout(400)
def test_the_image_holds_what_its_file_says(image):
    config = image.config()
    assert config["User"] == "18789:18789" and config["StopSignal"] == "SIGTERM"
    assert config["Entrypoint"] == ["/usr/bin/gatehouse"]
    assert config["Cmd"] == ["gateway", "--config", "/etc/gatehouse/gatehouse.yaml"]
    assert config["Healthcheck"]["Test"] == ["CMD", "healthy", "18790", "/healthz"]
    inside = image.container()
    assert inside.run("id", "--user", "--name").stdout.strip() == "gatehouse"
    assert inside.run("gatehouse", "--version").stdout == run(BINARY, "--version").stdout
    # Of a read-only image it needs two folders; only what every Debian lets everybody write is there besides.
    writable = inside.run("find", "/", "-xdev", "-type", "d", "-writable", "-not", "-path", "/proc/*", check=False).stdout.split()
    everybodys = {"/tmp", "/var/tmp", "/run/lock", "/dev/shm", "/dev/mqueue"}
    assert set(writable) - everybodys == {*config["Volumes"], "/var/lib/gatehouse-edge"}


@pytest.mark.timeout(400)
def test_a_container_serves_and_drains(image, play, tmp_path):
    """As its entry point and command say, with a configuration that it may read alone."""
    port, admin = free_port(), free_port()
    table = settings(play, port, admin, audit={"file": "/var/log/gatehouse/audit.jsonl"})
    file = tmp_path / "gatehouse.yaml"
    file.write_text(json.dumps({"gateway": table}))
    config, inside = image.config(), image.container()
    running = inside.start([*config["Entrypoint"], *config["Cmd"]], tmp_path / "log", {file: "/etc/gatehouse/gatehouse.yaml"})
    try:
        running.listens(("127.0.0.1", port))
        assert inside.run("healthy", str(admin), "/healthz").returncode == 0
        with http(f"http://127.0.0.1:{port}") as client:
            assert client.post("/v1/chat/completions", json=chat_body(), headers=bearer()).status_code == 200
        running.terminate()
        assert running.exited(20) == 0, running.text()
    finally:
        running.stop()
    assert '"status":200' in inside.run("cat", "/var/log/gatehouse/audit.jsonl").stdout
    assert inside.run("healthy", str(admin), "/healthz", check=False).returncode != 0


def test_the_site_step_of_the_compose_file_writes_what_nginx_needs(image, composed, tmp_path):
    script = composed["services"]["site"]["command"][0].replace("$$", "$")
    version = composed["services"]["site"]["environment"]["NGINX_VERSION"].split(":-")[1].rstrip("}")
    inside = image.container()
    file = tmp_path / "gatehouse.yaml"
    file.write_bytes((FOLDER / "gatehouse.yaml").read_bytes())
    inside.run("env", f"NGINX_VERSION={version}", "sh", "-ec", script, volumes={file: "/etc/gatehouse/gatehouse.yaml"})
    made = inside.run("cat", "/var/lib/gatehouse-edge/nginx.conf").stdout
    assert "http2 on;" in made and made.count("server {") >= 3
    assert inside.run("find", "/var/lib/gatehouse-edge", "-name", "*.js.gz").stdout.strip()
