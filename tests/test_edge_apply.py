"""`gatehouse edge apply` on a running nginx: what is proved stays, what is not is put back, whatever happens in between."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import threading

import pytest

from harness.client import bearer, chat_body
from harness.edge import main_configuration, program
from harness.house import NAME, House, gatehouse
from harness.play import PlayedOllama, line
from harness.play import stream as played
from harness.processes import BINARY, Process, accepts, free_port, wait_until

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")


@pytest.fixture(scope="module")
def play(tmp_path_factory):
    played = PlayedOllama(tmp_path_factory.mktemp("play") / "play.log")
    yield played
    played.stop()


@pytest.fixture
def make(tmp_path, play):
    made = []

    def house(site=True, **changes):
        made.append(House(tmp_path / f"house-{len(made)}", play, **changes))
        made[-1].start(site=site)
        wait_until(lambda: workers(made[-1]), 10, "nginx has workers")
        return made[-1]

    yield house
    for one in made:
        one.stop()


@pytest.fixture
def house(make):
    return make()


def workers(house):
    """Process ids of nginx's workers, those that are leaving too."""
    file = house.folder / "nginx/nginx.pid"
    text = file.read_text().strip() if file.exists() else ""
    listed = subprocess.run(["pgrep", "-P", text], capture_output=True, text=True, timeout=10) if text else None
    return set(listed.stdout.split()) if listed else set()


def apply(house, *arguments, **options):
    return gatehouse("edge", "apply", "--config", house.config, "--ca-file", house.authority.root, *arguments, **options)


def sites(house):
    return house.folder / "nginx/sites"


def installed(house):
    return (sites(house) / "gatehouse.conf").read_text()


def beside(house):
    """What lies there, but for the lock."""
    return sorted(file.name for file in sites(house).iterdir() if not file.name.endswith(".lock"))


def everything(folder):
    return {str(file): (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.rglob("*") if file.is_file() and file.suffix != ".log"}


def served(house, path="/v1/models"):
    """The status that a browser would get, by curl; 0 where nobody answers."""
    done = subprocess.run(
        ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "5", "--cacert", house.authority.root,
         "--resolve", f"{NAME}:{house.https}:127.0.0.1", f"{house.url}{path}"],
        capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    return int(done.stdout or 0)


def change(house, **edge):
    house.sections["edge"].update(edge)
    house.write()


def test_the_first_site_is_tried_then_applied_then_left_alone(make):
    house = make(site=False)
    # Names that lead from the main file's folder have to lead there from a trial, too.
    nginx = house.folder / "nginx"
    (nginx / "mime.types").write_text("types { text/html html; }\n")
    main = (nginx / "nginx.conf").read_text().replace("http {", "http {\n    include mime.types;")
    (nginx / "nginx.conf").write_text(main)
    before = everything(nginx)
    tried = apply(house, "--dry-run")
    assert tried.returncode == 0, tried.stderr
    assert "+ upstream gatehouse_gateway" in tried.stdout and "nginx would take it" in tried.stderr
    assert everything(nginx) == before and beside(house) == []
    first = apply(house)
    assert first.returncode == 0, first.stderr
    assert first.stdout == tried.stdout
    assert "new workers serve" in first.stderr and "0 do not" in first.stderr
    assert beside(house) == ["gatehouse.conf"] and served(house) == 401
    again = apply(house)
    assert again.returncode == 0, again.stderr
    assert again.stdout == "" and "is as it should be" in again.stderr
    assert beside(house) == ["gatehouse.conf"]


def test_a_change_is_shown_and_applied_while_an_answer_runs(house, play):
    play.reset()
    play.chat(played(line("before"), {"gate": "applied"}, line("after"), line("", done=True)))
    command = [
        "curl", "-sN", "--max-time", "80", "--cacert", house.authority.root, "--resolve", f"{NAME}:{house.https}:127.0.0.1",
        "-H", f"authorization: {bearer()['authorization']}", "-H", "content-type: application/json",
        "-d", json.dumps(chat_body(stream=True)), f"{house.url}/v1/chat/completions",
    ]  # fmt: skip
    stream = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    play.wait(in_flight_at_least=1)
    old = installed(house)
    change(house, rates={"requests_per_second": 40})
    done = apply(house)
    assert done.returncode == 0, done.stderr
    changed = [row for row in done.stdout.splitlines() if row[:2] in ("- ", "+ ")]
    assert [row.split("rate=")[1] for row in changed] == ["50r/s;", "40r/s;"]
    assert (sites(house) / ".gatehouse.conf.bak").read_text() == old != installed(house)
    assert stream.poll() is None
    play.open_gate("applied")
    out, _ = stream.communicate(timeout=30)
    assert "before" in out and "after" in out and out.rstrip().endswith("data: [DONE]"), out[-300:]
    play.reset()


def test_another_default_server_is_named_and_the_old_site_is_put_back(make):
    house = make(site=False)
    other = sites(house) / "default.conf"
    other.write_text(f"server {{ listen 127.0.0.1:{house.http} default_server; return 200 other; }}\n")
    tried = apply(house, "--dry-run")
    assert tried.returncode == 1
    done = apply(house)
    assert done.returncode == 1
    for said in (tried.stderr, done.stderr):
        assert "duplicate default server" in said
        assert f"listen 127.0.0.1:{house.http} default_server` ({other}:1) wants to be the default server too" in said
        assert "rm /etc/nginx/sites-enabled/default" in said
    assert "the site is removed again" in done.stderr and "goes on with what it had" in done.stderr
    assert beside(house) == ["default.conf"]
    other.unlink()
    assert apply(house).returncode == 0
    assert served(house) == 401


def test_a_site_that_nginx_does_not_read_is_no_site(make):
    house = make(site=False)
    elsewhere = house.folder / "elsewhere"
    elsewhere.mkdir()
    house.sections["edge"]["nginx"]["site_file"] = str(elsewhere / "gatehouse.conf")
    house.write()
    for arguments in (["--dry-run"], []):
        done = apply(house, *arguments)
        assert done.returncode == 1
        assert f"does not include {elsewhere}/gatehouse.conf: add `include {elsewhere}/*.conf;`" in done.stderr
    assert not (elsewhere / "gatehouse.conf").exists()


def test_a_site_that_keeps_less_than_the_old_one_is_put_back(house):
    """Nobody is at the gateway's new address: nginx takes the file, and only asking shows it."""
    old = installed(house)
    change(house, gateways=[f"127.0.0.1:{free_port()}"])
    done = apply(house)
    assert done.returncode == 1
    assert "not applied: api.answers: the gateway answers behind the site" in done.stderr
    assert "nginx answers 502" in done.stderr and "start the gateway" in done.stderr
    assert "the old site is back" in done.stderr and "reloaded: it serves again" in done.stderr
    assert installed(house) == old and beside(house) == ["gatehouse.conf"]
    assert served(house) == 401


def test_what_was_wrong_before_is_told_and_keeps_nobody_from_applying(make):
    house = make(site=False)
    main = house.folder / "nginx/nginx.conf"
    main.write_text(main.read_text().replace("worker_connections 4096", "worker_connections 768"))
    done = apply(house)
    assert done.returncode == 0, done.stderr
    assert "not this site's doing: main.connections: `worker_connections 768`" in done.stderr
    assert "1 do not" in done.stderr
    assert served(house) == 401


def test_a_port_that_is_taken_is_found_after_the_reload(house):
    """`nginx -t` does not bind, and `nginx -s reload` says that all is well."""
    old = installed(house)
    # Not one that the system gives to clients: nginx wants it afterwards.
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        change(house, https_listen=[f"127.0.0.1:{house.https}", f"127.0.0.1:{port}"])
        done = apply(house)
        assert done.returncode == 1
        assert f"nginx kept its old configuration: " in done.stderr and f"bind() to 127.0.0.1:{port} failed" in done.stderr
        assert "another program has that port" in done.stderr
        assert installed(house) == old and served(house) == 401
    assert apply(house).returncode == 0
    assert accepts(("127.0.0.1", port)) and served(house) == 401


def test_an_nginx_that_does_not_run_is_said(make):
    house = make(site=False)
    house.running.remove(house.nginx)
    house.nginx.stop()
    done = apply(house)
    assert done.returncode == 1
    assert "nginx does not run: start it" in done.stderr
    assert beside(house) == ["gatehouse.conf"]
    nginx = house.folder / "nginx"
    house.running.append(Process([program(), "-p", nginx, "-c", nginx / "nginx.conf", "-e", nginx / "start.log"], nginx / "again.log"))
    house.running[-1].listens(("127.0.0.1", house.https))
    assert served(house) == 401


def test_a_pid_file_that_is_left_over_leads_to_no_other_program(make):
    """nginx has ended without tidying up, and its number is somebody else's by now."""
    house = make(site=False)
    house.running.remove(house.nginx)
    house.nginx.stop()
    other = subprocess.Popen(["sleep", "300"])
    try:
        (house.folder / "nginx/nginx.pid").write_text(f"{other.pid}\n")
        done = apply(house)
        assert done.returncode == 1
        assert "nginx does not run: start it" in done.stderr and "applied" not in done.stderr
        deployed = gatehouse("cert", "deploy", "--config", house.config)
        assert deployed.returncode == 3
        assert f"nginx.pid is left over, and its number {other.pid} is another program's by now" in deployed.stdout + deployed.stderr
        assert other.poll() is None
    finally:
        other.kill()
        other.wait(timeout=10)


def test_a_site_that_cannot_be_looked_at_in_time_is_not_called_applied(make):
    house = make(site=False, edge={"rates": {"requests_per_second": 1, "burst": 1}})
    done = apply(house, seconds=150)
    assert done.returncode == 3
    assert "nothing proves that it serves: the check was not done within 55 s" in done.stderr
    assert "`edge.rates` (1 requests a second, 1 at once)" in done.stderr and "applied:" not in done.stderr
    assert beside(house) == ["gatehouse.conf"]
    # What needs no request is known at once.
    seen = gatehouse("edge", "check", "--config", house.config, "--json", "--only", "config,main", seconds=20)
    assert seen.returncode == 0, seen.stdout
    marks = {finding["id"]: finding["mark"] for finding in json.loads(seen.stdout)["findings"]}
    assert marks["config.loads"] == marks["config.plain"] == marks["main.connections"] == "ok"


def test_without_a_certificate_nothing_is_touched(make):
    house = make(site=False)
    change(house, certificate=str(house.folder / "none.pem"))
    for arguments in (["--dry-run"], []):
        done = apply(house, *arguments)
        assert done.returncode == 3
        assert "there is no" in done.stderr and "none.pem" in done.stderr and "edge.certificate" in done.stderr
    assert beside(house) == []


def test_one_apply_at_a_time(house):
    change(house, rates={"requests_per_second": 41})
    with (sites(house) / ".gatehouse.conf.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = apply(house)
        assert done.returncode == 3 and "another `gatehouse edge apply` is at work" in done.stderr
        assert apply(house, "--dry-run").returncode == 0, "looking needs no lock"
    ended = []
    both = [threading.Thread(target=lambda: ended.append(apply(house))) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(timeout=60)
    assert sorted(done.returncode for done in ended)[0] == 0
    assert {done.returncode for done in ended} <= {0, 3}
    assert "rate=41r/s" in installed(house) and served(house) == 401


def test_an_apply_that_was_killed_is_healed_by_the_next(house, play):
    """At whatever step it dies: nginx serves on, and the next apply begins with the site that was proved."""
    mark = sites(house) / ".gatehouse.conf.unfinished"
    # Each check asks twice for an answer. Those of the one before the change come; those of the one behind it hang until the kill.
    end = line("", done=True)
    whole, held = played(line("one"), {"sleep_ms": 1000}, line("two"), end), played(line("one"), {"gate": "never"}, end)
    # When the old file is put aside, when new workers begin, when the old ones are gone and the checks are at work.
    waits = [
        lambda before: mark.exists(),
        lambda before: workers(house) - before,
        lambda before: workers(house) and not workers(house) & before,
    ]
    for number, reached in enumerate(waits):
        play.reset()
        play.chat(whole, whole, held, sticky=True)
        proved, others = installed(house), beside(house)
        change(house, rates={"requests_per_second": 60 + number})
        before = workers(house)
        child = subprocess.Popen(
            [BINARY, "edge", "apply", "--config", house.config, "--ca-file", house.authority.root, "--key-file", house.folder / "chat.key"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_until(lambda: reached(before) or child.poll() is not None, 20, "it has come so far")
        os.kill(child.pid, signal.SIGKILL)
        child.wait(timeout=10)
        assert mark.exists(), f"step {number}: it had ended before"
        assert mark.read_text() == proved and served(house) == 401
        # Of a site that nobody proved a copy is kept; killed a moment earlier, it had not been written yet.
        left = installed(house) != proved or ".gatehouse.conf.left" in others
        healed = apply(house)
        assert healed.returncode == 0, healed.stderr
        assert "did not come to its end" in healed.stderr
        assert f"rate={60 + number}r/s" in installed(house) and served(house) == 401
        assert beside(house) == [".gatehouse.conf.bak", *[".gatehouse.conf.left"] * left, "gatehouse.conf"]
        assert (sites(house) / ".gatehouse.conf.bak").read_text() == proved
    play.reset()


def test_an_unproved_site_of_a_killed_apply_does_not_become_the_old_one(house):
    """It was killed after the reload, with a site that fails: that one must not pass for what was well before."""
    good = installed(house)
    (sites(house) / ".gatehouse.conf.unfinished").write_text(good)
    (sites(house) / "gatehouse.conf").write_text(good.replace("max_fails=0", "max_fails=3"))
    change(house, gateways=[f"127.0.0.1:{free_port()}"])
    done = apply(house)
    assert done.returncode == 1 and "api.answers" in done.stderr
    assert installed(house) == good and beside(house) == [".gatehouse.conf.left", "gatehouse.conf"] and served(house) == 401


@ROOT
def test_a_full_disk_changes_nothing(house):
    text = installed(house)
    folder = sites(house)
    change(house, rates={"requests_per_second": 42})
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=True, timeout=30)
    try:
        (folder / "gatehouse.conf").write_text(text)
        full = os.open(folder / "full", os.O_WRONLY | os.O_CREAT)
        with pytest.raises(OSError):
            while True:
                os.write(full, b"x" * 4096)
        os.close(full)
        done = apply(house)
        assert done.returncode == 3 and "make room there" in done.stderr and "No space left" in done.stderr
        assert installed(house) == text and beside(house) == ["full", "gatehouse.conf"]
        assert served(house) == 401
        (folder / "full").unlink()
        assert apply(house).returncode == 0
        assert "rate=42r/s" in installed(house)
    finally:
        subprocess.run(["umount", str(folder)], check=True, timeout=30)


def test_a_link_to_the_site_stays_a_link(make):
    """Debian keeps sites in one folder and links to those in use from another."""
    house = make(site=False)
    available = house.folder / "nginx/available"
    available.mkdir()
    (available / "gatehouse.conf").write_text("")
    (sites(house) / "gatehouse.conf").symlink_to(available / "gatehouse.conf")
    for arguments in (["--dry-run"], []):
        done = apply(house, *arguments)
        assert done.returncode == 0, done.stderr
    assert (sites(house) / "gatehouse.conf").is_symlink() and beside(house) == ["gatehouse.conf"]
    assert "gatehouse_gateway" in (available / "gatehouse.conf").read_text() and served(house) == 401


def test_a_main_file_that_is_broken_by_others_is_said_and_nothing_stays(house):
    old = installed(house)
    main = house.folder / "nginx/nginx.conf"
    main.write_text(main_configuration(house.folder / "nginx").replace("http {", "http {\n    no_such_thing on;"))
    change(house, rates={"requests_per_second": 43})
    tried = apply(house, "--dry-run")
    assert tried.returncode == 1 and "`no_such_thing on;`" in tried.stderr
    done = apply(house)
    assert done.returncode == 1
    assert "unknown directive" in done.stderr and f"{main}:" in done.stderr
    assert installed(house) == old and served(house) == 401


LONG = "ec2-203-0-113-25.eu-central-1.compute.amazonaws.com"


def test_a_name_as_clouds_give_it_fits_and_another_file_s_line_is_not_doubled(make):
    """nginx's table takes names of 46 characters, unless somebody says more; and that can be said once."""
    house = make(site=False, names=(LONG,))
    done = apply(house)
    assert done.returncode == 0, done.stderr
    assert "server_names_hash_bucket_size 128;" in installed(house)
    main = house.folder / "nginx/nginx.conf"
    text = main.read_text()
    main.write_text(text.replace("http {", "http {\n    server_names_hash_bucket_size 128;"))
    done = apply(house)
    assert done.returncode == 0, done.stderr
    assert "server_names_hash_bucket_size" not in installed(house)
    main.write_text(text.replace("http {", "http {\n    server_names_hash_bucket_size 64;"))
    for arguments in (["--dry-run"], []):
        done = apply(house, *arguments)
        assert done.returncode == 1
        assert f"too small for this one (`server_names_hash_bucket_size 64` ({main}:" in done.stderr
        assert "put `server_names_hash_bucket_size 512;` there" in done.stderr


def test_another_site_with_our_name_is_named_and_nothing_else(make):
    """nginx takes the one that it reads first, and ends well."""
    house = make(site=False)
    other = sites(house) / "another.conf"
    other.write_text(
        f"server {{ listen 127.0.0.1:{house.https} ssl; server_name {NAME}; ssl_certificate {house.leaf.chain};"
        f" ssl_certificate_key {house.leaf.key}; return 200 other; }}\n"
    )
    done = apply(house)
    assert done.returncode == 1
    assert f'conflicting server name "{NAME}" on 127.0.0.1:{house.https}' in done.stderr
    assert f"not applied: another site answers to {NAME} as well ({other}:1), and nginx takes one of the two alone" in done.stderr
    assert "take the name out there" in done.stderr and len(done.stderr.splitlines()) < 12, done.stderr
    assert beside(house) == ["another.conf"]


def test_a_link_that_leads_nowhere_yet_stays_a_link(make):
    house = make(site=False)
    available = house.folder / "nginx/available"
    available.mkdir()
    (sites(house) / "gatehouse.conf").symlink_to("../available/gatehouse.conf")
    done = apply(house)
    assert done.returncode == 0, done.stderr
    assert (sites(house) / "gatehouse.conf").is_symlink() and served(house) == 401
    assert "gatehouse_gateway" in (available / "gatehouse.conf").read_text()


def test_places_that_cannot_be_written_say_what_to_do(make):
    house = make(site=False)
    change(house, access_log=str(house.folder / "absent/access.log"))
    done = apply(house)
    assert done.returncode == 1 and "absent/access.log" in done.stderr and "make the folder that it names" in done.stderr
    change(house, access_log="off")
    (sites(house) / "gatehouse.conf").mkdir()
    done = apply(house)
    assert done.returncode == 3 and "name a file in `edge.nginx.site_file`" in done.stderr
