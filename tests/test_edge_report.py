"""`gatehouse edge report` on machines of a test's own: a namespace where everything is as it should be, and then one thing is not.

The gateway, the page and nginx are the real ones. What each change turns is compared with the whole list of wrong lines, so that a
line that turns for another's fault is seen, too.
"""

import contextlib
import json
import os
import signal
import subprocess

import pytest

from harness.client import KEY
from harness.edge import main_configuration, program
from harness.gateway import digest
from harness.netns import cable, machines, run, tool  # noqa: F401
from harness.processes import BINARY, Process, wait_until

NAME = "ai.example.com"
SERVER, CLIENT = "192.0.2.1", "192.0.2.10"
SERVER6 = "2001:db8::1"
GATEWAY, PAGE, ADMIN, MODEL = 18789, 8080, 18790, 11434
# An Ollama as far as the report looks: a version, a name, an environment. It has no files that another user could not read.
RUNTIME = """
import ctypes, http.server, json, socket, sys
ctypes.CDLL(None).prctl(15, b"ollama", 0, 0, 0)
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = json.dumps({"version": sys.argv[2]} if self.path == "/api/version" else {"models": []}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer((sys.argv[1], 11434), Answer).serve_forever()
"""
CLOSED = {"OLLAMA_HOST": "127.0.0.1:11434", "OLLAMA_NO_CLOUD": "1", "OLLAMA_ORIGINS": "http://127.0.0.1:11434"}


class Server:
    """A machine with all four layers. Arguments are what a test changes."""

    def __init__(self, machine, folder, authority):
        self.machine, self.folder = machine, folder
        self.leaf = authority.leaf(NAME)
        self.running = contextlib.ExitStack()
        self.gateway = {
            "listen": f"127.0.0.1:{GATEWAY}",
            "admin_listen": f"127.0.0.1:{ADMIN}",
            "ollama_api": f"http://127.0.0.1:{MODEL}",
            "auth": {"enabled": True, "keys": [{"id": "e2e", "digest": digest(KEY), "speaks_for_users": True}]},
            "rate_limit": {"enabled": True, "max_requests": 30, "window_seconds": 60},
            "trusted_proxies": ["127.0.0.1"],
        }
        self.chat = {
            "server": {"host": "127.0.0.1", "port": PAGE},
            "backend": {"api_base": f"http://127.0.0.1:{GATEWAY}/v1", "model": "qwen3:32b", "api_key_file": "chat.key"},
            "data_dir": "data",
        }
        self.edge = {
            "domain": NAME,
            "tls": "files",
            "certificate": str(self.leaf.chain),
            "certificate_key": str(self.leaf.key),
            "assets_dir": str(folder / "assets"),
            "access_log": str(folder / "access.log"),
            "acme": {"webroot": str(folder / "acme")},
            "page": {"allow": ["127.0.0.1", "10.0.0.0/16"]},
            "nginx": {"program": program(), "main_file": str(folder / "nginx.conf"), "site_file": str(folder / "sites/gatehouse.conf")},
        }
        (folder / "chat.key").write_text(KEY)
        (folder / "chat.key").chmod(0o600)
        self.config = folder / "gatehouse.yaml"

    def write(self):
        self.config.write_text(json.dumps({"gateway": self.gateway, "chat": self.chat, "edge": self.edge}))
        self.config.chmod(0o600)

    def program(self, *arguments, prefix=(), seconds=60):
        command = [*self.machine.inside, *prefix, BINARY, *arguments]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL)
        return done

    def serve(self, name, *command, port, env=None):
        process = Process([*self.machine.inside, *command], self.folder / f"{name}.log", cwd=self.folder, env=env)
        self.running.callback(process.stop)

        def ready():
            assert process.alive(), process.text()[-4000:]
            return self.machine.reach(None, ("127.0.0.1", port))["127.0.0.1", port] == "open"

        wait_until(ready, 20, f"{name} listens: {process.text()[-2000:]}")
        return process

    def runtime(self, host="127.0.0.1", version="0.17.1", user="nobody", **environment):
        environment = {name: value for name, value in (CLOSED | environment).items() if value is not None}
        as_user = [tool("setpriv"), f"--reuid={user}", "--clear-groups"] if user != "root" else []
        # Not the environment's python: another user may not reach that one.
        self.serve("ollama", *as_user, "/usr/bin/python3", "-I", "-c", RUNTIME, host, version, port=MODEL, env=environment)

    def gateway_and_page(self):
        self.write()
        self.serve("gateway", BINARY, "gateway", "--config", self.config, port=GATEWAY)
        self.serve("chat", BINARY, "chat", "--config", self.config, port=PAGE)

    def seed_page(self):
        """The page as the seed's own file opens it."""
        seed = self.folder / "seed.yaml"
        seed.write_text(json.dumps({"server": {"host": "0.0.0.0", "port": PAGE}, "backend": self.chat["backend"], "data_dir": "data"}))
        self.serve("seed-chat", BINARY, "--as", "clawdbot", "--config", seed, port=PAGE)

    def front(self, change=lambda text: text):
        done = self.program("edge", "nginx", "--config", self.config)
        assert done.returncode == 0, done.stderr
        (self.folder / "sites").mkdir(exist_ok=True)
        (self.folder / "sites/gatehouse.conf").write_text(change(done.stdout))
        (self.folder / "nginx.conf").write_text(main_configuration(self.folder))
        where = ["-p", self.folder, "-c", self.folder / "nginx.conf", "-e", self.folder / "start.log"]
        self.serve("nginx", program(), *where, port=443)

    def rules(self):
        done = self.program("edge", "firewall", "--config", self.config)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def load(self):
        self.machine.nft("-f", "-", rules=self.rules())

    def report(self, *options, prefix=()):
        done = self.program("edge", "report", "--config", self.config, "--json", *options, prefix=prefix)
        assert done.returncode in (0, 1), done.stderr
        return Told(done.returncode, json.loads(done.stdout))


class Told:
    def __init__(self, code, document):
        self.code, self.document = code, document
        self.lines = {line["id"]: line for line in document["findings"]}
        self.layers = {row["layer"].split()[0]: row for row in document["layers"]}

    def wrong(self):
        return {name: line["mark"] for name, line in self.lines.items() if line["mark"] in ("warn", "fail")}

    def around(self):
        return [self.layers[name]["around"] for name in ("L1", "L2", "L3", "L4")]


@pytest.fixture
def server(machines, tmp_path, authority):  # noqa: F811
    """A machine with an address of the documentation's range, and nothing on it yet."""
    here, client = machines("server"), machines("client")
    cable(here, client, "lan0")
    here.address("lan0", f"{SERVER}/24", f"{SERVER6}/64")
    client.address("lan0", f"{CLIENT}/24")
    tmp_path.chmod(0o755)
    made = Server(here, tmp_path, authority)
    made.client = client
    with made.running:
        yield made


@pytest.fixture
def good(server):
    server.runtime()
    server.gateway_and_page()
    server.front()
    server.load()
    return server


def test_where_all_is_well_no_line_is_wrong_and_the_table_is_honest(good):
    told = good.report("--strict")
    assert told.wrong() == {} and told.code == 0, told.wrong()
    # As the seed says it: the first two hold; who is on the machine passes by the gateway, who has the machine has everything.
    assert told.around() == ["no", "no", "yes", "yes"]
    assert "--probe proves it" in told.layers["L1"]["because"]
    assert "users of this machine: 127.0.0.1:11434" in told.layers["L3"]["because"]
    assert "root, or the user nobody" in told.layers["L4"]["because"]
    assert told.layers["L2"]["component"] == "nginx at 443" and "TLS 1.3" in told.layers["L2"]["protection"]
    assert told.layers["L4"]["component"].startswith("ollama 0.17.1 at 127.0.0.1:11434")
    assert told.lines["l1.outside"]["mark"] == "skip" and "proves nothing" in told.lines["l1.outside"]["seen"]
    for program_name in ("nginx (pid ", "gatehouse (pid ", "ollama (pid "):
        assert program_name in told.lines["l1.listeners"]["seen"]
    assert all(line["seen"] for line in told.lines.values()), "every line has its evidence"


def test_the_table_for_people_stands_above_the_lines(good):
    done = good.program("edge", "report", "--config", good.config)
    assert done.returncode == 0, done.stderr
    head, _, rest = done.stdout.partition("  ok  l1.filter")
    assert "can it be walked around?" in head and rest
    assert [line.split("  ")[0] for line in head.splitlines() if line.startswith("L")] == [
        "L1 network", "L2 transport", "L3 application", "L4 model",
    ]  # fmt: skip
    assert max(len(line) for line in head.splitlines()) <= 122
    assert done.stdout.rstrip().splitlines()[-1].endswith("skipped")


def test_seen_from_another_namespace_the_good_machine_is_closed_and_nothing_stays_behind(good):
    links = good.machine.ip("link", "show").stdout
    told = good.report("--probe", "--strict")
    assert told.wrong() == {}, told.wrong()
    line = told.lines["l1.outside"]
    assert line["mark"] == "ok" and "open as meant: 80, 443;" in line["seen"] and "11434" in line["seen"]
    assert told.layers["L1"]["because"] == "seen from another network namespace"
    wait_until(lambda: good.machine.ip("link", "show").stdout == links, 10, "the cable is gone")
    assert "gh-" not in "".join(name for name in os.listdir("/run/netns") if not name.startswith("gh-test-"))


def ollama_for_everybody(server):
    server.runtime(host="0.0.0.0", OLLAMA_HOST="0.0.0.0:11434")


def test_a_runtime_for_everybody_is_the_model_s_line_even_behind_the_filter(server):
    ollama_for_everybody(server)
    server.gateway_and_page()
    server.front()
    server.load()
    told = server.report()
    assert told.wrong() == {"l4.bind": "fail"} and told.code == 1
    assert "OLLAMA_HOST=0.0.0.0:11434" in told.lines["l4.bind"]["seen"]
    assert "FROM OUTSIDE" not in told.layers["L3"]["because"], "the filter still stands before it"


def test_without_the_filter_a_runtime_for_everybody_is_seen_from_outside(server):
    ollama_for_everybody(server)
    server.gateway_and_page()
    server.front()
    told = server.report("--probe")
    assert told.wrong() == {"l1.filter": "fail", "l1.outside": "fail", "l4.bind": "fail"}
    assert f"{SERVER}:11434 is open: 0.0.0.0:11434 ollama" in told.lines["l1.outside"]["seen"]
    assert "FROM OUTSIDE" in told.layers["L3"]["because"]
    assert told.around() == ["yes", "no", "yes", "yes"]


def test_no_filter_is_the_filter_s_line(server):
    server.runtime()
    server.gateway_and_page()
    server.front()
    told = server.report()
    assert told.wrong() == {"l1.filter": "fail"} and told.around()[0] == "yes"


def test_without_nft_a_machine_without_a_filter_is_not_passed_over(server):
    """The program that would show the rules is the one that is missing; the answer must not be silence."""
    server.runtime()
    server.gateway_and_page()
    server.front()
    hidden = [tool("unshare"), "--mount", "sh", "-c", f'mount --bind /dev/null {tool("nft")} && exec "$@"', "sh"]
    told = server.report(prefix=hidden)
    assert told.wrong() == {"l1.filter": "fail"} and told.code == 1 and told.around()[0] == "yes"
    assert "apt-get install nftables" in told.lines["l1.filter"]["fix"]
    assert told.lines["l1.published"]["mark"] == "skip"
    if not tool("iptables"):
        return
    run(*server.machine.inside, tool("iptables"), "-A", "INPUT", "!", "-i", "lo", "-p", "tcp", "--dport", "11434", "-j", "DROP")
    told = server.report(prefix=hidden)
    assert told.wrong() == {"l1.filter": "warn"} and told.around()[0] == "unknown"
    without = [tool("setpriv"), "--bounding-set=-all", "--inh-caps=-all"]
    told = server.report(prefix=[*hidden, *without])
    assert told.lines["l1.filter"]["mark"] == "skip" and "root" in told.lines["l1.filter"]["seen"]
    assert told.around()[0] == "unknown"


def test_a_gateway_for_everybody_without_a_filter_is_reached_beside_https(server):
    server.gateway |= {"listen": f"0.0.0.0:{GATEWAY}", "whitelist": {"ips": ["127.0.0.1", "10.0.0.0/16"]}}
    server.runtime()
    server.gateway_and_page()
    server.front()
    told = server.report()
    assert told.wrong() == {"l1.filter": "fail", "l2.gateway-direct": "fail"}
    assert told.around()[:2] == ["yes", "yes"]
    server.load()
    told = server.report("--probe")
    assert told.wrong() == {}, "behind the filter it is for its list"


def test_a_page_for_everybody_is_its_own_line(server):
    server.runtime()
    server.write()
    server.serve("gateway", BINARY, "gateway", "--config", server.config, port=GATEWAY)
    server.seed_page()
    server.front()
    told = server.report()
    assert told.wrong() == {"l1.filter": "fail", "l2.page-direct": "fail"} and told.around()[1] == "yes"
    server.load()
    told = server.report()
    assert told.wrong() == {"l2.page-direct": "warn"}, "only the filter stands before it"
    assert told.around()[1] == "no"


@pytest.mark.parametrize("page", [{}, {"allow": ["127.0.0.1", "0.0.0.0/0"]}, {"allow": ["0.0.0.0/1", "128.0.0.0/1"]}], ids=["open", "everybody", "in halves"])
def test_a_page_that_asks_nobody_is_a_way_around_keys(server, page):
    server.edge["page"] = page
    server.runtime()
    server.gateway_and_page()
    server.front()
    server.load()
    told = server.report()
    assert told.wrong() == {"l3.page": "fail"} and told.code == 1
    assert "FROM OUTSIDE, through the page at 443" in told.layers["L3"]["because"] and told.around()[2] == "yes"
    server.edge["page"] = page | {"password_file": "/etc/hostname"}
    server.write()
    assert "l3.page" not in server.report().wrong()


OTHER = """server {
    listen 443 ssl;
    server_name ollama.lan;
    ssl_certificate %s;
    ssl_certificate_key %s;
    location / { proxy_pass http://127.0.0.1:%s; proxy_set_header Host localhost; }
}
"""


def test_another_site_of_the_same_nginx_walks_around_everything(server):
    server.runtime()
    server.gateway_and_page()
    (server.folder / "sites").mkdir()
    other = server.folder / "sites/other.conf"
    other.write_text(OTHER % (server.leaf.chain, server.leaf.key, MODEL))
    server.front()
    server.load()
    told = server.report("--probe")
    assert told.wrong() == {"l2.foreign-sites": "fail"} and told.code == 1
    assert f"ollama.lan ({other}:6)" in told.lines["l2.foreign-sites"]["seen"]
    assert told.around() == ["no", "yes", "yes", "yes"]
    assert "FROM OUTSIDE" in told.layers["L3"]["because"] and "ollama.lan" in told.layers["L4"]["because"]
    other.write_text(OTHER % (server.leaf.chain, server.leaf.key, 3000))
    assert server.report().wrong() == {}, "a site that serves something else is nobody's affair"


def test_a_gateway_that_asks_nobody_for_a_key(server):
    server.gateway["auth"] = {"enabled": False}
    server.runtime()
    server.gateway_and_page()
    server.front()
    server.load()
    told = server.report()
    assert told.wrong() == {"l3.keys": "fail"}
    assert "asks nobody for a key" in told.layers["L3"]["because"]


@pytest.mark.parametrize(
    "runtime, expected",
    [
        ({"version": "0.17.0"}, {"l4.version": "fail"}),
        ({"version": "from-source"}, {"l4.version": "warn"}),
        ({"OLLAMA_ORIGINS": "http://localhost,*"}, {"l4.origins": "fail"}),
        ({"OLLAMA_NO_CLOUD": None}, {"l4.cloud": "warn"}),
        ({"user": "root"}, {"l4.user": "warn"}),
    ],
    ids=["old", "of no known age", "any origin", "cloud", "root"],
)
def test_each_weakness_of_the_runtime_is_its_own_line(server, runtime, expected):
    server.runtime(**runtime)
    server.gateway_and_page()
    server.front()
    server.load()
    told = server.report()
    assert told.wrong() == expected
    assert told.code == (1 if "fail" in expected.values() else 0)


@pytest.mark.parametrize(
    "change, expected",
    [
        ({"rate_limit": {"enabled": False}}, {"l3.limits": "warn"}),
        ({"whitelist": {"ips": ["127.0.0.1", "0.0.0.0/0"]}}, {"l3.addresses": "warn"}),
        ({"auth": {"enabled": True, "keys": [{"id": "m", "digest": digest(KEY), "manage": ["pull"]}]}}, {"l4.pull": "warn"}),
    ],
    ids=["no limits", "a list of everybody", "a key that may pull"],
)
def test_each_leave_of_the_configuration_is_its_own_line(server, change, expected):
    server.gateway |= change
    server.runtime()
    server.gateway_and_page()
    server.front()
    server.load()
    told = server.report()
    assert told.wrong() == expected
    assert server.report("--strict").code == 1


def test_rules_that_are_not_the_configuration_s_any_more(good):
    good.machine.nft("add", "rule", "inet", "gatehouse", "input", "tcp", "dport", "11434", "accept")
    told = good.report()
    assert told.wrong() == {"l1.current": "fail"} and told.around()[0] == "yes"
    assert "11434" in told.lines["l1.current"]["seen"]
    good.load()
    assert good.report().wrong() == {}
    # What changes by itself is no difference: counts, and the addresses whose pace is remembered.
    good.client.reach(CLIENT, (SERVER, 22), (SERVER, MODEL))
    assert good.report().wrong() == {}


def test_a_policy_that_lets_everything_in(good):
    good.machine.nft("-f", "-", rules="chain inet gatehouse input { policy accept; }\n")
    told = good.report()
    assert told.wrong() == {"l1.filter": "fail", "l1.current": "fail"}


def test_other_people_s_rules_are_looked_through_from_outside(server):
    """ufw, firewalld or an administrator's own: what they let in is not known before it is tried."""
    server.runtime()
    server.gateway_and_page()
    server.front()
    held = server.machine.listen("0.0.0.0", 5432)
    other = "table inet mine {\n\tchain input {\n\t\ttype filter hook input priority 0; policy drop;\n\t\tiif lo accept\n\t\tct state established accept\n\t\tmeta l4proto ipv6-icmp accept\n\t\ttcp dport { 80, 443%s } accept\n\t}\n}\n"
    server.machine.nft("-f", "-", rules=other % "")
    told = server.report()
    assert told.wrong() == {"l1.filter": "warn", "l1.listeners": "warn"}
    assert "inet mine input (policy drop)" in told.lines["l1.filter"]["seen"] and told.around()[0] == "unknown"
    told = server.report("--probe")
    assert told.wrong() == {"l1.filter": "warn"} and told.around()[0] == "no"
    server.machine.nft("-f", "-", rules="flush ruleset\n" + other % ", 5432")
    told = server.report("--probe")
    assert told.lines["l1.outside"]["mark"] == "fail" and f"{SERVER}:5432" in told.lines["l1.outside"]["seen"]
    assert told.around()[0] == "yes"
    for one in held:
        one.close()


def test_something_else_that_listens_for_everybody_is_named(good):
    held = good.machine.listen("0.0.0.0", 5432)
    assert good.report("--probe").wrong() == {}, "the filter closes it"
    good.machine.nft("delete", "table", "inet", "gatehouse")
    told = good.report()
    assert told.wrong() == {"l1.filter": "fail", "l1.listeners": "warn"}
    assert "0.0.0.0:5432" in told.lines["l1.listeners"]["seen"]
    for one in held:
        one.close()


def test_published_ports_are_found_in_the_rules(good):
    publish = "table ip nat {\n\tchain prerouting {\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n\t\ttcp dport %s dnat to 198.51.100.2\n\t}\n}\n"
    good.machine.nft("-f", "-", rules=publish % "443")
    assert good.report().wrong() == {}, "443 is meant to be open"
    good.machine.nft("-f", "-", rules="flush table ip nat\n" + publish % "{ 443, 5432 }")
    told = good.report()
    assert told.wrong() == {"l1.published": "warn"} and "5432" in told.lines["l1.published"]["seen"]
    mapped = (publish % "5433").replace("tcp dport 5433 dnat to 198.51.100.2", "dnat to tcp dport map { 5433 : 198.51.100.2 }")
    good.machine.nft("-f", "-", rules="flush table ip nat\n" + mapped)
    told = good.report()
    assert told.wrong() == {"l1.published": "warn"} and "5433" in told.lines["l1.published"]["seen"]
    good.machine.nft("-f", "-", rules="flush table ip nat\n" + publish % "11434")
    told = good.report()
    assert told.wrong() == {"l4.bind": "fail"}, "closed by our chain `forward`, and still not this machine's alone"
    good.machine.nft("delete", "table", "inet", "gatehouse")
    assert set(good.report().wrong()) == {"l1.filter", "l1.published", "l4.bind"}


def test_without_a_front_there_is_no_second_layer(server):
    server.runtime()
    server.gateway_and_page()
    server.load()
    told = server.report()
    assert told.wrong() == {"l2.tls": "fail"} and told.around()[1] == "unknown"
    assert "takes no connection" in told.lines["l2.tls"]["seen"]


def test_plain_http_that_serves_is_a_way_around(server):
    server.runtime()
    server.gateway_and_page()
    redirect = "return 308 https://"
    assert server.front(lambda text: text) is None
    site = (server.folder / "sites/gatehouse.conf").read_text()
    assert redirect in site, "the site says it so; this test replaces it"
    lines = ["return 200;" if redirect in line else line for line in site.splitlines()]
    (server.folder / "sites/gatehouse.conf").write_text("\n".join(lines))
    run(*server.machine.inside, program(), "-p", server.folder, "-c", server.folder / "nginx.conf", "-s", "reload")
    server.load()

    def turned():
        told = server.report()
        return told if told.wrong() == {"l2.redirect": "fail"} else None

    # Of one and the same report: the next may meet an old worker once more.
    told = wait_until(turned, 20, "the new site is served and told")
    assert told.around()[1] == "yes"


def test_a_gateway_for_a_lan_without_a_domain_has_a_report(server):
    """No site, no page for others: rules and report are wanted there no less, and that nothing is encrypted is said."""
    del server.edge["domain"]
    server.gateway |= {"listen": f"0.0.0.0:{GATEWAY}", "whitelist": {"ips": ["127.0.0.1", "10.0.0.0/16"]}}
    server.runtime()
    server.gateway_and_page()
    server.load()
    told = server.report("--probe")
    assert told.wrong() == {"l2.tls": "warn"} and told.code == 0
    assert "nothing is encrypted" in told.lines["l2.tls"]["seen"] and told.around()[:2] == ["no", "yes"]


def test_a_certificate_for_another_name(server, authority):
    other = authority.leaf("other.example.com")
    server.edge |= {"certificate": str(other.chain), "certificate_key": str(other.key)}
    server.runtime()
    server.gateway_and_page()
    server.front()
    server.load()
    told = server.report()
    assert told.wrong() == {"l2.tls": "fail"} and "not for ai.example.com" in told.lines["l2.tls"]["seen"]


def test_without_tls_everybody_on_the_way_reads(server):
    server.edge = {name: value for name, value in server.edge.items() if not name.startswith("certificate")} | {"tls": "off"}
    server.runtime()
    server.gateway_and_page()
    server.load()
    told = server.report()
    assert told.lines["l2.tls"]["mark"] == "warn" and told.around()[1] == "yes"


def test_a_file_that_the_gateway_has_not_read_yet(good):
    good.gateway["rate_limit"]["max_requests"] = 60
    good.write()
    stat = good.config.stat()
    os.utime(good.config, (stat.st_atime + 60, stat.st_mtime + 60))
    assert good.report().wrong() == {"l3.current": "warn"}


def test_who_is_not_root_is_told_what_cannot_be_seen(good):
    without = [tool("setpriv"), "--bounding-set=-all", "--inh-caps=-all"]
    told = good.report(prefix=without)
    assert told.wrong() == {}
    assert told.lines["l1.filter"]["mark"] == "skip" and "root" in told.lines["l1.filter"]["seen"]
    assert told.lines["l1.published"]["mark"] == "skip", "what cannot be read is not absent"
    assert told.around()[0] == "unknown"
    assert "a program that cannot be seen from here" in told.lines["l1.listeners"]["seen"]
    told = good.report("--probe", prefix=without)
    assert told.lines["l1.outside"]["mark"] == "warn" and "root" in told.lines["l1.outside"]["fix"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_look_that_is_ended_leaves_nothing_behind(good, number):
    links = good.machine.ip("link", "show").stdout
    command = [*good.machine.inside, BINARY, "edge", "report", "--config", good.config, "--probe"]
    look = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    wait_until(lambda: "gh-look-" in good.machine.ip("link", "show").stdout, 20, "the cable is laid")
    look.send_signal(number)
    look.wait(timeout=20)
    wait_until(lambda: good.machine.ip("link", "show").stdout == links, 20, "the cable is gone")
    assert good.report("--probe").wrong() == {}
